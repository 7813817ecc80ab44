/* SPDX-License-Identifier: BSD-3-Clause */
#define EAL_MEGABYTES "1280"
#include "eal_fixture.h"

#include <errno.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>

#include "frame/check.h"
#include "frame/frame.h"
#include "metrics/metrics.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

static size_t heap_free(void)
{
	struct rte_malloc_socket_stats stats;
	size_t bytes = 0;

	for (unsigned int i = 0; i < rte_socket_count(); i++)
		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0)
			bytes += stats.heap_freesz_bytes;
	return bytes;
}

/* With hugepages there may be fewer than the largest pools want. */
static void need(size_t bytes)
{
	unsigned long pages = 0, kib = 0;
	char line[128];
	FILE *f;

	if (!eal_huge())
		return;
	f = fopen("/proc/meminfo", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "HugePages_Free: %lu", &pages);
		sscanf(line, "Hugepagesize: %lu", &kib);
	}
	fclose(f);
	if (pages * kib * 1024 + heap_free() < bytes + 64 * MIB) {
		print_message("skipped: needs %zu MiB of free hugepages\n", bytes / MIB + 64);
		skip();
	}
}

static int create(const char *name, uint32_t slabs, size_t record_bytes,
	struct dip_frame_pool **pool, struct dip_error *err)
{
	struct dip_frame_pool_conf conf = {
		.name = name,
		.slabs = slabs,
		.record_bytes = record_bytes,
		.lcores = EAL_WORKERS + 1,
		.socket = SOCKET_ID_ANY,
	};

	return dip_frame_pool_create(&conf, pool, err);
}

static struct dip_frame_pool *pool_of(uint32_t slabs, size_t record_bytes)
{
	struct dip_frame_pool *pool = NULL;
	struct dip_error err = {""};

	need(slabs * record_bytes);
	if (create("test_frame", slabs, record_bytes, &pool, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(pool->slabs, slabs);
	assert_int_equal(pool->record_bytes, record_bytes);
	assert_int_equal(dip_frame_pool_available(pool), slabs);
	return pool;
}

/* Take frames in bursts of up to 32 until there are none. */
static struct dip_frame **take_all(struct dip_frame_pool *pool, uint32_t *n)
{
	struct dip_frame **frames = malloc((pool->slabs + 64) * sizeof(*frames));
	unsigned int got;

	assert_non_null(frames);
	*n = 0;
	while (*n <= pool->slabs && (got = dip_frame_alloc(pool, frames + *n, 1 + *n % 32)) > 0)
		*n += got;
	return frames;
}

static void shuffle(struct dip_frame **frames, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = rand() % i;
		struct dip_frame *swap = frames[j];

		frames[j] = frames[i - 1];
		frames[i - 1] = swap;
	}
}

static uint64_t word(uint64_t tag, size_t i)
{
	return (tag + 1) * 0x9e3779b97f4a7c15ULL ^ i;
}

static void fill(const struct dip_frame *frame, size_t bytes, uint64_t tag)
{
	uint64_t *at = (uint64_t *)frame->pixels;

	for (size_t i = 0; i < bytes / sizeof(*at); i++)
		at[i] = word(tag, i);
}

static size_t differences(const struct dip_frame *frame, size_t bytes, uint64_t tag)
{
	const uint64_t *at = (const uint64_t *)frame->pixels;
	size_t n = 0;

	for (size_t i = 0; i < bytes / sizeof(*at); i++)
		n += at[i] != word(tag, i);
	return n;
}

static bool inside_chunk(const struct dip_frame_pool *pool, const void *at)
{
	for (unsigned int i = 0; i < pool->chunks; i++) {
		const struct dip_frame_chunk *c = &pool->chunk[i];

		if (at >= c->addr &&
			(const char *)at + pool->record_bytes <= (const char *)c->addr + c->bytes)
			return true;
	}
	return false;
}

/* Every slab is its own, page-aligned, whole, and in one of the chunks. */
static void check_slabs(uint32_t slabs, size_t record_bytes)
{
	struct dip_frame_pool *pool = pool_of(slabs, record_bytes);
	struct dip_frame **frames;
	size_t total = 0;
	uint32_t n;

	for (unsigned int i = 0; i < pool->chunks; i++) {
		assert_int_equal((uintptr_t)pool->chunk[i].addr % PAGE, 0);
		assert_true(pool->chunk[i].bytes <= 1024 * MIB);
		total += pool->chunk[i].bytes;
	}
	assert_int_equal(total, slabs * record_bytes);
	frames = take_all(pool, &n);
	assert_int_equal(n, slabs);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal((uintptr_t)frames[i]->pixels % PAGE, 0);
		assert_true(inside_chunk(pool, frames[i]->pixels));
		assert_ptr_equal(frames[i]->mempool, pool->mempool);
		fill(frames[i], record_bytes, i);
		frames[i]->seq = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(frames[i]->seq, i);
		assert_int_equal(differences(frames[i], record_bytes, i), 0);
		dip_frame_put(frames[i]);
	}
	assert_int_equal(dip_frame_pool_available(pool), slabs);
	free(frames);
	dip_frame_pool_free(pool);
}

