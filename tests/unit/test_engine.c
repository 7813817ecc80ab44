/* SPDX-License-Identifier: BSD-3-Clause */
#define ALLOW_EXPERIMENTAL_API

#include "dma_fixture.h"

#include <errno.h>

#include <rte_cycles.h>
#include <rte_dmadev.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "dma/copy.h"
#include "dma/dmadev.h"
#include "dma/source.h"
#include "dma/store.h"

/* What copies frames: the CPU, and a dmadev, here the software one of DPDK. What such a device can do
 * wrong, its functions do when they are told to. */

#define W 31 /* an odd number of bytes behind the last whole cache line */
#define H 13
#define PIXELS (W * H)
#define FRAMES 40

/* --- a source whose frame i has pixels of i + 7 j --- */

struct fake {
	int64_t empty;
	uint16_t *frames;
};

static const struct dip_option arguments[] = {
	{DIP_SOURCE_ARGUMENT(dma_fake, struct fake, empty, INT, "0", "", "nothing to copy"),
		.min = 0, .max = 1},
};

static uint16_t pixel(uint64_t frame, unsigned int j)
{
	return frame * 1009 + 7 * j;
}

static int fake_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	(void)priv;
	(void)err;
	*info = (struct dip_dma_info){
		.width = W, .height = H, .frames = FRAMES, .max_queues = DIP_DMA_MAX_QUEUES};
	return 0;
}

static bool wanted_dma_memory; /* by the source that was opened last */

static int fake_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct fake *f = priv;

	(void)info;
	(void)err;
	wanted_dma_memory = dip_source_dma_memory(priv);
	f->frames = rte_malloc(NULL, FRAMES * PIXELS * 2, RTE_CACHE_LINE_SIZE);
	for (unsigned int i = 0; i < FRAMES; i++)
		for (unsigned int j = 0; j < PIXELS; j++)
			f->frames[i * PIXELS + j] = pixel(i, j);
	return 0;
}

static void fake_close(void *priv)
{
	struct fake *f = priv;

	rte_free(f->frames);
	f->frames = NULL;
}

/* Frames lie back to back: most on no cache line. */
static const uint16_t *fake_locate(const void *priv, uint64_t seq)
{
	const struct fake *f = priv;

	return f->empty ? NULL : f->frames + seq % FRAMES * PIXELS;
}

static struct dip_source_ops fake_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct fake),
	.examine = fake_examine,
	.open = fake_open,
	.locate = fake_locate,
	.uncopied = "the fake is empty",
	.close = fake_close,
};

DIP_SOURCE_REGISTER(dma_fake, fake_ops)

/* --- a dmadev that does what it is told --- */

static struct {
	struct rte_dma_fp_object real;
	int16_t id;
	unsigned int room;    /* copies that it takes before it is full; UINT_MAX: its own ring */
	unsigned int in_ring; /* of them, not yet reported */
	bool stuck;           /* nothing ever completes */
	uint64_t copies, completions;
	uint64_t refuse_from, refuse_to; /* copies that are refused with -EIO */
	uint64_t fail_from, fail_to;     /* completions with an error */
} dev;

static int told_copy(
	void *priv, uint16_t vchan, rte_iova_t src, rte_iova_t dst, uint32_t length, uint64_t flags)
{
	if (dev.in_ring >= dev.room)
		return -ENOSPC;
	if (dev.copies >= dev.refuse_from && dev.copies < dev.refuse_to) {
		dev.copies++;
		return -EIO;
	}
	dev.copies++;
	dev.in_ring++;
	return dev.real.copy(priv, vchan, src, dst, length, flags);
}

static uint16_t told_status(void *priv, uint16_t vchan, const uint16_t max, uint16_t *last,
	enum rte_dma_status_code *status)
{
	uint16_t n = dev.stuck ? 0 : dev.real.completed_status(priv, vchan, max, last, status);

	for (uint16_t i = 0; i < n; i++, dev.completions++)
		if (dev.completions >= dev.fail_from && dev.completions < dev.fail_to)
			status[i] = RTE_DMA_STATUS_BUS_READ_ERROR;
	dev.in_ring -= n;
	return n;
}

/* Its functions are in place once it is started. */
static void take_over(void)
{
	dev.real = rte_dma_fp_objs[dev.id];
	rte_dma_fp_objs[dev.id].copy = told_copy;
	rte_dma_fp_objs[dev.id].completed_status = told_status;
}

