/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

#include <errno.h>

#include <rte_cycles.h>

#include "dma/stream.h"

/* Frames that are read ahead while they are played: by a source made for it, whose frame i has pixels
 * of value i, and which fails, or waits, when it is told to. */

#define W 8
#define H 4
#define PIXELS (W * H)
#define FRAMES 50
#define NONE UINT64_MAX

static struct {
	uint64_t bad, dead; /* frames that are damaged; from which on nothing can be read */
	uint64_t gate;      /* atomic: frames from this one on are not read yet */
	uint64_t reads;     /* atomic */
} disk;

static int read_pixels(void *priv, uint64_t index, uint16_t *pixels, struct dip_error *err)
{
	(void)priv;
	while (index >= __atomic_load_n(&disk.gate, __ATOMIC_ACQUIRE))
		usleep(100);
	__atomic_fetch_add(&disk.reads, 1, __ATOMIC_RELAXED);
	if (index >= disk.dead)
		return dip_fail(err, EIO, "frame %lu: the disk is dead", (unsigned long)index);
	if (disk.bad != NONE && (index == disk.bad || index == disk.bad + 13))
		return dip_fail(err, EBADMSG, "frame %lu: no good", (unsigned long)index);
	for (unsigned int i = 0; i < PIXELS; i++)
		pixels[i] = index + i;
	return 0;
}

struct fake {
	int64_t held;
	struct dip_stream *stream;
};

static const struct dip_option arguments[] = {
	{DIP_SOURCE_ARGUMENT(dma_fake, struct fake, held, INT, "4", "frames", "held"), .min = 2,
		.max = 1000},
};

static int fake_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	(void)priv;
	(void)err;
	*info = (struct dip_dma_info){
		.width = W, .height = H, .frames = FRAMES, .max_queues = DIP_DMA_MAX_QUEUES};
	return 0;
}

static int fake_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct fake *f = priv;
	struct dip_stream_conf conf = {.frames = info->frames,
		.frame_bytes = PIXELS * 2,
		.held = f->held,
		.read = read_pixels};

	return dip_stream_create(&conf, &f->stream, err);
}

static void fake_close(void *priv)
{
	struct fake *f = priv;

	dip_stream_free(f->stream);
	f->stream = NULL;
}

static int fake_submit(
	void *priv, uint16_t queue, unsigned int slot, uint64_t seq, struct dip_frame *frame)
{
	struct fake *f = priv;

	return dip_stream_submit(f->stream, queue, slot, seq, frame);
}

static unsigned int fake_reap(
	void *priv, uint16_t queue, struct dip_landed *landed, unsigned int max)
{
	struct fake *f = priv;

	return dip_stream_reap(f->stream, queue, landed, max);
}

static int fake_configure(
	void *priv, const struct dip_dma_conf *conf, const struct dip_mover **mover)
{
	static const struct dip_mover streaming = {
		.depth = DIP_STREAM_DEPTH, .submit = fake_submit, .reap = fake_reap};
	struct fake *f = priv;

	*mover = &streaming;
	return dip_stream_configure(f->stream, conf);
}

static int fake_start(void *priv, const uint64_t *next_seq)
{
	struct fake *f = priv;

	return dip_stream_start(f->stream, next_seq);
}

static void fake_stop(void *priv)
{
	struct fake *f = priv;

	dip_stream_stop(f->stream);
}

static int fake_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	struct fake *f = priv;

	(void)queue;
	return dip_stream_read(f->stream, seq, pixels);
}

static struct dip_source_ops fake_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct fake),
	.examine = fake_examine,
	.open = fake_open,
	.configure = fake_configure,
	.start = fake_start,
	.stop = fake_stop,
	.fill = fake_fill,
	.close = fake_close,
};

DIP_SOURCE_REGISTER(dma_fake, fake_ops)

static int whole_disk(void **state)
{
	(void)state;
	disk.bad = disk.dead = disk.gate = NONE;
	disk.reads = 0;
	return 0;
}

/* Check and give back. */
static void check_frames(struct dip_frame **frames, int n, uint64_t *next)
{
	for (int i = 0; i < n; i++) {
		uint64_t seq = frames[i]->seq;

		assert_true(seq >= *next);
		*next = seq + 1;
		for (unsigned int j = 0; j < PIXELS; j++)
			assert_int_equal(frames[i]->pixels[j], seq % FRAMES + j);
		dip_frame_put(frames[i]);
	}
}

/* Poll that many queues in turn until the end, or an error. Returns how many frames came. */
static uint64_t take_all(const struct rig *r, unsigned int queues, int *error)
{
	struct dip_dma_poll poll[4] = {{.queue = 0}, {.queue = 1}, {.queue = 2}, {.queue = 3}};
	uint64_t next[4] = {0}, count = 0;
	struct dip_frame *frames[BURST];
	unsigned int ended = 0;

	*error = 0;
	for (unsigned int turn = 0; ended < queues; turn++) {
		unsigned int q = turn % queues;
		int n;

		if (poll[q].ended)
			continue;
		n = dequeue(r, &poll[q], frames, 1 + turn % BURST);
		if (n < 0) {
			*error = n;
			return count;
		}
		check_frames(frames, n, &next[q]);
		count += n;
		ended += poll[q].ended;
		if (n == 0)
			sched_yield();
	}
	return count;
}

