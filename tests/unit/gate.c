/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gate.h"

#define PATIENCE_S 60

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_timedwait(
	pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_timedwait(
	pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);

struct other {
	pthread_t thread;
	bool known, free;
	bool there;      /* stands at a gate */
	bool permission; /* to go on */
	const char *what;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t turn;
	pthread_t tester;
	bool shut;
	struct other others[GATE_THREADS];
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};

void gate_shut(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.tester = pthread_self();
	gate.shut = true;
	memset(gate.others, 0, sizeof(gate.others));
	pthread_mutex_unlock(&gate.lock);
}

void gate_open(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = false;
	pthread_cond_broadcast(&gate.turn);
	pthread_mutex_unlock(&gate.lock);
}

/* With the lock held. NULL: it is not to be stopped. */
static struct other *of_thread(pthread_t thread)
{
	for (unsigned int i = 0; i < GATE_THREADS; i++)
		if (gate.others[i].known && pthread_equal(gate.others[i].thread, thread))
			return &gate.others[i];
	return NULL;
}

/* With the lock held. */
static struct other *caller(enum gate_thread when_new)
{
	struct other *o = of_thread(pthread_self());

	if (!gate.shut || pthread_equal(pthread_self(), gate.tester))
		return NULL;
	if (o == NULL && !gate.others[when_new].known) {
		o = &gate.others[when_new];
		o->known = true;
		o->thread = pthread_self();
	}
	return o == NULL || o->free ? NULL : o;
}

/* False: it was not stopped. */
static bool pass(const char *what, enum gate_thread when_new, pthread_mutex_t *held)
{
	struct other *o;

	pthread_mutex_lock(&gate.lock);
	o = caller(when_new);
	if (o != NULL) {
		if (held != NULL)
			pthread_mutex_unlock(held);
		o->what = what;
		o->there = true;
		pthread_cond_broadcast(&gate.turn);
		while (gate.shut && !o->free && !o->permission)
			__real_pthread_cond_wait(&gate.turn, &gate.lock);
		o->there = o->permission = false;
	}
	pthread_mutex_unlock(&gate.lock);
	if (o != NULL && held != NULL)
		pthread_mutex_lock(held);
	return o != NULL;
}

void gate_pass(const char *what)
{
	pass(what, GATE_KEEPER, NULL);
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	return pass("wait", GATE_MAKER, mutex) ? 0 : __real_pthread_cond_wait(cond, mutex);
}

int __wrap_pthread_cond_timedwait(
	pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	return pass("wait", GATE_KEEPER, mutex) ? ETIMEDOUT
						: __real_pthread_cond_timedwait(cond, mutex, until);
}

/* Whoever is waited for goes on to its end; the others stay where they are. */
int __wrap_pthread_join(pthread_t thread, void **result)
{
	struct other *o;

	pthread_mutex_lock(&gate.lock);
	o = of_thread(thread);
	if (o != NULL) {
		o->free = true;
		pthread_cond_broadcast(&gate.turn);
	}
	pthread_mutex_unlock(&gate.lock);
	return __real_pthread_join(thread, result);
}

/* With the lock held: until the thread stands at a gate and has not been let go. */
static void await(const struct other *o)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	while (!o->there || o->permission) {
		if (__real_pthread_cond_timedwait(&gate.turn, &gate.lock, &until) == 0)
			continue;
		fprintf(stderr, "gate: thread %u has come to no gate for %d s after \"%s\"\n",
			(unsigned int)(o - gate.others), PATIENCE_S,
			o->what == NULL ? "" : o->what);
		abort();
	}
}

const char *gate_at(enum gate_thread thread)
{
	const char *what;

	pthread_mutex_lock(&gate.lock);
	await(&gate.others[thread]);
	what = gate.others[thread].what;
	pthread_mutex_unlock(&gate.lock);
	return what;
}

void gate_step(enum gate_thread thread)
{
	struct other *o = &gate.others[thread];

	pthread_mutex_lock(&gate.lock);
	await(o);
	o->permission = true;
	pthread_cond_broadcast(&gate.turn);
	await(o);
	pthread_mutex_unlock(&gate.lock);
}
