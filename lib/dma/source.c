/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "dma/source_impl.h"

/* Transfers that are begun at once. */
#define TAKE_MAX 64u

/* Counting the free slabs looks at every lcore's cache: not for the odd frame behind. */
#define BACKLOG_UNSEEN 1

/* Two clocks are read as one when nothing came between for longer. */
#define CLOCK_READINGS 4
#define CLOCK_CLOSE_NS 5000.

/* --- numbers are taken one after another, by whichever queue asks first --- */

static uint64_t next_seq(const struct dip_source *s)
{
	return __atomic_load_n(s->next_seq, __ATOMIC_RELAXED);
}

/* Take the next n frames, as far as their numbers are below due: moves next_seq behind the last and
 * counts the numbers that there are not. Returns how many, and the index of the first. */
static uint64_t claim(
	struct dip_source *s, struct dip_dma_counters *c, uint64_t due, uint64_t n, uint64_t *first)
{
	uint64_t seq = next_seq(s), end, count;

	do {
		if (seq >= due)
			return 0;
		*first = dip_source_index(s, seq);
		count = RTE_MIN(n, dip_source_index(s, due) - *first);
		if (count == 0)
			return 0;
		end = dip_source_number(s, *first + count - 1) + 1;
	} while (!__atomic_compare_exchange_n(
		s->next_seq, &seq, end, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (end - seq > count)
		dip_count(&c->gaps, end - seq - count);
	return count;
}

static void lose(struct dip_source *s, struct dip_dma_counters *c, uint64_t due, uint64_t n)
{
	uint64_t first, lost = claim(s, c, due, n, &first);

	dip_count(&c->missed, lost);
	dip_count(&c->pool_exhaust, lost);
}

static bool waits(const struct dip_source *s)
{
	return s->conf.block || !dip_source_paced(s);
}

/* A camera fills slabs whether it is polled or not: of the frames that came due since the last poll,
 * only as many can be there as slabs were free, or could be overwritten. The oldest of them are gone,
 * as in a cyclic DMA ring. Waiting sources lose none. */
static void lose_excess(struct dip_source *s, struct dip_dma_counters *c, uint64_t due)
{
	uint64_t waiting, slabs;

	if (waits(s))
		return;
	waiting = dip_source_index(s, due) - dip_source_index(s, next_seq(s));
	if ((int64_t)waiting <= BACKLOG_UNSEEN)
		return;
	slabs = s->conf.backlog != NULL ? s->conf.pool->slabs
					: dip_frame_pool_available(s->conf.pool);
	if (waiting > slabs)
		lose(s, c, due, waiting - slabs);
}

/* Up to n slabs: free ones, then those of the oldest frames still queued. */
static unsigned int get_slabs(
	struct dip_source *s, struct dip_dma_counters *c, struct dip_frame **frames, unsigned int n)
{
	unsigned int got = dip_frame_alloc(s->conf.pool, frames, n), recalled;

	if (got == n || s->conf.backlog == NULL || waits(s))
		return got;
	recalled = dip_backlog_recall(s->conf.backlog, frames + got, n - got);
	dip_count(&c->overwritten, recalled);
	return got + recalled;
}

/* Not even one slab. */
static void lose_due(struct dip_source *s, struct dip_dma_counters *c, uint64_t due)
{
	if (waits(s))
		dip_count(&c->pool_waits, 1);
	else
		lose(s, c, due, UINT64_MAX);
}

/* --- a frame that has arrived --- */

/* A paced frame arrives at its due time plus the time that its transfer takes: a poll that came
 * late does not make it younger. */
static void stamp(struct dip_source *s, struct dip_dma_counters *c, struct dip_frame *frame,
	const struct dip_taken *taken, uint64_t end)
{
	uint64_t due, late_ns;

	frame->seq = taken->seq;
	frame->tsc = end;
	if (!dip_source_paced(s))
		return;
	due = dip_schedule_tsc(s, taken->seq);
	if (due >= taken->begin)
		return;
	late_ns = (taken->begin - due) * s->ns_per_tsc;
	if (late_ns > c->late_max_ns)
		__atomic_store_n(&c->late_max_ns, late_ns, __ATOMIC_RELAXED);
	/* Behind a frame that the camera was late with, it could not come any earlier. */
	if (dip_faults_have(s->faults, DIP_FAULT_LATE) &&
		taken->seq >= __atomic_load_n(&s->played.late_seq, __ATOMIC_RELAXED))
		due = RTE_MAX(due, __atomic_load_n(&s->played.late_until, __ATOMIC_RELAXED));
	frame->tsc = due + (end - taken->begin);
}

void dip_source_arrive(struct dip_source *s, uint16_t queue, struct dip_frame *frame,
	const struct dip_taken *taken, uint64_t end)
{
	struct dip_queue *q = &s->queues[queue];

	stamp(s, &s->counters[queue], frame, taken, end);
	q->arrived = RTE_MAX(q->arrived, frame->tsc);
	frame->tsc = q->arrived;
	if (taken->faults == 0)
		return;
	if (dip_faults_have(s->faults, DIP_FAULT_CORRUPT))
		dip_play_pixels(s, frame, taken);
	/* The slab itself is delivered once more: who gets it holds a reference of its own. */
	if (dip_fault_next(s->faults, taken->faults, DIP_FAULT_DUPLICATE, 0) >= 0) {
		dip_frame_hold(frame, 1);
		q->again = frame;
	}
}

/* Both clocks at one moment: the closest of some readings, as another thread may get the CPU between
 * the two. Returns nanoseconds since 1970. */
static uint64_t read_clocks(double ns_per_tsc, uint64_t *tsc)
{
	uint64_t closest = UINT64_MAX, utc_ns = 0;

	*tsc = 0;
	for (int i = 0; i < CLOCK_READINGS && closest * ns_per_tsc > CLOCK_CLOSE_NS; i++) {
		struct timespec ts;
		uint64_t begin = rte_rdtsc(), ticks;

		clock_gettime(CLOCK_REALTIME, &ts);
		ticks = rte_rdtsc() - begin;
		if (ticks >= closest)
			continue;
		closest = ticks;
		*tsc = begin + ticks / 2;
		utc_ns = ts.tv_sec * NS_PER_S + ts.tv_nsec;
	}
	return utc_ns;
}

static void stamp_utc(
	struct dip_source *s, uint16_t queue, struct dip_frame **frames, unsigned int n)
{
	uint64_t now, now_ns;

	if (n == 0)
		return;
	now_ns = read_clocks(s->ns_per_tsc, &now);
	for (unsigned int i = 0; i < n; i++) {
		struct dip_frame *frame = frames[i];
		uint64_t recorded =
			s->ops->timestamp != NULL ? s->ops->timestamp(s->priv, frame->seq) : 0;

		frame->timestamp_ns =
			recorded != 0
				? recorded
				: now_ns - (uint64_t)((int64_t)(now - frame->tsc) * s->ns_per_tsc);
		if (dip_faults_have(s->faults, DIP_FAULT_JUMP))
			frame->timestamp_ns += dip_play_clock(s, queue, frame->seq);
	}
}

/* --- transfers --- */

void dip_source_lose(
	struct dip_source *s, struct dip_dma_counters *c, struct dip_frame *frame, int why)
{
	dip_count(&c->missed, 1);
	if (why == -EBADMSG)
		dip_count(&c->damaged, 1);
	else if (why == -EREMOTEIO)
		dip_count(&c->copy_errors, 1);
	else
		dip_source_fail(s);
	dip_frame_put(frame);
}

int dip_source_copy(struct dip_source *s, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	const uint16_t *from = s->ops->locate != NULL ? s->ops->locate(s->priv, seq) : NULL;

	if (from != NULL)
		s->copier->copy(pixels, from, s->frame_bytes);
	else if (s->ops->fill != NULL)
		return s->ops->fill(s->priv, queue, seq, pixels);
	return 0;
}

/* "DMA" frames into slabs. Returns how many were filled; the others are lost, and given back. */
static unsigned int transfer(struct dip_source *s, uint16_t queue, struct dip_frame **frames,
	struct dip_taken *taken, unsigned int n)
{
	struct dip_dma_counters *c = &s->counters[queue];
	uint64_t end = rte_rdtsc();
	unsigned int filled = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct dip_frame *frame = frames[i];
		int ret = dip_source_failed(s) ? -EIO : 0;

		taken[i].begin = end;
		if (ret == 0)
			ret = dip_source_copy(s, queue, taken[i].seq, frame->pixels);
		if (ret < 0) {
			dip_source_lose(s, c, frame, ret);
			continue;
		}
		end = rte_rdtsc();
		dip_source_arrive(s, queue, frame, &taken[i], end);
		frames[filled++] = frame;
	}
	return filled;
}

/* What the claimed frames are, and what happens to them. Returns how many are to be transferred, in
 * taken; the others are lost by a fault. */
static unsigned int note_taken(struct dip_source *s, uint16_t queue, uint64_t first, unsigned int n,
	struct dip_taken *taken)
{
	unsigned int kept = 0;
	uint64_t now = rte_rdtsc();