static void check_run(const char *args, const struct dip_dma_conf *conf, uint64_t want)
{
	struct rig r;
	int error;

	open_started(&r, "dma_fake0", args, conf);
	assert_int_equal(take_all(&r, RTE_MAX(conf->queues, 1), &error), want);
	assert_int_equal(error, 0);
	assert_int_equal(xstat(&r, "frames"), want);
	assert_int_equal(xstat(&r, "missed"), 0);
	close_device(&r);
}

static void test_every_frame(void **state)
{
	static const char *const held[] = {"held=2", "held=3", "held=7", "held=49"};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(held); i++) {
		check_run(held[i], &(struct dip_dma_conf){.limit = 0}, FRAMES);
		check_run(held[i], &(struct dip_dma_conf){.limit = 31}, 31);
		check_run(held[i], &(struct dip_dma_conf){.loop = true, .limit = 333}, 333);
		check_run(held[i], &(struct dip_dma_conf){.loop = true, .limit = 333, .queues = 3},
			333);
		check_run(held[i],
			&(struct dip_dma_conf){.loop = true,
				.limit = 200,
				.fps = 2000,
				.queues = 2,
				.block = true},
			200);
	}
}

/* Read once each, before the start as many as are held. */
static void test_read_once(void **state)
{
	struct rig r;
	int error;

	(void)state;
	open_device(&r, "dma_fake0", "held=10");
	assert_int_equal(disk.reads, 10);
	make_pool(&r, SLABS);
	assert_int_equal(configure(&r, &(struct dip_dma_conf){.limit = 0}), 0);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, 1, &error), FRAMES);
	assert_int_equal(disk.reads, FRAMES);
	/* And again: nothing is there of the first ones. */
	rte_rawdev_stop(r.id);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, 1, &error), FRAMES);
	assert_int_equal(disk.reads, 2 * FRAMES);
	close_device(&r);
}

/* A poll does not wait for the disk. */
static void test_polls_do_not_wait(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	uint64_t next = 0, begin;
	struct rig r;

	(void)state;
	disk.gate = 10;
	open_started(&r, "dma_fake0", "held=4", &(struct dip_dma_conf){.limit = 20});
	while (next < 10)
		check_frames(frames, dequeue(&r, &poll, frames, BURST), &next);
	begin = rte_rdtsc();
	for (int i = 0; i < 10000; i++) /* the reader stands still, whatever is asked for */
		assert_int_equal(dequeue(&r, &poll, frames, BURST), 0);
	assert_true(rte_rdtsc() - begin < rte_get_tsc_hz());
	assert_false(poll.ended);
	assert_int_equal(poll.seq_floor, 10);
	__atomic_store_n(&disk.gate, NONE, __ATOMIC_RELEASE);
	while (!poll.ended)
		check_frames(frames, dequeue(&r, &poll, frames, BURST), &next);
	assert_int_equal(next, 20);
	assert_int_equal(xstat(&r, "missed"), 0);
	close_device(&r);
}

/* Frames that are lost for want of slabs are passed over. */
static void test_lost_frames(void **state)
{
	struct dip_dma_conf conf = {.loop = true, .limit = 2000, .fps = 4000};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *held[SLABS], *frames[BURST];
	uint64_t next = 0, n = 0;
	struct rig r;
	int error;

	(void)state;
	open_started(&r, "dma_fake0", "held=4", &conf);
	while (n < SLABS) {
		int got = dequeue(&r, &poll, frames, RTE_MIN(BURST, SLABS - n));

		for (int i = 0; i < got; i++)
			held[n++] = frames[i];
	}
	while (xstat(&r, "missed") < 100)
		assert_int_equal(dequeue(&r, &poll, frames, BURST), 0);
	check_frames(held, SLABS, &next);
	n += take_all(&r, 1, &error);
	assert_int_equal(error, 0);
	assert_in_range(n, SLABS + 100, 1900);
	assert_int_equal(n + xstat(&r, "missed"), 2000);
	assert_int_equal(xstat(&r, "missed"), xstat(&r, "pool_exhaust"));
	close_device(&r);
}

