/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "archive/archiver_impl.h"
#include "archive/keeper.h"

#define RETIRED_MAX 4

enum next { NOT_WANTED, WANTED, READY, FAILED };

struct dip_keeper {
	const struct dip_segment_conf *conf;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below; never held while a file is worked on */
	pthread_cond_t work;
	unsigned int number; /* of the next segment */
	enum next next;
	struct dip_segment ready;
	struct dip_error err;
	int error;
	struct dip_segment retired[RETIRED_MAX];
	unsigned int retired_count;
	bool quit;
};

static void make_next(struct dip_keeper *k)
{
	struct dip_segment made;
	struct dip_error err;
	unsigned int number = k->number;
	int ret;

	pthread_mutex_unlock(&k->lock);
	ret = dip_segment_open(k->conf, number, &made, &err);
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
	struct dip_segment s = k->retired[0];
	struct dip_error err;
	int ret;

	pthread_mutex_unlock(&k->lock);
	ret = dip_segment_close(&s, &err);
	if (ret < 0) {
		dip_count(&dip_archive_counters[DIP_ARCHIVE_KEEPER].arch_segment_errors, 1);
		rte_log(RTE_LOG_ERR, dip_archive_log, "%s\n", err.text);
	}
	pthread_mutex_lock(&k->lock);
	memmove(&k->retired[0], &k->retired[1], --k->retired_count * sizeof(k->retired[0]));
}

/* What the archiver waits for comes first. */
static void *keep(void *arg)
{
	struct dip_keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	while (!k->quit || k->retired_count > 0) {
		if (k->next == WANTED && !k->quit)
			make_next(k);
		else if (k->retired_count > 0)
			close_oldest(k);
		else
			pthread_cond_wait(&k->work, &k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int dip_keeper_create(const struct dip_segment_conf *conf, unsigned int first,
	struct dip_keeper **keeper, struct dip_error *err)
{
	struct dip_keeper *k = calloc(1, sizeof(*k));
	int ret;

	if (k == NULL)
		return dip_fail(err, ENOMEM, "segment keeper: out of memory");
	k->conf = conf;
	k->number = first;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->work, NULL);
	ret = rte_ctrl_thread_create(&k->thread, "dip-keeper", NULL, keep, k);
	if (ret != 0) {
		free(k);
		return dip_fail(err, abs(ret), "segment keeper: its thread does not start: %s",
			strerror(abs(ret)));
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

int dip_keeper_take(struct dip_keeper *k, struct dip_segment *segment, struct dip_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&k->lock);
	if (k->next == READY) {
		*segment = k->ready;
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

void dip_keeper_untake(struct dip_keeper *k, const struct dip_segment *segment)
{
	pthread_mutex_lock(&k->lock);
	k->ready = *segment;
	k->next = READY;
	pthread_mutex_unlock(&k->lock);
}

bool dip_keeper_retire(struct dip_keeper *k, const struct dip_segment *segment)
{
	bool room;

	pthread_mutex_lock(&k->lock);
	room = k->retired_count < RETIRED_MAX;
	if (room) {
		k->retired[k->retired_count++] = *segment;
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
	if (k->next == READY)
		dip_segment_close(&k->ready, NULL); /* nothing is in it: it is removed */
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->work);
	free(k);
}
