/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "archive/archiver_impl.h"
#include "archive/keeper.h"
#include "archive/tender.h"

#define RETIRED_MAX 4
#define TAKEN_MAX (RETIRED_MAX + 2) /* the archiver has two at most */
#define LOOK_MS 100                 /* from one look at the files to the next */
#define NS_PER_MS UINT64_C(1000000)

enum next { NOT_WANTED, WANTED, READY, FAILED };

struct dip_keeper {
	struct dip_keeper_conf conf;
	pthread_t thread;
	/* the thread's own */
	uint64_t look_ns, sync_ns; /* when the next is due */
	struct dip_tender tender;
	/* under the lock, which is never held while a file is worked on */
	pthread_mutex_t lock;
	pthread_cond_t work;
	unsigned int number; /* of the next segment */
	enum next next;
	struct dip_segment *ready;
	struct dip_error err;
	int error;
	struct dip_segment *taken[TAKEN_MAX]; /* the retired ones first, the oldest first */
	unsigned int retired_count, taken_count;
	bool quit;
};

static int open_segment(struct dip_keeper *k, unsigned int number, struct dip_segment **segment,
	struct dip_error *err)
{
	struct dip_segment *s = malloc(sizeof(*s));
	int ret;

	if (s == NULL)
		return dip_fail(err, ENOMEM, "segment %u: out of memory", number);
	ret = dip_segment_open(k->conf.segment, number, s, err);
	if (ret < 0)
		free(s);
	else
		*segment = s;
	return ret;
}

static void make_next(struct dip_keeper *k)
{
	struct dip_segment *made = NULL;
	unsigned int number = k->number;
	struct dip_error err;
	int ret;

	pthread_mutex_unlock(&k->lock);
	ret = open_segment(k, number, &made, &err);
	pthread_mutex_lock(&k->lock);
	k->error = ret;
	k->next = ret < 0 ? FAILED : READY;
	if (ret < 0) {
		k->err = err;
	} else {
		k->ready = made;
		k->number++;
	}
}

static void close_oldest(struct dip_keeper *k)
{
	struct dip_segment *s = k->taken[0];

	pthread_mutex_unlock(&k->lock);
	dip_tend_close(&k->tender, s);
	pthread_mutex_lock(&k->lock);
	free(s);
	k->retired_count--;
	memmove(&k->taken[0], &k->taken[1], --k->taken_count * sizeof(k->taken[0]));
}

/* What is due every so often. Only this thread frees a segment, so that those of the list stay
 * while the lock is not held. */
static void attend(struct dip_keeper *k, uint64_t now)
{
	struct dip_segment *taken[TAKEN_MAX];
	unsigned int count = k->taken_count;
	bool sync = k->conf.sync_interval_ms > 0 && now >= k->sync_ns;

	memcpy(taken, k->taken, sizeof(taken));
	pthread_mutex_unlock(&k->lock);
	k->look_ns = now + LOOK_MS * NS_PER_MS;
	if (sync)
		k->sync_ns = now + k->conf.sync_interval_ms * NS_PER_MS;
	for (unsigned int i = 0; i < count; i++) {
		dip_tend_look(taken[i]);
		if (sync)
			dip_tend_sync(&k->tender, taken[i]);
	}
	dip_tend_sidecar(&k->tender, false);
	pthread_mutex_lock(&k->lock);
}

static uint64_t due_ns(const struct dip_keeper *k)
{
	return k->conf.sync_interval_ms > 0 && k->sync_ns < k->look_ns ? k->sync_ns : k->look_ns;
}

/* Until there is work, or something is due. */
static void wait_for_work(struct dip_keeper *k, uint64_t ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ns;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&k->work, &k->lock, &until);
}

/* What the archiver waits for comes first. */
static void *keep(void *arg)
{
	struct dip_keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	while (!k->quit || k->retired_count > 0) {
		uint64_t now = k->conf.segment->files->now_ns();

		if (k->next == WANTED && !k->quit)
			make_next(k);
		else if (k->retired_count > 0)
			close_oldest(k);
		else if (now >= due_ns(k))
			attend(k, now);
		else
			wait_for_work(k, due_ns(k) - now);
	}
	pthread_mutex_unlock(&k->lock);
	dip_tend_sidecar(&k->tender, true);
	return NULL;
}

static int start_thread(struct dip_keeper *k, struct dip_error *err)
{
	pthread_condattr_t attr;
	int ret;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->work, &attr);
	pthread_condattr_destroy(&attr);
	ret = rte_ctrl_thread_create(&k->thread, "dip-keeper", NULL, keep, k);
	if (ret != 0)
		return dip_fail(err, abs(ret), "segment keeper: its thread does not start: %s",
			strerror(abs(ret)));
	return 0;
}

static void discard_ready(struct dip_keeper *k)
{
	if (k->next == READY)
		dip_segment_close(k->ready, NULL); /* nothing is in it: it is removed */
	free(k->ready);
}

int dip_keeper_create(
	const struct dip_keeper_conf *conf, struct dip_keeper **keeper, struct dip_error *err)
{
	struct dip_keeper *k = calloc(1, sizeof(*k));
	int ret;

	if (k == NULL)
		return dip_fail(err, ENOMEM, "segment keeper: out of memory");
	k->conf = *conf;
	k->tender = (struct dip_tender){
		.with_sidecar = conf->sidecar, .sidecar = {.conf = conf->segment}};
	ret = open_segment(k, k->number, &k->ready, err);
	if (ret == 0) {
		k->number++;
		k->next = READY;
		ret = start_thread(k, err);
	}
	if (ret < 0) {
		discard_ready(k);
		free(k);
		return ret;
	}
	*keeper = k;
	return 0;
}

/* With the lock held. */
static void want_next(struct dip_keeper *k)
{
	if (k->next != NOT_WANTED)
		return;
	k->next = WANTED;
	pthread_cond_signal(&k->work);
}

void dip_keeper_request(struct dip_keeper *k)
{
	pthread_mutex_lock(&k->lock);
	want_next(k);
	pthread_mutex_unlock(&k->lock);
}

int dip_keeper_take(struct dip_keeper *k, struct dip_segment **segment, struct dip_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&k->lock);
	if (k->next == READY) {
		*segment = k->taken[k->taken_count++] = k->ready;
		k->ready = NULL;
		k->next = NOT_WANTED;
		ret = 1;
	} else if (k->next == FAILED) {
		*err = k->err;
		k->next = NOT_WANTED;
		ret = k->error;
	} else {
		want_next(k);
	}
	pthread_mutex_unlock(&k->lock);
	return ret;
}

void dip_keeper_untake(struct dip_keeper *k, struct dip_segment *segment)
{
	pthread_mutex_lock(&k->lock);
	k->taken_count--; /* it was taken last */
	k->ready = segment;
	k->next = READY;
	pthread_mutex_unlock(&k->lock);
}

bool dip_keeper_retire(struct dip_keeper *k)
{
	bool room;

	pthread_mutex_lock(&k->lock);
	room = k->retired_count < RETIRED_MAX;
	if (room) {
		k->retired_count++;
		pthread_cond_signal(&k->work);
	}
	pthread_mutex_unlock(&k->lock);
	return room;
}

void dip_keeper_free(struct dip_keeper *k)
{
	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->quit = true;
	pthread_cond_signal(&k->work);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	discard_ready(k);
	dip_sidecar_free(&k->tender.sidecar);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->work);
	free(k);
}