	for (unsigned int i = 0; i < n; i++) {
		struct dip_taken t = {.seq = dip_source_number(s, first + i), .begin = now};

		if (s->faults != NULL)
			t.faults = dip_play_take(s, queue, t.seq);
		if (t.faults != 0 && dip_fault_next(s->faults, t.faults, DIP_FAULT_LOST, 0) >= 0)
			dip_count(&s->counters[queue].missed, 1);
		else
			taken[kept++] = t;
	}
	return kept;
}

/* --- the poll --- */

/* Up to which number frames may be had now, by pacing, faults and losses; 0: none. */
static uint64_t find_due(struct dip_source *s, uint16_t queue, unsigned int count, uint64_t now)
{
	struct dip_dma_counters *c = &s->counters[queue];
	uint64_t due = dip_schedule_due(s, queue, now), head = next_seq(s);

	if (s->queues[queue].stopping)
		due = RTE_MIN(due, s->queues[queue].due_at_stop);
	if (head >= due)
		return 0;
	if (dip_faults_have(s->faults, DIP_FAULT_DEAD)) {
		due = dip_play_dead(s, queue, head, due, count);
		if (head >= due) {
			dip_source_fail(s);
			return 0;
		}
	}
	if (s->faults != NULL && dip_play_hold(s, head, due, count, now) <= head)
		return 0;
	lose_excess(s, c, due);
	if (s->faults != NULL)
		due = RTE_MIN(due, dip_play_hold(s, next_seq(s), due, count, now));
	return due;
}

/* Take new frames, up to max. Returns those that are there at once. */
static unsigned int take(
	struct dip_source *s, uint16_t queue, struct dip_frame **frames, unsigned int max)
{
	struct dip_dma_counters *c = &s->counters[queue];
	struct dip_taken taken[max];
	uint64_t due, first = 0, head;
	unsigned int slabs, n, kept;

