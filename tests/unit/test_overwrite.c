/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_fixture.h"
#include "proof.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_ring_elem.h>

#include "frame/backlog.h"

#define PAGE ((size_t)4096)
#define SLABS 16

static struct dip_frame_pool *pool;

static void open_pool(uint32_t slabs)
{
	struct dip_frame_pool_conf conf = {.name = "test_overwrite",
		.slabs = slabs,
		.record_bytes = PAGE,
		.lcores = EAL_WORKERS + 1,
		.socket = SOCKET_ID_ANY};
	struct dip_error err = {""};

	if (dip_frame_pool_create(&conf, &pool, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_pool(void)
{
	assert_int_equal(dip_frame_pool_available(pool), pool->slabs);
	dip_frame_pool_free(pool);
}

static struct dip_frame *take_one(uint64_t seq)
{
	struct dip_frame *frame;

	assert_int_equal(dip_frame_alloc(pool, &frame, 1), 1);
	frame->seq = seq;
	return frame;
}

/* The caller's reference goes into a queue. */
static struct dip_desc queue(struct dip_frame *frame)
{
	struct dip_desc desc = dip_frame_desc(frame, 0);

	dip_state_add(&frame->state, DIP_STATE_QUEUED - DIP_STATE_HELD);
	return desc;
}

/* --- one frame --- */

static void test_recall(void **state)
{
	struct dip_frame *frame;
	struct dip_desc desc;

	(void)state;
	open_pool(SLABS);
	frame = take_one(7);
	desc = queue(frame);
	assert_ptr_equal(dip_desc_recall(&desc), frame);
	/* As if it came from the pool, and another frame's now. */
	assert_int_equal(dip_state_held(frame->state), 1);
	assert_int_equal(dip_state_queued(frame->state), 0);
	assert_int_equal(dip_frame_generation(frame), desc.generation + 1);
	assert_int_equal(dip_frame_pool_available(pool), SLABS - 1);
	assert_null(dip_desc_frame(&desc));
	assert_null(dip_desc_recall(&desc));
	/* The late descriptor is refused as well while the slab's next frame is queued. */
	desc = queue(frame);
	assert_null(dip_desc_frame(
		&(struct dip_desc){.frame = frame, .generation = desc.generation - 1}));
	assert_null(dip_desc_recall(
		&(struct dip_desc){.frame = frame, .generation = desc.generation - 1}));
	assert_ptr_equal(dip_desc_frame(&desc), frame);
	dip_frame_put(frame);
	close_pool();
}

/* Whoever holds it, the source, a processor or the archiver, is not disturbed. */
static void test_recall_of_a_held_frame(void **state)
{
	struct dip_desc desc;
	struct dip_frame *frame;

	(void)state;
	open_pool(SLABS);
	frame = take_one(0);
	desc = dip_frame_desc(frame, 0);
	assert_null(dip_desc_recall(&desc)); /* being filled */
	dip_state_add(&frame->state, DIP_STATE_QUEUED);
	assert_null(
		dip_desc_recall(&desc)); /* queued for the archive, still to be for the others */
	queue(frame);
	assert_ptr_equal(dip_desc_frame(&desc), frame);
	assert_null(dip_desc_recall(&desc)); /* held by one, queued for the other */
	assert_ptr_equal(dip_desc_frame(&desc), frame);
	assert_null(dip_desc_recall(&desc)); /* held by both */
	dip_frame_put(frame);
	assert_null(dip_desc_recall(&desc));
	assert_int_equal(dip_frame_generation(frame), desc.generation);
	dip_frame_put(frame);
	assert_null(dip_desc_recall(&desc)); /* in the pool */
	close_pool();
}

/* One sink is done with it, for the other it is queued: it may go. */
static void test_recall_between_the_sinks(void **state)
{
	struct dip_desc desc;
	struct dip_frame *frame;

	(void)state;
	open_pool(SLABS);
	frame = take_one(0);
	dip_state_add(&frame->state, DIP_STATE_QUEUED);
	desc = queue(frame);
	assert_ptr_equal(dip_desc_frame(&desc), frame);
	dip_frame_put(frame);
	assert_int_equal(dip_state_queued(frame->state), 1);
	assert_ptr_equal(dip_desc_recall(&desc), frame);
	assert_null(dip_desc_frame(&desc));
	dip_frame_put(frame);
	close_pool();
}

/* --- the backlog --- */

static void expect(struct dip_backlog *b, const uint64_t *seqs, unsigned int n)
{
	struct dip_frame *frames[SLABS];

	assert_int_equal(dip_backlog_recall(b, frames, n), n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(frames[i]->seq, seqs[i]);
		dip_frame_put(frames[i]);
	}
}

static struct dip_desc add(struct dip_backlog *b, unsigned int lane, uint64_t seq)
{
	struct dip_desc desc = queue(take_one(seq));

	dip_backlog_add(b, lane, &desc);
	return desc;
}

static void test_the_oldest_goes_first(void **state)
{
	static const unsigned int lane_of[] = {1, 0, 0, 1, 1, 1, 0, 1};
	struct dip_frame *none[1];
	struct dip_backlog *b;
	struct dip_desc desc[8];

	(void)state;
	open_pool(SLABS);
	assert_int_equal(dip_backlog_create(2, SLABS, &b), 0);
	assert_int_equal(dip_backlog_recall(b, none, 1), 0);
	for (unsigned int i = 0; i < 8; i++)
		desc[i] = add(b, lane_of[i], i);
	/* 2 is done with, 3 is being processed. */
	dip_frame_put(dip_desc_frame(&desc[2]));
	assert_non_null(dip_desc_frame(&desc[3]));
	expect(b, (uint64_t[]){0, 1, 4}, 3);
	expect(b, (uint64_t[]){5}, 1);
	expect(b, (uint64_t[]){6, 7}, 2);
	assert_int_equal(dip_backlog_recall(b, none, 1), 0);
	dip_frame_put(desc[3].frame);
	dip_backlog_free(b);
	close_pool();
}

/* A frame that stays queued is found behind any number that came and went, before any that came later. */
static void test_an_old_frame_is_not_forgotten(void **state)
{
	struct dip_desc stuck[3], held, desc;
	struct dip_frame *frames[SLABS];
	struct dip_backlog *b;
	uint64_t seq = 0;

	(void)state;
	open_pool(SLABS);
	assert_int_equal(dip_backlog_create(1, SLABS, &b), 0);
	held = add(b, 0, seq++);
	assert_non_null(dip_desc_frame(&held));
	for (unsigned int i = 0; i < 3; i++) {
		stuck[i] = add(b, 0, seq++);
		for (unsigned int j = 0; j < 10 * SLABS + i; j++) {
			desc = add(b, 0, seq++);
			dip_frame_put(dip_desc_frame(&desc));
		}
	}
	while (dip_frame_pool_available(pool) > 0)
		add(b, 0, seq++);
	assert_int_equal(dip_backlog_recall(b, frames, SLABS), SLABS - 1);
	for (unsigned int i = 0; i < SLABS - 1; i++) {
		assert_int_equal(frames[i]->seq, i < 3 ? stuck[i].seq : seq - (SLABS - 1) + i);
		dip_frame_put(frames[i]);
	}
	dip_frame_put(held.frame);
	dip_backlog_free(b);
	close_pool();
}

/* --- several lcores: two that make frames and overwrite, two consumers that are too slow --- */

#define WORDS (PAGE / sizeof(uint64_t))
#define QUEUE 64

static struct {
	struct dip_backlog *backlog;
	struct rte_ring *ring[2];
	uint64_t frames; /* that each makes */
	unsigned int producing;
	uint64_t made[2], recalled[2], exhausted[2], consumed[2], stale[2], displaced[2], wrong[2];
} stress;

static uint64_t word(uint64_t seq, size_t i)
{
	return (seq + 1) * 0x9e3779b97f4a7c15ULL ^ i;
}

static void fill(const struct dip_frame *frame)
{
	uint64_t *at = (uint64_t *)frame->pixels;

	for (size_t i = 0; i < WORDS; i++)
		at[i] = word(frame->seq, i);
}

static bool is_whole(const struct dip_frame *frame, uint64_t seq)
{
	const uint64_t *at = (const uint64_t *)frame->pixels;
	bool whole = frame->seq == seq;

	for (size_t i = 0; i < WORDS; i++)
		whole &= at[i] == word(seq, i);
	return whole;
}

static void offer(struct dip_desc *desc, unsigned int ring)
{
	struct dip_frame *frame;
	struct dip_desc oldest;

	while (rte_ring_enqueue_elem(stress.ring[ring], desc, sizeof(*desc)) != 0) {
		if (rte_ring_dequeue_elem(stress.ring[ring], &oldest, sizeof(oldest)) != 0)
			continue;
		frame = dip_desc_frame(&oldest);
		if (frame != NULL)
			dip_frame_put(frame);
		__atomic_fetch_add(&stress.displaced[ring], 1, __ATOMIC_RELAXED);
	}
}

static int make(void *arg)
{
	unsigned int me = (uintptr_t)arg;
	struct dip_frame *frame;

	while (stress.made[me] < stress.frames) {
		struct dip_desc desc;

		if (dip_frame_alloc(pool, &frame, 1) == 0) {
			if (dip_backlog_recall(stress.backlog, &frame, 1) == 0) {
				stress.exhausted[me]++;
				continue;
			}
			stress.recalled[me]++;
		}
		frame->seq = stress.made[me]++ * 2 + me;
		fill(frame);
		desc = dip_frame_desc(frame, 0);
		dip_state_add(&frame->state, DIP_STATE_QUEUED);
		offer(&desc, 0);
		dip_state_add(&frame->state, DIP_STATE_QUEUED - DIP_STATE_HELD);
		offer(&desc, 1);
		dip_backlog_add(stress.backlog, me, &desc);
		if (stress.made[me] % 512 == 0)
			sched_yield(); /* a chance for the consumers, on few CPUs */
	}
	__atomic_fetch_sub(&stress.producing, 1, __ATOMIC_RELEASE);
	return 0;
}

static int consume(void *arg)
{
	unsigned int me = (uintptr_t)arg;

	for (;;) {
		bool last = __atomic_load_n(&stress.producing, __ATOMIC_ACQUIRE) == 0;
		struct dip_frame *frame;
		struct dip_desc desc;

		if (rte_ring_dequeue_elem(stress.ring[me], &desc, sizeof(desc)) != 0) {
			if (last)
				return 0;
			continue;
		}
		frame = dip_desc_frame(&desc);
		if (frame == NULL) {
			stress.stale[me]++;
			continue;
		}
		/* Twice, and a sleep between them now and then. */
		stress.wrong[me] += !is_whole(frame, desc.seq);
		if (++stress.consumed[me] % 1000 == 0)
			rte_delay_us_sleep(500);
		stress.wrong[me] += !is_whole(frame, desc.seq);
		dip_frame_put(frame);
	}
}

static void test_nobody_is_disturbed(void **state)
{
	(void)state;
	memset(&stress, 0, sizeof(stress));
	stress.frames = proof_count(25000, 500000);
	open_pool(2 * SLABS);
	assert_int_equal(dip_backlog_create(2, pool->slabs, &stress.backlog), 0);
	for (unsigned int i = 0; i < 2; i++) {
		stress.ring[i] = rte_ring_create_elem(i == 0 ? "over0" : "over1",
			sizeof(struct dip_desc), QUEUE, SOCKET_ID_ANY, 0);
		assert_non_null(stress.ring[i]);
	}
	stress.producing = 2;
	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(rte_eal_remote_launch(make, (void *)i, 1 + i), 0);
		assert_int_equal(rte_eal_remote_launch(consume, (void *)i, 3 + i), 0);
	}
	rte_eal_mp_wait_lcore();
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(stress.wrong[i], 0);
		assert_int_equal(stress.consumed[i] + stress.stale[i] + stress.displaced[i],
			2 * stress.frames);
		assert_true(stress.consumed[i] > 0);
		assert_true(stress.recalled[i] > 0);
		assert_true(stress.stale[i] + stress.displaced[i] > 0);
		rte_ring_free(stress.ring[i]);
	}
	proof_say("R27: %u frames, %u slabs taken from queued ones, %u and %u held by a slow "
		  "consumer: "
		  "none of these was touched",
		(unsigned int)(2 * stress.frames),
		(unsigned int)(stress.recalled[0] + stress.recalled[1]),
		(unsigned int)stress.consumed[0], (unsigned int)stress.consumed[1]);
	dip_backlog_free(stress.backlog);
	close_pool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recall),
		cmocka_unit_test(test_recall_of_a_held_frame),
		cmocka_unit_test(test_recall_between_the_sinks),
		cmocka_unit_test(test_the_oldest_goes_first),
		cmocka_unit_test(test_an_old_frame_is_not_forgotten),
		cmocka_unit_test(test_nobody_is_disturbed),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