static int no_orders(void **state)
{
	(void)state;
	memset(&dev, 0, sizeof(dev));
	dev.id = dip_dmadev_find("dma_skeleton");
	dev.room = UINT32_MAX;
	dev.refuse_from = dev.fail_from = UINT64_MAX;
	return 0;
}

static int give_back(void **state)
{
	if (dev.real.copy != NULL) {
		rte_dma_fp_objs[dev.id].copy = dev.real.copy;
		rte_dma_fp_objs[dev.id].completed_status = dev.real.completed_status;
	}
	return clean_up(state);
}

static void need_dmadev(void)
{
	if (dev.id >= 0)
		return;
	print_message("skipped: this DPDK has no driver dma_skeleton (rte_vdev_init fails)\n");
	skip();
}

/* --- helpers --- */

static void check_frame(struct dip_frame *frame)
{
	for (unsigned int j = 0; j < PIXELS; j++)
		assert_int_equal(frame->pixels[j], pixel(frame->seq % FRAMES, j));
	dip_frame_put(frame);
}

/* Poll queue 0 until it ends; frames must come in order. Returns how many. */
static uint64_t take_all(const struct rig *r, unsigned int burst)
{
	struct dip_dma_poll poll = {.queue = 0};
	uint64_t deadline = rte_rdtsc() + 20 * rte_get_tsc_hz(), next = 0, count = 0;
	struct dip_frame *frames[BURST];

	while (!poll.ended) {
		int n = dequeue(r, &poll, frames, burst);

		assert_true(n >= 0 && rte_rdtsc() < deadline);
		for (int i = 0; i < n; i++, count++) {
			assert_true(frames[i]->seq >= next && frames[i]->seq >= poll.seq_floor);
			next = frames[i]->seq + 1;
			check_frame(frames[i]);
		}
		if (n == 0) /* the dmadev's thread may need this CPU */
			sched_yield();
	}
	return count;
}

static void check_ledger(const struct rig *r)
{
	assert_int_equal(xstat(r, "frames") + xstat(r, "missed"), *dip_dma_next_seq(r->id));
	assert_int_equal(dip_frame_pool_available(r->pool), r->pool->slabs);
}

/* Only a cached copy leaves frames in a cache. */
static void told_engine(const struct rig *r, char *text)
{
	struct dip_dma_info dma;
	struct rte_rawdev_info info = {.dev_private = &dma};

	assert_int_equal(rte_rawdev_info_get(r->id, &info, sizeof(dma)), 0);
	strcpy(text, dma.engine);
	assert_int_equal(dma.uncached, text[0] != '\0' && strncmp(text, "cached:", 7) != 0);
}