static void test_slabs(void **state)
{
	static const struct {
		uint32_t slabs;
		size_t record_bytes;
	} small[] = {{2, 4096}, {3, 4096}, {17, 8192}, {128, 184320}, {1000, 12288}, {4096, 4096},
		{2, 8 * 4096 * 4096 / 4}};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(small); i++) {
		size_t before = heap_free();

		check_slabs(small[i].slabs, small[i].record_bytes);
		if (!eal_huge()) /* else pages go back to the kernel */
			assert_int_equal(heap_free(), before);
	}
}

static void test_slabs_of_8192_x_8192(void **state)
{
	(void)state;
	check_slabs(3, 128 * MIB);
}

/* Chunks of at most 1 GiB: two slabs in the first, one in the second. */
static void test_several_chunks(void **state)
{
	(void)state;
	check_slabs(3, 360 * MIB);
}

static void test_100000_slabs(void **state)
{
	(void)state;
	check_slabs(100000, PAGE);
}

static void test_exhaustion(void **state)
{
	static const uint32_t sizes[] = {2, 5, 31, 32, 33, 100, 640, 5000};

	(void)state;
	for (size_t s = 0; s < RTE_DIM(sizes); s++) {
		struct dip_frame_pool *pool = pool_of(sizes[s], PAGE);

		for (int round = 0; round < 3; round++) {
			struct dip_frame *more, **frames;
			uint32_t n;

			frames = take_all(pool, &n);
			assert_int_equal(n, sizes[s]);
			assert_int_equal(dip_frame_alloc(pool, &more, 1), 0);
			assert_int_equal(dip_frame_pool_available(pool), 0);
			shuffle(frames, n);
			for (uint32_t i = 0; i < n; i++)
				dip_frame_put(frames[i]);
			assert_int_equal(dip_frame_pool_available(pool), n);
			free(frames);
		}
		dip_frame_pool_free(pool);
	}
}

/* Fewer than were asked for: all there are, not none. */
static void test_near_exhaustion(void **state)
{
	struct dip_frame_pool *pool = pool_of(1000, PAGE);
	struct dip_frame *some[40], **frames;
	uint32_t n;

	(void)state;
	frames = take_all(pool, &n);
	for (unsigned int left = 0; left <= 40; left++) {
		unsigned int got;

		for (unsigned int i = 0; i < left; i++)
			dip_frame_put(frames[i]);
		got = dip_frame_alloc(pool, some, 40);
		assert_int_equal(got, left);
		assert_int_equal(dip_frame_pool_available(pool), 0);
		for (unsigned int i = 0; i < got; i++) {
			assert_int_equal(dip_state_held(some[i]->state), 1);
			frames[i] = some[i];
		}
	}
	assert_int_equal(dip_frame_alloc(pool, some, 0), 0);
	for (uint32_t i = 0; i < n; i++)
		dip_frame_put(frames[i]);
	assert_int_equal(dip_frame_pool_available(pool), 1000);
	free(frames);
	dip_frame_pool_free(pool);
}

static void test_references(void **state)
{
	struct dip_frame_pool *pool = pool_of(8, PAGE);

	(void)state;
	for (uint32_t holders = 0; holders < 6; holders++) {
		struct dip_frame *frame;
		struct dip_desc desc;
		uint32_t generation;

		assert_int_equal(dip_frame_alloc(pool, &frame, 1), 1);
		assert_int_equal(dip_state_held(frame->state), 1);
		generation = dip_frame_generation(frame);
		desc = dip_frame_desc(frame, 0);
		dip_frame_hold(frame, holders);
		for (uint32_t i = 0; i < holders; i++) {
			dip_frame_put(frame);
			assert_int_equal(dip_frame_generation(frame), generation);
			assert_int_equal(dip_frame_pool_available(pool), 7);
			assert_ptr_equal(dip_desc_frame(&desc), frame);
		}
		dip_frame_put(frame);
		assert_int_equal(dip_frame_generation(frame), generation + 1);
		assert_int_equal(dip_frame_pool_available(pool), 8);
		assert_null(dip_desc_frame(&desc));
	}
	dip_frame_pool_free(pool);
}