/* The device fails, with a line that says why, and only one. */
static void test_a_disk_that_fails(void **state)
{
	struct rig r;
	char *text;
	int error;

	(void)state;
	disk.dead = 20;
	eal_log_begin();
	open_started(&r, "dma_fake0", "held=4", &(struct dip_dma_conf){.limit = 0});
	assert_int_equal(take_all(&r, 1, &error), 20);
	assert_int_equal(error, -EIO);
	assert_int_equal(xstat(&r, "frames"), 20);
	assert_int_equal(xstat(&r, "errors"), 1);
	assert_true(xstat(&r, "missed") > 0);
	assert_int_equal(xstat(&r, "damaged"), 0);
	assert_int_equal(xstat(&r, "pool_exhaust"), 0);
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), *dip_dma_next_seq(r.id));
	close_device(&r);
	text = eal_log_end();
	assert_int_equal(count_of(text, "the disk is dead"), 1);
	assert_non_null(strstr(text, "frame 20: the disk is dead\n"));
	free(text);
}

/* What could not be read is read anew after a stop. */
static void test_a_disk_that_is_mended(void **state)
{
	struct rig r;
	int error;

	(void)state;
	open_started(&r, "dma_fake0", "held=4", &(struct dip_dma_conf){.limit = 0});
	assert_int_equal(take_all(&r, 1, &error), FRAMES);
	rte_rawdev_stop(r.id);
	disk.dead = 0;
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, 1, &error), 0);
	assert_int_equal(error, -EIO);
	rte_rawdev_stop(r.id);
	disk.dead = NONE;
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, 1, &error), FRAMES);
	assert_int_equal(error, 0);
	close_device(&r);
}

static void test_a_frame_that_is_damaged(void **state)
{
	struct rig r;
	char *text;
	int error;

	(void)state;
	disk.bad = 20;
	eal_log_begin();
	open_started(&r, "dma_fake0", "held=4", &(struct dip_dma_conf){.limit = 0});
	assert_int_equal(take_all(&r, 1, &error), FRAMES - 2);
	assert_int_equal(error, 0);
	assert_int_equal(xstat(&r, "missed"), 2);
	assert_int_equal(xstat(&r, "damaged"), 2);
	assert_int_equal(xstat(&r, "errors"), 0);
	/* Once more, from a disk that is good by now. */
	disk.bad = NONE;
	rte_rawdev_stop(r.id);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, 1, &error), FRAMES);
	assert_int_equal(xstat(&r, "missed"), 0);
	close_device(&r);
	text = eal_log_end();
	assert_int_equal(count_of(text, "no good"), 1);
	assert_non_null(strstr(text, "frame 20: no good\n"));
	free(text);
}

/* Among the first ones, before anything starts. */
static void test_a_first_frame_that_is_bad(void **state)
{
	char *text;

	(void)state;
	disk.bad = 3;
	eal_log_begin();
	assert_true(rte_vdev_init("dma_fake0", "held=4") < 0);
	text = eal_log_end();
	assert_int_equal(count_of(text, "dma_fake0: frame 3: no good"), 1);
	free(text);
}

/* A number is taken, but its transfer not begun: the thread may not know, and pass it. */
static void test_passed_and_wanted(void **state)
{
	struct dip_stream_conf conf = {
		.frames = FRAMES, .frame_bytes = PIXELS * 2, .held = 4, .read = read_pixels};
	uint64_t next_seq = 0;
	uint16_t pixels[PIXELS];
	struct dip_frame frame = {.pixels = pixels};
	struct dip_landed landed[4];
	struct dip_stream *s;
	struct dip_error err;

	(void)state;
	assert_int_equal(dip_stream_create(&conf, &s, &err), 0);
	assert_int_equal(
		dip_stream_configure(s, &(struct dip_dma_conf){.queues = 2, .loop = true}), 0);
	assert_int_equal(dip_stream_start(s, &next_seq), 0);
	__atomic_store_n(&next_seq, 6, __ATOMIC_RELEASE);
	while (__atomic_load_n(&disk.reads, __ATOMIC_RELAXED) < 4 + 4)
		usleep(100);
	for (uint64_t seq = 0; seq < 12; seq++) {
		assert_int_equal(dip_stream_submit(s, seq % 2, seq, seq, &frame), 0);
		if (seq >= 6)
			__atomic_store_n(&next_seq, seq + 1, __ATOMIC_RELEASE);
		while (dip_stream_reap(s, seq % 2, landed, 4) == 0)
			usleep(10);
		assert_int_equal(landed[0].slot, seq);
		assert_int_equal(landed[0].result, 0);
		for (unsigned int j = 0; j < PIXELS; j++)
			assert_int_equal(pixels[j], seq + j);
	}
	dip_stream_stop(s);
	dip_stream_free(s);
	dip_stream_free(NULL);
}

static void test_selftest(void **state)
{
	struct rig r;

	(void)state;
	open_device(&r, "dma_fake0", "held=3");
	assert_int_equal(rte_rawdev_selftest(r.id), 0);
	close_device(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, whole_disk, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_frame),
		TEST(test_read_once),
		TEST(test_polls_do_not_wait),
		TEST(test_lost_frames),
		TEST(test_a_disk_that_fails),
		TEST(test_a_disk_that_is_mended),
		TEST(test_a_frame_that_is_damaged),
		TEST(test_a_first_frame_that_is_bad),
		TEST(test_passed_and_wanted),
		TEST(test_selftest),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