/* The configuration is refused with one line that has these words. */
static void check_refused(
	const char *args, const struct dip_dma_conf *conf, const char *const words[])
{
	struct rig r;
	char *text;

	open_device(&r, "dma_fake0", args);
	make_pool(&r, SLABS);
	eal_log_begin();
	assert_int_equal(configure(&r, conf), -EINVAL);
	text = eal_log_end();
	assert_int_equal(count_of(text, "dma_fake0: "), 1);
	for (unsigned int i = 0; words[i] != NULL; i++)
		if (strstr(text, words[i]) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", words[i], text);
	free(text);
	assert_true(rte_rawdev_start(r.id) < 0);
	close_device(&r);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- copies by the CPU --- */

#define AREA 20000

static void check_copy(const struct dip_copier *copier, size_t to, size_t from, size_t bytes)
{
	static uint8_t source[AREA], target[AREA], before[AREA];

	for (size_t i = 0; i < AREA; i++) {
		source[i] = i * 31 + i / 251;
		before[i] = target[i] = ~source[i] + 5;
	}
	copier->copy(target + to, source + from, bytes);
	assert_memory_equal(target + to, source + from, bytes);
	assert_memory_equal(target, before, to);
	assert_memory_equal(target + to + bytes, before + to + bytes, AREA - to - bytes);
}

static void test_copiers_are_exact(void **state)
{
	static const size_t sizes[] = {
		0, 1, 2, 15, 63, 64, 65, 127, 128, 191, 806, 4095, 4096, 9001};
	static const char *const names[] = {"cached", "streaming"};

	(void)state;
	for (unsigned int c = 0; c < RTE_DIM(names); c++)
		for (unsigned int i = 0; i < RTE_DIM(sizes); i++)
			for (size_t to = 0; to < 70; to += 1 + to / 8)
				for (size_t from = 0; from < 20; from += 3)
					check_copy(dip_copier_find(names[c]), to, from, sizes[i]);
	assert_null(dip_copier_find("auto"));
	assert_null(dip_copier_find(""));
}

static const void *same_frame(const void *priv, uint64_t i)
{
	(void)i;
	return priv;
}

static void test_measuring_is_short(void **state)
{
	static const size_t sizes[] = {2, 180000, 24 << 20};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		uint8_t *from = calloc(1, sizes[i]), *to = calloc(1, sizes[i]);
		uint64_t begin;
		struct dip_copy_cost cost;

		memset(from, 3, sizes[i]);
		memset(to, 4, sizes[i]);
		begin = rte_rdtsc();
		cost = dip_copy_measure(to, sizes[i], same_frame, from);
		assert_true(rte_rdtsc() - begin < rte_get_tsc_hz() / 5); /* 10 ms, on a busy CPU */
		assert_true(cost.cached > 0 && cost.cached < UINT64_MAX);
		assert_true(cost.streaming > 0 && cost.streaming < UINT64_MAX);
		assert_int_equal(to[0], 3);
		free(from);
		free(to);
	}
}

static void check_engine(const char *args, const struct dip_dma_conf *conf, const char *told)
{
	char text[DIP_DMA_ENGINE_TEXT];
	struct rig r;

	open_started(&r, "dma_fake0", args, conf);
	told_engine(&r, text);
	assert_memory_equal(text, told, strlen(told));
	assert_int_equal(take_all(&r, BURST), FRAMES);
	assert_int_equal(xstat(&r, "missed"), 0);
	check_ledger(&r);
	close_device(&r);
}

static void test_engines_of_the_cpu(void **state)
{
	struct dip_dma_conf here = {.block = true}, there = {.block = true, .handed_over = true};
	char text[DIP_DMA_ENGINE_TEXT];
	struct rig r;
	double cached, streaming;

	(void)state;
	check_engine("engine=cached", &here, "cached: as asked for");
	check_engine("engine=streaming", &here, "streaming: as asked for");
	check_engine("engine=cached", &there, "cached: as asked for");
	check_engine("", &there, "streaming: another lcore");
	/* auto says what it measured, and takes the cheaper one. */
	open_started(&r, "dma_fake0", "engine=auto", &here);
	told_engine(&r, text);
	assert_int_equal(sscanf(strstr(text, "take"), "take %lf us cached, %lf us streaming",
				 &cached, &streaming),
		2);
	assert_true(
		strncmp(text, "streaming:", 10) == 0 ? streaming <= cached : cached <= streaming);
	close_device(&r);
}

static void test_nothing_to_copy(void **state)
{
	static const struct {
		const char *device, *args, *words;
	} cases[] = {
		{"dma_fake0", "empty=1,engine=cached",
			"engine=cached: there is nothing to copy: the fake"},
		{"dma_fake0", "empty=1,engine=dma_skeleton", "there is nothing to copy"},
		{"dma_null0", "engine=streaming",
			"engine=streaming: there is nothing to copy: this source"},
		{"dma_sim0", "engine=streaming", "expected cycle=N"},
		{"dma_fake0", "copies=0", "copies=0: out of range"},
		{"dma_fake0", "copies=-3", "copies=-3: out of range"},
		{"dma_fake0", "copies=257", "copies=257: out of range"},
		{"dma_fake0", "copies=many",
			"copies=many: not a value; expected a whole number from 1 to 256"},
	};

	char text[DIP_DMA_ENGINE_TEXT];
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		char *said;

		eal_log_begin();
		assert_true(rte_vdev_init(cases[i].device, cases[i].args) < 0);
		said = eal_log_end();
		if (strstr(said, cases[i].words) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", cases[i].words, said);
		free(said);
	}
	/* And nobody wants an engine: none is told. */
	open_started(&r, "dma_fake0", "empty=1", &(struct dip_dma_conf){.limit = 0});
	told_engine(&r, text);
	assert_string_equal(text, "");
	close_device(&r);
}

/* --- a dmadev --- */

static void test_every_frame_through_a_dmadev(void **state)
{
	static const char *const args[] = {"engine=dma_skeleton,copies=1",
		"engine=dma_skeleton,copies=7", "engine=dma_skeleton",
		"engine=dma_skeleton,copies=256"};
	struct dip_dma_conf conf = {.loop = true, .limit = 300, .block = true};
	struct rig r;

	(void)state;
	need_dmadev();
	for (unsigned int i = 0; i < RTE_DIM(args); i++)
		for (unsigned int burst = 1; burst <= BURST; burst *= 2) {
			open_started(&r, "dma_fake0", args[i], &conf);
			assert_int_equal(take_all(&r, burst), 300);
			assert_int_equal(xstat(&r, "missed"), 0);
			check_ledger(&r);
			/* Once more, after a stop. */
			rte_rawdev_stop(r.id);
			assert_int_equal(rte_rawdev_start(r.id), 0);
			assert_int_equal(take_all(&r, burst), 300);
			close_device(&r);
		}
	check_engine("engine=dma_skeleton,copies=3", &(struct dip_dma_conf){.queues = 1},
		"dmadev dma_skeleton: as asked for, 3 copies in flight");
}

/* So many in flight, and a poll waits for none of them. */
static void test_copies_in_flight(void **state)
{
	struct dip_dma_conf conf = {.loop = true, .limit = 1000, .block = true};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	uint64_t begin;
	struct rig r;

	(void)state;
	need_dmadev();
	open_started(&r, "dma_fake0", "engine=dma_skeleton,copies=5", &conf);
	take_over();
	dev.stuck = true;
	begin = rte_rdtsc();
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(dequeue(&r, &poll, frames, BURST), 0);
	assert_true(rte_rdtsc() - begin < rte_get_tsc_hz());
	assert_int_equal(dev.copies, 5);
	assert_int_equal(poll.seq_floor, 0);
	assert_false(poll.ended);
	dev.stuck = false;
	assert_int_equal(take_all(&r, BURST), 1000);
	check_ledger(&r);
	close_device(&r);
}

/* What it has no room for waits for a later poll: late, but neither lost nor out of order. */
static void test_a_dmadev_that_is_full(void **state)
{
	struct dip_dma_conf conf = {.loop = true, .limit = 500, .block = true};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	struct rig r;

	(void)state;
	need_dmadev();
	open_started(&r, "dma_fake0", "engine=dma_skeleton,copies=9", &conf);
	take_over();
	dev.room = 0;
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(dequeue(&r, &poll, frames, BURST), 0);
	assert_int_equal(dev.copies, 0);
	assert_int_equal(xstat(&r, "missed"), 0);
	dev.room = 2;
	assert_int_equal(take_all(&r, BURST), 500);
	assert_int_equal(dev.copies, 500);
	assert_int_equal(xstat(&r, "missed"), 0);
	check_ledger(&r);
	close_device(&r);
}

static void check_failures(uint64_t failed, const char *line)
{
	struct dip_dma_conf conf = {.loop = true, .limit = 300, .block = true};
	struct rig r;
	char *text;

	open_started(&r, "dma_fake0", "engine=dma_skeleton,copies=9", &conf);
	take_over();
	eal_log_begin();
	assert_int_equal(take_all(&r, BURST), 300 - failed);
	text = eal_log_end();
	assert_int_equal(xstat(&r, "missed"), failed);
	assert_int_equal(xstat(&r, "copy_errors"), failed);
	assert_int_equal(xstat(&r, "damaged"), 0);
	assert_int_equal(xstat(&r, "errors"), 0);
	assert_int_equal(count_of(text, "\n"), 1);
	if (strstr(text, line) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", line, text);
	free(text);
	check_ledger(&r);
	close_device(&r);
}

/* A frame that was not copied is never delivered. */
static void test_copies_that_fail(void **state)
{
	(void)state;
	need_dmadev();
	dev.fail_from = 40;
	dev.fail_to = 63;
	check_failures(23, "dmadev dma_skeleton, virtual channel 0: a copy fails with status");
}

static void test_copies_that_are_refused(void **state)
{
	(void)state;
	need_dmadev();
	dev.refuse_from = 40;
	dev.refuse_to = 45;
	check_failures(5, "a copy is refused with errno 5");
}

static void test_both_at_once(void **state)
{
	(void)state;
	need_dmadev();
	dev.refuse_from = 40;
	dev.refuse_to = 90;
	dev.fail_from = 30;
	dev.fail_to = 60;
	dev.room = 3;
	check_failures(80, "a copy fails with status");
}

/* Another second, another line. */
static void test_episodes(void **state)
{
	struct dip_dma_conf conf = {.loop = true, .fps = 10, .limit = 14};
	struct rig r;
	char *text;

	(void)state;
	need_dmadev();
	dev.refuse_from = 1;
	dev.refuse_to = 2;
	dev.fail_from = 12;
	dev.fail_to = 13;
	open_started(&r, "dma_fake0", "engine=dma_skeleton", &conf);
	take_over();
	eal_log_begin();
	assert_int_equal(take_all(&r, BURST), 12);
	text = eal_log_end();
	assert_int_equal(count_of(text, "\n"), 2);
	free(text);
	check_ledger(&r);
	close_device(&r);
}

/* A stop waits for what is on its way; for what never comes it does not. */
static void check_stop(bool stuck, unsigned int copies)
{
	struct dip_dma_conf conf = {.loop = true, .block = true};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	struct rig r;
	int n;

	open_started(&r, "dma_fake0", "engine=dma_skeleton,copies=20", &conf);
	take_over();
	n = dequeue(&r, &poll, frames, BURST);
	for (int i = 0; i < n; i++)
		check_frame(frames[i]);
	assert_int_equal(dev.copies, copies);
	dev.stuck = stuck;
	rte_rawdev_stop(r.id);
	check_ledger(&r);
	assert_int_equal(xstat(&r, "missed") + n, 20);
	/* It is as good as before after another start. */
	dev.stuck = false;
	dev.room = UINT32_MAX;
	assert_int_equal(rte_rawdev_start(r.id), 0);
	for (poll.drain = false; *dip_dma_next_seq(r.id) < 500;) {
		n = dequeue(&r, &poll, frames, BURST);
		for (int i = 0; i < n; i++)
			check_frame(frames[i]);
	}
	for (poll.drain = true; !poll.ended;) {
		n = dequeue(&r, &poll, frames, BURST);
		for (int i = 0; i < n; i++)
			check_frame(frames[i]);
	}
	assert_int_equal(xstat(&r, "missed"), 0);
	check_ledger(&r);
	close_device(&r);
}

static void test_stop_with_copies_on_their_way(void **state)
{
	(void)state;
	need_dmadev();
	check_stop(false, 20);
}

static void test_stop_with_a_dmadev_that_hangs(void **state)
{
	char *text;

	(void)state;
	need_dmadev();
	dev.room = 6; /* some never even went there */
	eal_log_begin();
	check_stop(true, 6);
	text = eal_log_end();
	assert_int_equal(count_of(text, "20 copies do not complete; the dmadev is stopped\n"), 1);
	free(text);
}

/* Faults do with an engine what they do without. */
static void test_faults(void **state)
{
	struct dip_dma_conf conf = {.loop = true, .limit = 2000, .block = true};
	static const char *const args[] = {"engine=cached,", "engine=dma_skeleton,"};
	uint64_t missed[2], faults[2], frames[2];

	(void)state;
	need_dmadev();
	for (unsigned int i = 0; i < 2; i++) {
		char text[128];
		struct rig r;

		snprintf(text, sizeof(text), "%sfaults=lost~0.1+jump:5@100+late:1@300+stall:2@500",
			args[i]);
		open_started(&r, "dma_fake0", text, &conf);
		frames[i] = take_all(&r, BURST);
		missed[i] = xstat(&r, "missed");
		faults[i] = xstat(&r, "faults");
		assert_int_equal(xstat(&r, "copy_errors"), 0);
		check_ledger(&r);
		close_device(&r);
	}
	assert_true(missed[0] > 100);
	assert_int_equal(missed[0], missed[1]);
	assert_int_equal(faults[0], faults[1]);
	assert_int_equal(frames[0], frames[1]);
}

/* dma_skeleton has one virtual channel. */
static void test_virtual_channels(void **state)
{
	struct dip_dma_conf conf = {.limit = FRAMES, .block = true};
	struct rig one, two;
	char *text;

	(void)state;
	need_dmadev();
	open_started(&one, "dma_fake0", "engine=dma_skeleton", &conf);
	open_device(&two, "dma_fake1", "engine=dma_skeleton");
	assert_int_equal(two.info.max_queues, 1);
	make_pool(&two, SLABS);
	eal_log_begin();
	assert_int_equal(configure(&two, &conf), -EINVAL);
	text = eal_log_end();
	assert_non_null(strstr(text, "engine=dma_skeleton: this dmadev has 1 virtual channels, of "
				     "which other sources have 1; 1 are needed"));
	free(text);
	assert_int_equal(take_all(&one, BURST), FRAMES);
	close_device(&one);
	/* It is free now. */
	assert_int_equal(configure(&two, &conf), 0);
	assert_int_equal(configure(&two, &conf), 0);
	assert_int_equal(rte_rawdev_start(two.id), 0);
	assert_int_equal(take_all(&two, BURST), FRAMES);
	close_device(&two);
	/* Two queues want two. */
	conf.queues = 2;
	open_device(&one, "dma_fake0", "engine=dma_skeleton");
	make_pool(&one, SLABS);
	eal_log_begin();
	assert_int_equal(configure(&one, &conf), -EINVAL);
	text = eal_log_end();
	assert_non_null(strstr(text, "of which other sources have 0; 2 are needed, one a queue"));
	free(text);
	close_device(&one);
}

static void test_unknown_engines(void **state)
{
	struct dip_dma_conf conf = {.limit = 1};

	(void)state;
	check_refused("engine=dsa7", &conf,
		WORDS("dma_fake0: engine=dsa7: there is no such engine", "auto, cached, streaming",
			dev.id >= 0 ? "dmadevs found: dma_skeleton;" : "dmadevs found: none;"));
	check_refused("engine=Cached", &conf, WORDS("engine=Cached: there is no such engine"));
}

/* A dmadev reads EAL's memory alone. */
static void test_memory_for_a_dmadev(void **state)
{
	static const char *const args[] = {"", "engine=cached", "engine=dma_skeleton"};
	struct dip_store store;
	struct dip_error err;
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(args); i++) {
		open_device(&r, "dma_fake0", args[i]);
		assert_int_equal(wanted_dma_memory, i == 2);
		close_device(&r);
	}
	for (unsigned int dma = 0; dma < 2; dma++) {
		assert_int_equal(dip_store_create(&store, 3, 1000, dma, &err), 0);
		assert_int_equal(rte_mem_virt2memseg(store.frames, NULL) != NULL, dma);
		dip_store_free(&store);
		assert_null(store.frames);
	}
	assert_int_equal(dip_store_create(&store, 1 << 20, 1 << 20, true, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "more hugepages"));
}

static void test_what_a_dmadev_must_do(void **state)
{
	struct rte_dma_info good = {.dev_name = "dsa0",
		.dev_capa = RTE_DMA_CAPA_MEM_TO_MEM | RTE_DMA_CAPA_OPS_COPY,
		.max_vchans = 1,
		.max_desc = 64,
		.min_desc = 64};
	struct rte_dma_info bad = good;
	struct dip_error err;

	(void)state;
	assert_int_equal(dip_dmadev_check(&good, 64, &err), 0);
	assert_int_equal(dip_dmadev_check(&good, 65, &err), -EINVAL);
	assert_string_equal(err.text,
		"copies=65: the ring of dmadev dsa0 holds 64; expected at most "
		"that");
	bad.dev_capa = RTE_DMA_CAPA_OPS_COPY | RTE_DMA_CAPA_DEV_TO_MEM;
	assert_int_equal(dip_dmadev_check(&bad, 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "engine=dsa0: this dmadev does not copy from memory to"));
	bad.dev_capa = RTE_DMA_CAPA_MEM_TO_MEM;
	assert_int_equal(dip_dmadev_check(&bad, 1, &err), -EINVAL);
}

static void test_selftest(void **state)
{
	static const char *const args[] = {"", "engine=streaming", "engine=dma_skeleton"};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(args); i++) {
		struct rig r;

		if (i == 2)
			need_dmadev();
		open_device(&r, "dma_fake0", args[i]);
		assert_int_equal(rte_rawdev_selftest(r.id), 0);
		close_device(&r);
	}
}

static int start(void **state)
{
	if (eal_start(state) != 0)
		return -1;
	rte_vdev_init("dma_skeleton", NULL);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, no_orders, give_back)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copiers_are_exact),
		TEST(test_measuring_is_short),
		TEST(test_engines_of_the_cpu),
		TEST(test_nothing_to_copy),
		TEST(test_every_frame_through_a_dmadev),
		TEST(test_copies_in_flight),
		TEST(test_a_dmadev_that_is_full),
		TEST(test_copies_that_fail),
		TEST(test_copies_that_are_refused),
		TEST(test_both_at_once),
		TEST(test_episodes),
		TEST(test_stop_with_copies_on_their_way),
		TEST(test_stop_with_a_dmadev_that_hangs),
		TEST(test_faults),
		TEST(test_virtual_channels),
		TEST(test_unknown_engines),
		TEST(test_memory_for_a_dmadev),
		TEST(test_what_a_dmadev_must_do),
		TEST(test_selftest),
	};

	return cmocka_run_group_tests(tests, start, eal_stop);
}