static void test_stale_descriptor(void **state)
{
	struct dip_frame_pool *pool = pool_of(2, PAGE);
	struct dip_frame *frames[2];
	struct dip_desc old, new;

	(void)state;
	assert_int_equal(dip_frame_alloc(pool, frames, 2), 2);
	frames[0]->seq = 41;
	old = dip_frame_desc(frames[0], 7);
	assert_int_equal(old.seq, 41);
	assert_int_equal(old.ticket, 7);
	dip_frame_put(frames[0]);
	assert_null(dip_desc_frame(&old));
	/* The same slab with its next frame: the old descriptor stays refused. */
	assert_int_equal(dip_frame_alloc(pool, frames, 1), 1);
	assert_ptr_equal(frames[0], old.frame);
	frames[0]->seq = 42;
	new = dip_frame_desc(frames[0], 8);
	assert_null(dip_desc_frame(&old));
	assert_ptr_equal(dip_desc_frame(&new), frames[0]);
	assert_ptr_equal(dip_desc_frame(&(struct dip_desc){.frame = frames[1],
				 .generation = dip_frame_generation(frames[1])}),
		frames[1]);
	/* The count of generations goes round. */
	frames[1]->state = UINT32_MAX * DIP_STATE_GENERATION + DIP_STATE_HELD;
	old = dip_frame_desc(frames[1], 0);
	assert_ptr_equal(dip_desc_frame(&old), frames[1]);
	dip_frame_put(frames[1]);
	assert_int_equal(dip_frame_generation(old.frame), 0);
	assert_null(dip_desc_frame(&old));
	dip_frame_put(frames[0]);
	dip_frame_pool_free(pool);
}

static void says(const struct dip_error *err, const char *text)
{
	if (strstr(err->text, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, err->text);
	assert_null(strchr(err->text, '\n'));
}

/* The first, the last and any other byte of the image; what is behind it belongs to the archiver. */
static void test_changes_are_found(void **state)
{
	struct dip_frame_pool *pool = pool_of(2, PAGE);
	uint64_t checks = dip_metric_value("frame_checks"),
		 changes = dip_metric_value("frame_changes");
	const unsigned int at[] = {0, 999, 500};
	struct dip_frame *frame;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(dip_frame_alloc(pool, &frame, 1), 1);
	bytes = (uint8_t *)frame->pixels;
	memset(bytes, 7, PAGE);
	dip_frame_checksum(frame, 1000);
	dip_frame_compare(frame);
	bytes[1000] ^= 1;
	dip_frame_compare(frame);
	assert_int_equal(dip_metric_value("frame_changes"), changes);
	for (unsigned int i = 0; i < RTE_DIM(at); i++) {
		bytes[at[i]] ^= 1;
		dip_frame_compare(frame);
		assert_int_equal(dip_metric_value("frame_changes"), ++changes);
		bytes[at[i]] ^= 1;
		dip_frame_compare(frame);
	}
	assert_int_equal(dip_metric_value("frame_changes"), changes);
	assert_int_equal(dip_metric_value("frame_checks"), checks + 8);
	dip_frame_put(frame);
	dip_frame_pool_free(pool);
}

static void test_too_little_memory(void **state)
{
	struct dip_frame_pool *pool = NULL;
	size_t before = heap_free();
	struct dip_error err;
	char there[64];

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(create("test_frame", 100000, 128 * MIB, &pool, &err), -ENOMEM);
		assert_null(pool);
		says(&err, "main.slabs = 100000");
		says(&err, "13421772800000 bytes");
		if (eal_huge()) {
			says(&err, "echo 6400032 > /proc/sys/vm/nr_hugepages");
			continue;
		}
		snprintf(there, sizeof(there), "found %zu bytes", before);
		says(&err, there);
		says(&err, "-m 12800064");
		assert_int_equal(heap_free(), before);
	}
	assert_int_equal(create("test_frame", 100000, 128 * MIB, &pool, NULL), -ENOMEM);
	check_slabs(64, MIB);
}

/* The third chunk is not to be had: the two before it are given back. */
static void test_too_little_memory_halfway(void **state)
{
	struct dip_frame_pool *pool = NULL;
	size_t before = heap_free();
	struct dip_error err;

	(void)state;
	if (eal_huge()) {
		print_message("skipped: the heap grows with hugepages\n");
		skip();
	}
	assert_int_equal(create("test_frame", 3, 520 * MIB, &pool, &err), -ENOMEM);
	assert_null(pool);
	says(&err, "1635778560 bytes");
	assert_int_equal(heap_free(), before);
	pool = pool_of(2, 520 * MIB);
	dip_frame_pool_free(pool);
	dip_frame_pool_free(NULL);
}

static void test_name_in_use(void **state)
{
	struct dip_frame_pool *pool = pool_of(8, PAGE), *other = NULL;
	size_t before = heap_free();
	struct dip_error err = {""};

	(void)state;
	assert_true(create("test_frame", 8, PAGE, &other, &err) < 0);
	assert_null(other);
	assert_true(strlen(err.text) > 0);
	if (!eal_huge())
		assert_int_equal(heap_free(), before);
	dip_frame_pool_free(pool);
}