	due = find_due(s, queue, max, rte_rdtsc());
	head = next_seq(s);
	if (head >= due)
		return 0;
	/* A duplicate waits for the next poll: one at a time. */
	if (dip_faults_have(s->faults, DIP_FAULT_DUPLICATE))
		max = 1;
	slabs = get_slabs(
		s, c, frames, RTE_MIN(max, dip_source_index(s, due) - dip_source_index(s, head)));
	if (slabs == 0) {
		lose_due(s, c, due);
		return 0;
	}
	n = claim(s, c, due, slabs, &first);
	kept = note_taken(s, queue, first, n, taken);
	for (unsigned int i = kept; i < slabs; i++)
		dip_frame_put(frames[i]);
	if (s->mover == NULL)
		return transfer(s, queue, frames, taken, kept);
	dip_flights_begin(s, queue, frames, taken, kept);
	return 0;
}

/* After a stop a queue still gets what a camera delivered before it. */
static bool may_take(const struct dip_source *s, const struct dip_dma_poll *poll)
{
	return !dip_source_failed(s) &&
	       (!poll->drain || (!waits(s) && !s->queues[poll->queue].drained));
}

static void note_stop(struct dip_source *s, const struct dip_dma_poll *poll)
{
	struct dip_queue *q = &s->queues[poll->queue];

	if (poll->drain && !q->stopping)
		q->due_at_stop = dip_schedule_due(s, poll->queue, rte_rdtsc());
	q->stopping = poll->drain;
	q->drained = q->drained && poll->drain;
}

/* Begin to take what is due, up to count frames. Returns those that are there at once. */
static unsigned int poll_due(struct dip_source *s, const struct dip_dma_poll *poll,
	struct dip_frame **frames, unsigned int count)
{
	struct dip_queue *q = &s->queues[poll->queue];
	bool may = may_take(s, poll);
	/* Transfers are begun however many frames have landed: the mover is not to wait. */
	unsigned int room = s->mover != NULL ? dip_flights_room(s, poll->queue) : count, n = 0;
	uint64_t head = next_seq(s);

