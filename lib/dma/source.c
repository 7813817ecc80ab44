/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <time.h>

#include <rte_cycles.h>

#include "dma/source_impl.h"

/* The seqs that a poll has taken: first .. first + count - 1. */
struct claim {
	uint64_t first;
	uint64_t count;
};

/* Counting the free slabs looks at every lcore's cache: not for the odd frame behind. */
#define BACKLOG_UNSEEN 1

/* How many frames are due by now, from the start. */
static uint64_t due_by(const struct dip_source *s, uint64_t now)
{
	uint64_t due;

	if (s->conf.fps == 0)
		return s->end;
	due = (uint64_t)((now - s->start_tsc) * s->fps_per_tsc) + 1;
	return RTE_MIN(due, s->end);
}

static uint64_t due_tsc(const struct dip_source *s, uint64_t seq)
{
	return s->start_tsc + (uint64_t)(seq * s->tsc_per_frame);
}

/* A paced source ends when the frame after its last one would be due: ten seconds take ten. */
static uint64_t end_tsc(const struct dip_source *s)
{
	return s->conf.fps > 0 && s->end > 0 ? due_tsc(s, s->end) : 0;
}

/* Take up to n of the seqs below due for this queue. */
static struct claim claim_seqs(struct dip_source *s, uint64_t due, uint64_t n)
{
	uint64_t seq = __atomic_load_n(s->next_seq, __ATOMIC_RELAXED), want;

	do {
		if (seq >= due)
			return (struct claim){0};
		want = RTE_MIN(n, due - seq);
	} while (!__atomic_compare_exchange_n(
		s->next_seq, &seq, seq + want, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return (struct claim){.first = seq, .count = want};
}

/* A camera fills slabs whether it is polled or not: of the frames that came due since the last poll,
 * only as many can be there as slabs were free. The oldest of them are gone, as in a cyclic DMA
 * ring. Waiting sources lose none. */
static void lose_excess(struct dip_source *s, struct dip_dma_counters *c, uint64_t due)
{
	uint64_t waiting = due - __atomic_load_n(s->next_seq, __ATOMIC_RELAXED), slabs;
	struct claim lost;

	if (s->conf.block || s->conf.fps == 0 || (int64_t)waiting <= BACKLOG_UNSEEN)
		return;
	slabs = dip_frame_pool_available(s->conf.pool);
	if (waiting <= slabs)
		return;
	lost = claim_seqs(s, due, waiting - slabs);
	dip_count(&c->missed, lost.count);
	dip_count(&c->pool_exhaust, lost.count);
}

/* Not even one slab. */
static void lose_due(struct dip_source *s, struct dip_dma_counters *c, uint64_t due)
{
	struct claim lost;

	if (s->conf.block || s->conf.fps == 0) {
		dip_count(&c->pool_waits, 1);
		return;
	}
	lost = claim_seqs(s, due, UINT64_MAX);
	dip_count(&c->missed, lost.count);
	dip_count(&c->pool_exhaust, lost.count);
}

/* A paced frame arrives at its due time plus the time that its transfer takes: a poll that came
 * late does not make it younger. */
static void stamp(struct dip_source *s, struct dip_dma_counters *c, struct dip_frame *frame,
	uint64_t seq, uint64_t begin, uint64_t end)
{
	uint64_t due, late_ns;

	frame->seq = seq;
	frame->tsc = end;
	if (s->conf.fps == 0)
		return;
	due = due_tsc(s, seq);
	if (due >= begin)
		return;
	frame->tsc = due + (end - begin);
	late_ns = (begin - due) * s->ns_per_tsc;
	if (late_ns > c->late_max_ns)
		__atomic_store_n(&c->late_max_ns, late_ns, __ATOMIC_RELAXED);
}

static void stamp_utc(struct dip_source *s, struct dip_frame **frames, unsigned int n)
{
	struct timespec ts;
	uint64_t now_ns, now;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = rte_rdtsc();
	now_ns = ts.tv_sec * NS_PER_S + ts.tv_nsec;
	for (unsigned int i = 0; i < n; i++)
		frames[i]->timestamp_ns =
			now_ns - (uint64_t)((now - frames[i]->tsc) * s->ns_per_tsc);
}

/* "DMA" the claimed frames into slabs. Returns how many were filled; the rest is lost. */
static unsigned int transfer(
	struct dip_source *s, uint16_t queue, struct dip_frame **frames, struct claim claim)
{
	struct dip_dma_counters *c = &s->counters[queue];
	uint64_t begin = rte_rdtsc();

	for (unsigned int i = 0; i < claim.count; i++) {
		uint64_t end;

		if (s->ops->fill != NULL &&
			s->ops->fill(s->priv, queue, claim.first + i, frames[i]->pixels) < 0) {
			dip_count(&c->errors, 1);
			dip_count(&c->missed, claim.count - i);
			return i;
		}
		end = rte_rdtsc();
		stamp(s, c, frames[i], claim.first + i, begin, end);
		begin = end;
	}
	return claim.count;
}

static void put_rest(struct dip_frame **frames, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		dip_frame_put(frames[i]);
}

int dip_source_dequeue(struct rte_rawdev *dev, struct rte_rawdev_buf **bufs, unsigned int count,
	rte_rawdev_obj_t context)
{
	struct dip_source *s = dev->dev_private;
	struct dip_dma_poll *poll = context;
	struct dip_dma_counters *c = &s->counters[poll->queue];
	struct dip_frame *frames[RTE_MAX(count, 1U)];
	uint64_t now, due;
	struct claim claim;
	unsigned int slabs, done;

	if (count == 0)
		return 0;
	poll->seq_floor = __atomic_load_n(s->next_seq, __ATOMIC_RELAXED);
	now = rte_rdtsc();
	poll->ended = poll->seq_floor >= s->end && now >= end_tsc(s);
	due = due_by(s, now);
	if (poll->seq_floor >= due)
		return 0;
	lose_excess(s, c, due);
	slabs = dip_frame_alloc(s->conf.pool, frames, RTE_MIN(count, due - poll->seq_floor));
	if (slabs == 0) {
		lose_due(s, c, due);
		return 0;
	}
	claim = claim_seqs(s, due, slabs);
	done = transfer(s, poll->queue, frames, claim);
	put_rest(frames, done, slabs);
	stamp_utc(s, frames, done);
	for (unsigned int i = 0; i < done; i++)
		bufs[i]->buf_addr = frames[i];
	dip_count(&c->frames, done);
	dip_count(&c->bytes, (uint64_t)done * s->info.width * s->info.height * sizeof(uint16_t));
	return done == 0 && claim.count > 0 ? -EIO : (int)done;
}