static void test_refused(void **state)
{
	static const size_t wrong[] = {0, 1, 512, 4095, 4097, 180000, 128 * MIB + 2048};
	struct dip_frame_pool *pool = NULL;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		struct dip_error err = {""};
		char found[32];

		assert_int_equal(create("test_frame", 8, wrong[i], &pool, &err), -EINVAL);
		assert_null(pool);
		snprintf(found, sizeof(found), "%zu bytes", wrong[i]);
		says(&err, found);
		says(&err, "multiple of 4096");
	}
}

/* --- several lcores: two make frames, each of which two others hold --- */

#define WORDS (PAGE / sizeof(uint64_t))

static struct {
	struct dip_frame_pool *pool;
	struct rte_ring *ring[2];
	bool stop;
	unsigned int producing;
	uint64_t wrong, produced, consumed[2], exhausted;
} stress;

static void offer(struct rte_ring *ring, struct dip_frame *frame)
{
	struct dip_desc desc = dip_frame_desc(frame, frame->seq);

	while (rte_ring_enqueue_elem(ring, &desc, sizeof(desc)) != 0)
		sched_yield();
}

static int produce(void *arg)
{
	uint64_t seq = (uint64_t)(uintptr_t)arg << 56, n = 0;
	struct dip_frame *frames[32];

	while (!__atomic_load_n(&stress.stop, __ATOMIC_RELAXED)) {
		unsigned int got = dip_frame_alloc(stress.pool, frames, 1 + seq % 32);

		if (got == 0) {
			__atomic_fetch_add(&stress.exhausted, 1, __ATOMIC_RELAXED);
			sched_yield();
		}
		for (unsigned int i = 0; i < got; i++, n++) {
			frames[i]->seq = seq++;
			fill(frames[i], PAGE, frames[i]->seq);
			dip_frame_hold(frames[i], 1);
			offer(stress.ring[0], frames[i]);
			offer(stress.ring[1], frames[i]);
		}
	}
	__atomic_fetch_add(&stress.produced, n, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&stress.producing, 1, __ATOMIC_RELEASE);
	return 0;
}

static int consume(void *arg)
{
	unsigned int ring = (uintptr_t)arg;

	for (;;) {
		bool last = __atomic_load_n(&stress.producing, __ATOMIC_ACQUIRE) == 0;
		struct dip_frame *frame;
		struct dip_desc desc;

		if (rte_ring_dequeue_elem(stress.ring[ring], &desc, sizeof(desc)) != 0) {
			if (last)
				return 0;
			sched_yield();
			continue;
		}
		frame = dip_desc_frame(&desc);
		if (frame == NULL || frame->seq != desc.seq ||
			differences(frame, PAGE, desc.seq) > 0)
			__atomic_fetch_add(&stress.wrong, 1, __ATOMIC_RELAXED);
		if (frame != NULL)
			dip_frame_put(frame);
		stress.consumed[ring]++;
	}
}

static void test_stress(void **state)
{
	(void)state;
	stress.pool = pool_of(600, PAGE);
	for (unsigned int i = 0; i < 2; i++) {
		stress.ring[i] = rte_ring_create_elem(i == 0 ? "stress0" : "stress1",
			sizeof(struct dip_desc), 256, SOCKET_ID_ANY, RING_F_SC_DEQ);
		assert_non_null(stress.ring[i]);
	}
	stress.producing = 2;
	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(rte_eal_remote_launch(produce, (void *)i, 1 + i), 0);
		assert_int_equal(rte_eal_remote_launch(consume, (void *)i, 3 + i), 0);
	}
	rte_delay_us_sleep(1000000);
	__atomic_store_n(&stress.stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	assert_int_equal(stress.wrong, 0);
	assert_true(stress.produced > 1000);
	assert_int_equal(stress.consumed[0], stress.produced);
	assert_int_equal(stress.consumed[1], stress.produced);
	assert_int_equal(dip_frame_pool_available(stress.pool), 600);
	for (unsigned int i = 0; i < 2; i++)
		rte_ring_free(stress.ring[i]);
	dip_frame_pool_free(stress.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slabs),
		cmocka_unit_test(test_slabs_of_8192_x_8192),
		cmocka_unit_test(test_several_chunks),
		cmocka_unit_test(test_100000_slabs),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_near_exhaustion),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_stale_descriptor),
		cmocka_unit_test(test_changes_are_found),
		cmocka_unit_test(test_too_little_memory),
		cmocka_unit_test(test_too_little_memory_halfway),
		cmocka_unit_test(test_name_in_use),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_stress),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