	if (may && room > 0)
		n = take(s, poll->queue, frames, RTE_MIN(room, TAKE_MAX));
	/* At a stop: that was the last one. */
	if (poll->drain && (!may || (room > 0 && next_seq(s) == head)))
		q->drained = true;
	return n;
}

/* What the poll says about the future, before anything is taken. */
static void foretell(const struct dip_source *s, struct dip_dma_poll *poll)
{
	const struct dip_queue *q = &s->queues[poll->queue];
	uint64_t floor = next_seq(s);
	bool pending = q->again != NULL || dip_flights(q) > 0;

	poll->ended = !pending &&
		      (q->drained || (floor >= s->end && rte_rdtsc() >= dip_schedule_end(s)));
	if (dip_flights(q) > 0)
		floor = q->flight[q->first % DIP_FLIGHTS].taken.seq;
	if (q->again != NULL)
		floor = q->again->seq;
	poll->seq_floor = floor;
}

int dip_source_dequeue(struct rte_rawdev *dev, struct rte_rawdev_buf **bufs, unsigned int count,
	rte_rawdev_obj_t context)
{
	struct dip_source *s = dev->dev_private;
	struct dip_dma_poll *poll = context;
	struct dip_frame *frames[count + TAKE_MAX];
	struct dip_dma_counters *c = &s->counters[poll->queue];
	struct dip_queue *q;
	unsigned int n = 0, twice = 0;

	if (count == 0 || s->queues == NULL)
		return 0;
	q = &s->queues[poll->queue];
	note_stop(s, poll);
	foretell(s, poll);
	if (q->again != NULL) {
		frames[n++] = q->again;
		q->again = NULL;
		twice = 1;
	}
	if (s->mover != NULL)
		n += dip_flights_land(s, poll->queue, frames + n, count - n);
	n += poll_due(s, poll, frames + n, count - n);
	stamp_utc(s, poll->queue, frames + twice, n - twice);
	for (unsigned int i = 0; i < n; i++)
		bufs[i]->buf_addr = frames[i];
	dip_count(&c->frames, n - twice);
	dip_count(&c->bytes, (uint64_t)(n - twice) * s->frame_bytes);
	if (n > 0 || dip_flights(q) > 0 || !dip_source_failed(s))
		return n;
	dip_count(&c->errors, 1);
	return -EIO;
}
