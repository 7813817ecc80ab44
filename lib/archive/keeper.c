/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "archive/disk_thread.h"
#include "archive/keeper.h"
#include "archive/maker.h"
#include "archive/tender.h"

#define TAKEN_MAX DIP_SYNC_SEGMENTS
#define RETIRED_MAX (TAKEN_MAX - 2) /* the archiver has two at most */
#define RETIRED_SOON 8              /* of these the keeper does not wait for the interval's end */
#define LOOK_MS 100                 /* from one look at the files to the next */
/* An index that cannot be made durable is tried again so often at the end of the run, or when there is
 * no place for more segments, and then given up; else as often as the disk may bear. */
#define VAIN_MAX 3
#define AGAIN_MS 100
#define NS_PER_MS UINT64_C(1000000)

struct dip_keeper {
	struct dip_keeper_conf conf;
	struct dip_maker *maker;
	pthread_t thread;
	/* the thread's own */
	uint64_t look_ns, sync_ns; /* when the next is due */
	struct dip_tender tender;
	/* under the lock, which is never held while a file is worked on */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct dip_segment *taken[TAKEN_MAX]; /* the retired ones first, the oldest first */
	unsigned int retired_count, taken_count;
	unsigned int vain; /* rounds in a row that could finish none of those retired */
	uint64_t again_ns; /* the next one after such a round, but at the end */
	bool quit;
};

/* With the lock held: drop those that are closed. */
static void forget(struct dip_keeper *k, struct dip_segment **closed, unsigned int count)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < k->taken_count; i++) {
		bool gone = false;

		for (unsigned int j = 0; j < count; j++)
			gone |= k->taken[i] == closed[j];
		if (!gone)
			k->taken[kept++] = k->taken[i];
	}
	k->taken_count = kept;
	k->retired_count -= count;
}

/* Only this thread takes segments off the list, so that they stay while the lock is not held. */
static void run_round(struct dip_keeper *k)
{
	struct dip_segment *taken[TAKEN_MAX], *closed[TAKEN_MAX];
	unsigned int count = k->taken_count, retired = k->retired_count, done;
	bool give_up = k->vain >= VAIN_MAX && (k->quit || retired == RETIRED_MAX);

	memcpy(taken, k->taken, sizeof(taken));
	pthread_mutex_unlock(&k->lock);
	if (dip_tend_sync(&k->tender, taken, count, retired) > 0)
		dip_maker_doubt(k->maker);
	done = dip_tend_close(&k->tender, taken, retired, give_up, closed);
	pthread_mutex_lock(&k->lock);
	k->vain = done > 0 || retired == 0 ? 0 : k->vain + 1;
	k->again_ns = k->conf.segment->files->now_ns() + AGAIN_MS * NS_PER_MS;
	forget(k, closed, done);
	for (unsigned int i = 0; i < done; i++)
		free(closed[i]);
}

static void look(struct dip_keeper *k)
{
	struct dip_segment *taken[TAKEN_MAX];
	unsigned int count = k->taken_count;

	memcpy(taken, k->taken, sizeof(taken));
	pthread_mutex_unlock(&k->lock);
	dip_maker_check(k->maker);
	for (unsigned int i = 0; i < count; i++)
		dip_tend_look(&k->tender, taken[i]);
	dip_tend_sidecar(&k->tender, false);
	pthread_mutex_lock(&k->lock);
}

static bool round_due(const struct dip_keeper *k, uint64_t now)
{
	bool soon = k->quit || k->conf.sync_interval_ms == 0 || k->retired_count >= RETIRED_SOON;

	if (k->vain > 0 && !k->quit && now < k->again_ns)
		soon = false;
	return (soon && k->retired_count > 0) ||
	       (k->conf.sync_interval_ms > 0 && now >= k->sync_ns);
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

static void *keep(void *arg)
{
	struct dip_keeper *k = arg;

	dip_disk_thread_first();
	pthread_mutex_lock(&k->lock);
	while (!k->quit || k->retired_count > 0) {
		uint64_t now = k->conf.segment->files->now_ns();

		if (now >= k->look_ns) {
			k->look_ns = now + LOOK_MS * NS_PER_MS;
			look(k);
		} else if (round_due(k, now)) {
			k->sync_ns = now + k->conf.sync_interval_ms * NS_PER_MS;
			run_round(k);
		} else {
			wait_for_work(k, due_ns(k) - now);
		}
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

int dip_keeper_create(
	const struct dip_keeper_conf *conf, struct dip_keeper **keeper, struct dip_error *err)
{
	struct dip_keeper *k = calloc(1, sizeof(*k));
	int ret;

	if (k == NULL)
		return dip_fail(err, ENOMEM, "segment keeper: out of memory");
	k->conf = *conf;
	k->tender = (struct dip_tender){.counters = conf->counters,
		.with_sidecar = conf->sidecar,
		.sidecar = {.conf = conf->segment}};
	ret = dip_maker_create(conf->segment, &k->maker, err);
	if (ret == 0)
		ret = start_thread(k, err);
	if (ret < 0) {
		dip_maker_free(k->maker);
		free(k);
		return ret;
	}
	*keeper = k;
	return 0;
}

void dip_keeper_request(struct dip_keeper *k)
{
	dip_maker_request(k->maker);
}

int dip_keeper_take(struct dip_keeper *k, struct dip_segment **segment, struct dip_error *err)
{
	int ret = dip_maker_take(k->maker, segment, err);

	if (ret <= 0)
		return ret;
	pthread_mutex_lock(&k->lock);
	k->taken[k->taken_count++] = *segment;
	pthread_mutex_unlock(&k->lock);
	return ret;
}

void dip_keeper_untake(struct dip_keeper *k, struct dip_segment *segment)
{
	pthread_mutex_lock(&k->lock);
	k->taken_count--; /* it was taken last */
	pthread_mutex_unlock(&k->lock);
	dip_maker_untake(k->maker, segment);
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
	dip_maker_free(k->maker);
	dip_sidecar_free(&k->tender.sidecar);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->work);
	free(k);
}
