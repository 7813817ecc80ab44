/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "archive/disk_thread.h"
#include "archive/maker.h"

enum next { NOT_WANTED, WANTED, READY, FAILED };

struct dip_maker {
	const struct dip_segment_conf *conf;
	pthread_t thread;
	/* under the lock, which is never held while a file is worked on */
	pthread_mutex_t lock;
	pthread_cond_t work;
	unsigned int number; /* of the next segment */
	enum next next;
	struct dip_segment *ready;
	struct dip_error err;
	int error;
	bool doubt;    /* the next one must prove that it can be synced */
	bool withdraw; /* the one that is ready is not to be used */
	bool quit;
};

static void discard(struct dip_segment *s)
{
	if (s != NULL)
		dip_segment_close(s, NULL); /* nothing is in it: it is removed */
	free(s);
}

static int prove(const struct dip_segment *s, struct dip_error *err)
{
	int ret = s->conf->files->sync(s->fd);

	return ret < 0 ? dip_fail(err, -ret, "%s: sync: %s", s->path, strerror(-ret)) : 0;
}

static int make(const struct dip_segment_conf *conf, unsigned int number, bool doubt,
	struct dip_segment **segment, struct dip_error *err)
{
	struct dip_segment *s = malloc(sizeof(*s));
	int ret;

	if (s == NULL)
		return dip_fail(err, ENOMEM, "segment %u: out of memory", number);
	ret = dip_segment_open(conf, number, s, err);
	if (ret < 0) {
		free(s);
		return ret;
	}
	if (doubt)
		ret = prove(s, err);
	if (ret < 0)
		discard(s);
	else
		*segment = s;
	return ret;
}

static void make_next(struct dip_maker *m)
{
	struct dip_segment *made = NULL;
	unsigned int number = m->number;
	bool doubt = m->doubt;
	struct dip_error err;
	int ret;

	m->doubt = false;
	pthread_mutex_unlock(&m->lock);
	ret = make(m->conf, number, doubt, &made, &err);
	pthread_mutex_lock(&m->lock);
	m->error = ret;
	m->next = ret < 0 ? FAILED : READY;
	if (ret < 0) {
		m->err = err;
		m->doubt |= doubt;
	} else {
		m->ready = made;
		m->number++;
	}
}

static void remake(struct dip_maker *m)
{
	struct dip_segment *s = m->ready;

	m->withdraw = false;
	if (m->next != READY)
		return;
	m->ready = NULL;
	m->next = WANTED;
	m->number--;
	pthread_mutex_unlock(&m->lock);
	discard(s);
	pthread_mutex_lock(&m->lock);
}

static void *keep_making(void *arg)
{
	struct dip_maker *m = arg;

	dip_disk_thread_first();
	pthread_mutex_lock(&m->lock);
	while (!m->quit) {
		if (m->withdraw)
			remake(m);
		else if (m->next == WANTED)
			make_next(m);
		else
			pthread_cond_wait(&m->work, &m->lock);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

int dip_maker_create(
	const struct dip_segment_conf *conf, struct dip_maker **maker, struct dip_error *err)
{
	struct dip_maker *m = calloc(1, sizeof(*m));
	int ret;

	if (m == NULL)
		return dip_fail(err, ENOMEM, "segment maker: out of memory");
	m->conf = conf;
	ret = make(conf, m->number, true, &m->ready, err);
	if (ret == 0) {
		m->number++;
		m->next = READY;
		pthread_mutex_init(&m->lock, NULL);
		pthread_cond_init(&m->work, NULL);
		ret = rte_ctrl_thread_create(&m->thread, "dip-maker", NULL, keep_making, m);
		if (ret != 0)
			ret = dip_fail(err, abs(ret),
				"segment maker: its thread does not start: %s", strerror(abs(ret)));
	}
	if (ret < 0) {
		discard(m->ready);
		free(m);
		return ret;
	}
	*maker = m;
	return 0;
}

/* With the lock held. */
static void want_next(struct dip_maker *m)
{
	if (m->next != NOT_WANTED)
		return;
	m->next = WANTED;
	pthread_cond_signal(&m->work);
}

void dip_maker_request(struct dip_maker *m)
{
	pthread_mutex_lock(&m->lock);
	want_next(m);
	pthread_mutex_unlock(&m->lock);
}

int dip_maker_take(struct dip_maker *m, struct dip_segment **segment, struct dip_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&m->lock);
	if (m->next == READY && !m->withdraw) {
		*segment = m->ready;
		m->ready = NULL;
		m->next = NOT_WANTED;
		ret = 1;
	} else if (m->next == FAILED) {
		*err = m->err;
		m->next = NOT_WANTED;
		ret = m->error;
	} else {
		want_next(m);
	}
	pthread_mutex_unlock(&m->lock);
	return ret;
}

void dip_maker_untake(struct dip_maker *m, struct dip_segment *segment)
{
	pthread_mutex_lock(&m->lock);
	m->ready = segment;
	m->next = READY;
	pthread_mutex_unlock(&m->lock);
}

void dip_maker_doubt(struct dip_maker *m)
{
	pthread_mutex_lock(&m->lock);
	m->doubt = m->withdraw = true;
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

void dip_maker_check(struct dip_maker *m)
{
	pthread_mutex_lock(&m->lock);
	m->withdraw |= m->next == READY && !dip_segment_linked(m->ready);
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

void dip_maker_free(struct dip_maker *m)
{
	if (m == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	m->quit = true;
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	discard(m->ready);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->work);
	free(m);
}
