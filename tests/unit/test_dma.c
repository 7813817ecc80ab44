/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_launch.h>

#include "npy/npy.h"

#define WIDTH 20
#define HEIGHT 12
#define STACK 7 /* frames in the file */

/* --- a folder with a stack of frames; its name needs %XX in an argument --- */

static char folder[64] = "/tmp/dip,dma=%41_XXXXXX";
static char file_args[256];
static char stream_args[256 + 32]; /* the same with room for 5 of its frames, of 512 bytes each */

static uint16_t pixel(uint64_t frame, uint32_t i)
{
	return frame * 9001 + i * 31 + 1;
}

static const char *file_path(void)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/stack.npy", folder);
	return path;
}

static const char *config_path(void)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/args.cfg", folder);
	return path;
}

static int make_file(void)
{
	char header[128], shape[64];
	FILE *f = fopen(file_path(), "w");

	if (f == NULL)
		return -1;
	snprintf(shape, sizeof(shape), "(%d, %d, %d)", STACK, HEIGHT, WIDTH);
	if (dip_npy_header_write(header, sizeof(header), "'<u2'", shape) < 0)
		return -1;
	fwrite(header, 1, sizeof(header), f);
	for (uint64_t frame = 0; frame < STACK; frame++)
		for (uint32_t i = 0; i < WIDTH * HEIGHT; i++) {
			uint16_t value = pixel(frame, i);

			fwrite(&value, sizeof(value), 1, f);
		}
	return fclose(f);
}

static int setup(void **state)
{
	if (mkdtemp(folder) == NULL || make_file() < 0)
		return -1;
	/* "," and "=" and "%" of the name; a "%" before anything but two hexadecimal digits
	 * stays. */
	snprintf(file_args, sizeof(file_args), "path=/tmp/dip%%2cdma%%3D%%2541_%s",
		strrchr(folder, '_') + 1);
	snprintf(stream_args, sizeof(stream_args), "%s,preload_bytes=2999", file_args);
	return eal_start(state);
}

static int teardown(void **state)
{
	unlink(file_path());
	unlink(config_path());
	rmdir(folder);
	return eal_stop(state);
}

/* --- devices, their states and their arguments --- */

static void test_info(void **state)
{
	struct rte_rawdev_info info;
	struct dip_dma_info mine;
	struct rig r;

	(void)state;
	open_device(&r, "dma_file0", file_args);
	assert_int_equal(r.info.width, WIDTH);
	assert_int_equal(r.info.height, HEIGHT);
	assert_int_equal(r.info.frames, STACK);
	assert_int_equal(r.info.max_queues, DIP_DMA_MAX_QUEUES);
	info.dev_private = &mine;
	assert_int_equal(rte_rawdev_info_get(r.id, &info, sizeof(mine) - 1), -EINVAL);
	assert_int_equal(rte_rawdev_info_get(r.id, &info, sizeof(mine) + 8), -EINVAL);
	assert_int_equal(rte_vdev_init("dma_file0", file_args), -EEXIST);
	close_device(&r);
	open_device(&r, "dma_null3", "width=17,height=65535,frames=1000000000000000");
	assert_int_equal(r.info.width, 17);
	assert_int_equal(r.info.height, 65535);
	assert_int_equal(r.info.frames, 1000000000000000);
	close_device(&r);
	open_device(&r, "dma_error9", "");
	assert_int_equal(r.info.width, 16);
	assert_int_equal(r.info.frames, 0);
	close_device(&r);
}

/* What rte_rawdev_dump tells of a device. */
static void test_dump(void **state)
{
	const struct dip_dma_conf conf = {.queues = 2, .fps = 250, .loop = true, .block = true};
	char *text = NULL;
	size_t bytes;
	struct rig r;
	FILE *f = open_memstream(&text, &bytes);

	(void)state;
	assert_non_null(f);
	open_started(&r, "dma_file0", file_args, &conf);
	assert_int_equal(rte_rawdev_dump(r.id, f), 0);
	close_device(&r);
	fclose(f);
	assert_non_null(strstr(text, "dma_file0: 20 x 12 pixels, 7 frames, 250 frames a second, 2 queues, "
				     "loop, block, engine "));
	free(text);
}

static void test_arguments(void **state)
{
	static const struct {
		const char *name, *args, *says;
	} wrong[] = {
		{"dma_file1", "", "no path"},
		{"dma_file1", "path=/nowhere/at/all", "/nowhere/at/all"},
		{"dma_file1", "path=/tmp%2Fnowhere%2C%zz", "/tmp/nowhere,%zz"},
		{"dma_file1", "folder=/tmp", "path"},
		{"dma_null1", "width=0", "width=0"},
		{"dma_null1", "width=65536", "65535"},
		{"dma_null1", "height=-1", "height=-1"},
		{"dma_null1", "height=12x", "height=12x"},
		{"dma_null1", "frames=18446744073709551616", "frames="},
		{"dma_null1", "frames=", "frames"},
		{"dma_null1", "frames=1000000000000001", "1000000000000000"},
		{"dma_null1", "width", "name=value"},
		{"dma_null1", "with=5", "with=5: unknown argument; expected one of width, height"},
		{"dma_error1", "fail_configure=-1", "fail_configure=-1"},
	};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		char *text;
		int ret;

		eal_log_begin();
		ret = rte_vdev_init(wrong[i].name, wrong[i].args);
		text = eal_log_end();
		assert_true(ret < 0);
		if (strstr(text, wrong[i].says) == NULL || strstr(text, wrong[i].name) == NULL)
			fail_msg("no \"%s\" in: %s", wrong[i].says, text);
		free(text);
		assert_int_equal((int16_t)rte_rawdev_get_dev_id(wrong[i].name), -ENODEV);
	}
}

/* --- a file with arguments --- */

static void write_config(const char *text)
{
	FILE *f = fopen(config_path(), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_config_file(void **state)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"dma_null = { width = 0; };", ":1: dma_null.width = 0: out of range"},
		{"dma_null = {\n wdth = 5; };", ":2: dma_null.wdth: unknown key; did you mean"},
		{"dma_nul = { width = 5; };", "unknown group; did you mean dma_null?"},
		{"dma_file = { path = \"x\"; };", "unknown group"},
		{"source = { config = \"more\"; };", "source.config: unknown key"},
		{"dma_null = { width = 5; ", ":2: syntax error"},
	};
	char args[128], *text;
	struct rig r;

	(void)state;
	snprintf(args, sizeof(args),
		"height=7,config=/tmp/dip%%2cdma%%3D%%2541_%s/args.cfg,frames=9",
		strrchr(folder, '_') + 1);
	write_config("dma_null = { width = 33; height = 44; frames = 0x10; };");
	open_device(&r, "dma_null0", args);
	assert_int_equal(r.info.width, 33);
	assert_int_equal(r.info.height, 7); /* what is given beside the file comes after it */
	assert_int_equal(r.info.frames, 9);
	close_device(&r);
	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		write_config(wrong[i].text);
		eal_log_begin();
		assert_true(rte_vdev_init("dma_null0", args) < 0);
		text = eal_log_end();
		if (strstr(text, wrong[i].says) == NULL || strstr(text, "args.cfg") == NULL)
			fail_msg("no \"%s\" in: %s", wrong[i].says, text);
		free(text);
	}
	unlink(config_path());
	eal_log_begin();
	assert_true(rte_vdev_init("dma_null0", args) < 0);
	text = eal_log_end();
	assert_non_null(strstr(text, "No such file"));
	free(text);
}

static void test_states(void **state)
{
	struct dip_dma_conf conf = {.queues = 1};
	struct rte_rawdev_info info = {.dev_private = &conf};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r;

	(void)state;
	open_device(&r, "dma_null0", "width=64,height=64");
	make_pool(&r, 8);
	assert_int_equal(rte_rawdev_start(r.id), -EINVAL);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 0);
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL); /* no pool */
	conf.pool = r.pool;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf) - 1), -EINVAL);
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf) + 1), -EINVAL);
	assert_int_equal(rte_rawdev_configure(r.id, &info, 0), -EINVAL);
	conf.queues = 0;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL);
	conf.queues = DIP_DMA_MAX_QUEUES + 1;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL);
	conf.queues = 1;
	conf.fps = -1;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL);
	conf.fps = NAN;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL);
	conf.fps = 0;
	r.pool->record_bytes -= 4096; /* slabs too small for a frame */
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EINVAL);
	r.pool->record_bytes += 4096;
	assert_int_equal(rte_rawdev_start(r.id), -EINVAL); /* none of these took effect */
	conf.queues = DIP_DMA_MAX_QUEUES;
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), 0);
	assert_int_equal(rte_rawdev_queue_count(r.id), DIP_DMA_MAX_QUEUES);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(rte_rawdev_configure(r.id, &info, sizeof(conf)), -EBUSY);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
	dip_frame_put(frame);
	assert_int_equal(rte_vdev_uninit(r.name), -EBUSY);
	close_device(&r);
}

static void test_selftests(void **state)
{
	static const struct {
		const char *name, *args;
		int want;
	} devices[] = {
		{"dma_file0", file_args, 0},
		{"dma_file0", stream_args, 0},
		{"dma_null0", "", 0},
		{"dma_null1", "width=1,height=1,frames=3", 0},
		{"dma_error0", "", 0},
		{"dma_error1", "width=33,height=5,frames=300", 0},
		{"dma_error2", "fail_frame=300", 0}, /* more than it looks at */
		{"dma_error3", "fail_frame=255", -EIO},
		{"dma_error4", "fail_frame=0", -EIO},
		{"dma_error5", "fail_configure=1", -EIO},
	};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(devices); i++) {
		struct rig r;

		open_device(&r, devices[i].name, devices[i].args);
		assert_int_equal(rte_rawdev_selftest(r.id), devices[i].want);
		assert_int_equal(rte_rawdev_selftest(r.id),
			strcmp(r.name, "dma_error5") == 0 ? 0 : devices[i].want);
		close_device(&r);
	}
}

/* The pool of the selftest is gone: a start without a configuration must not take slabs of it. */
static void test_selftest_leaves_unconfigured(void **state)
{
	struct rig r;

	(void)state;
	open_device(&r, "dma_null0", "");
	assert_int_equal(rte_rawdev_selftest(r.id), 0);
	assert_int_equal(rte_rawdev_start(r.id), -EINVAL);
	close_device(&r);
}

/* Memory that came to lie where the frames were is not unmapped with them. */
static void test_close_then_remove(void **state)
{
	size_t bytes = 2 << 20; /* what the frames take */
	unsigned char there[512];
	struct rig r;
	void *later;

	(void)state;
	open_device(&r, "dma_file0", file_args);
	assert_int_equal(rte_rawdev_close(r.id), 0);
	later = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(later, MAP_FAILED);
	close_device(&r);
	assert_int_equal(mincore(later, bytes, there), 0);
	munmap(later, bytes);
}

/* --- counters --- */

static const char *const xstat_names[] = {"frames", "missed", "pool_exhaust", "overwritten",
	"pool_waits", "bytes", "errors", "gaps", "damaged", "copy_errors", "faults", "late_max_ns"};
#define XSTATS RTE_DIM(xstat_names)

static void test_xstats(void **state)
{
	struct dip_dma_conf conf = {.limit = 5};
	struct rte_rawdev_xstats_name names[XSTATS];
	unsigned int ids[XSTATS], id;
	uint64_t values[XSTATS];
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	struct rig r;

	(void)state;
	open_started(&r, "dma_null0", "width=8,height=4", &conf);
	assert_int_equal(rte_rawdev_xstats_names_get(r.id, NULL, 0), XSTATS);
	assert_int_equal(rte_rawdev_xstats_names_get(r.id, names, XSTATS), XSTATS);
	assert_int_equal(dequeue(&r, &poll, frames, 3), 3);
	for (int i = 0; i < 3; i++)
		dip_frame_put(frames[i]);
	for (unsigned int i = 0; i < XSTATS; i++) {
		assert_string_equal(names[i].name, xstat_names[i]);
		ids[i] = XSTATS - 1 - i;
	}
	assert_int_equal(rte_rawdev_xstats_get(r.id, ids, values, XSTATS), XSTATS);
	for (unsigned int i = 0; i < XSTATS; i++) {
		assert_int_equal(
			values[i], rte_rawdev_xstats_by_name_get(r.id, xstat_names[ids[i]], &id));
		assert_int_equal(id, ids[i]);
	}
	assert_int_equal(xstat(&r, "frames"), 3);
	assert_int_equal(xstat(&r, "bytes"), 3 * 8 * 4 * 2);
	assert_int_equal(*dip_dma_next_seq(r.id), 3);
	assert_int_equal(dip_metric_value("dma_frames"), 3);
	ids[0] = XSTATS;
	assert_int_equal(rte_rawdev_xstats_get(r.id, ids, values, 1), -EINVAL);
	assert_int_equal(rte_rawdev_xstats_by_name_get(r.id, "no such", &id), UINT64_MAX);
	assert_int_equal(id, UINT32_MAX);
	/* A start begins to count anew. */
	rte_rawdev_stop(r.id);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	for (unsigned int i = 0; i < XSTATS; i++)
		assert_int_equal(xstat(&r, xstat_names[i]), 0);
	assert_int_equal(dequeue(&r, &poll, frames, 1), 1);
	assert_int_equal(frames[0]->seq, 0);
	dip_frame_put(frames[0]);
	close_device(&r);
}

/* --- one queue --- */

static bool pixels_are(const struct dip_frame *frame)
{
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		if (frame->pixels[i] != pixel(frame->seq % STACK, i))
			return false;
	return true;
}

/* All frames until the end, each put at once: returns their number. */
static uint64_t drain(const struct rig *r, bool compare)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	uint64_t next = 0;

	while (!poll.ended) {
		int n = dequeue(r, &poll, frames, 1 + next % BURST);

		assert_true(n >= 0);
		assert_true(poll.seq_floor <= next);
		for (int i = 0; i < n; i++) {
			assert_int_equal(frames[i]->seq, next++);
			assert_int_equal(dip_state_held(frames[i]->state), 1);
			if (compare)
				assert_true(pixels_are(frames[i]));
			dip_frame_put(frames[i]);
		}
		assert_false(poll.ended && n > 0);
	}
	assert_int_equal(dequeue(r, &poll, frames, BURST), 0);
	assert_true(poll.ended);
	return next;
}

static void check_end(const char *args, const struct dip_dma_conf *conf, uint64_t want)
{
	bool file = args == file_args || args == stream_args;
	struct rig r;

	open_started(&r, file ? "dma_file0" : "dma_null0", args, conf);
	assert_int_equal(drain(&r, file), want);
	assert_int_equal(xstat(&r, "frames"), want);
	assert_int_equal(xstat(&r, "missed"), 0);
	assert_int_equal(*dip_dma_next_seq(r.id), want);
	close_device(&r);
}

static void test_end(void **state)
{
	(void)state;
	check_end(file_args, &(struct dip_dma_conf){.fps = 0}, STACK);
	check_end(file_args, &(struct dip_dma_conf){.loop = true, .limit = 1000}, 1000);
	check_end(file_args, &(struct dip_dma_conf){.limit = 3}, 3);
	check_end(file_args, &(struct dip_dma_conf){.limit = STACK + 1}, STACK);
	check_end(file_args, &(struct dip_dma_conf){.fps = 5000, .block = true}, STACK);
	check_end(file_args,
		&(struct dip_dma_conf){.fps = 20000, .loop = true, .limit = 500, .block = true},
		500);
	check_end(stream_args, &(struct dip_dma_conf){.fps = 0}, STACK);
	check_end(stream_args, &(struct dip_dma_conf){.loop = true, .limit = 1000}, 1000);
	check_end(stream_args, &(struct dip_dma_conf){.limit = 3}, 3);
	check_end(stream_args, &(struct dip_dma_conf){.fps = 5000, .block = true}, STACK);
	check_end("frames=100", &(struct dip_dma_conf){.fps = 0}, 100);
	check_end("frames=100", &(struct dip_dma_conf){.loop = true, .limit = 12345}, 12345);
	check_end("", &(struct dip_dma_conf){.limit = 54321}, 54321);
}

/* The frames due at TSC now, the device having started at some time between lo and hi. */
static long double due(uint64_t now, uint64_t start, double fps)
{
	return floorl((long double)(now - start) * fps / rte_get_tsc_hz()) + 1;
}

/* Frame k comes k / fps after the start, however long it runs: no drift, no rounded period. */
static void check_rate(double fps)
{
	struct dip_dma_conf conf = {.fps = fps, .block = true};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	uint64_t lo, hi, before, after, count = 0;
	struct rig r;
	int n;

	open_device(&r, "dma_null0", "");
	make_pool(&r, SLABS);
	assert_int_equal(configure(&r, &conf), 0);
	lo = rte_rdtsc();
	assert_int_equal(rte_rawdev_start(r.id), 0);
	hi = rte_rdtsc();
	do {
		before = rte_rdtsc();
		n = dequeue(&r, &poll, frames, BURST);
		after = rte_rdtsc();
		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(frames[i]->seq, count++);
			dip_frame_put(frames[i]);
		}
		assert_true(count <= due(after, lo, fps));
		if (n < (int)BURST) /* it has taken all that were due */
			assert_true(count >= due(before, hi, fps));
	} while (before - lo < rte_get_tsc_hz() / 2 || n == BURST);
	assert_int_equal(xstat(&r, "missed"), 0);
	assert_int_equal(xstat(&r, "frames"), count);
	close_device(&r);
}

static void test_rate(void **state)
{
	(void)state;
	check_rate(1000);
	check_rate(29.97);
	check_rate(150000);
	check_rate(99999.9);
	check_rate(333333.3);
}

/* A late poll makes frames no younger: they arrive when they are due. */
static void test_time_stamps(void **state)
{
	const double fps = 1000;
	uint64_t hz = rte_get_tsc_hz(), start, now, utc, close = 0;
	struct dip_dma_conf conf = {.fps = fps};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	struct timespec ts;
	struct rig r;
	int n;

	(void)state;
	open_device(&r, "dma_file0", file_args);
	make_pool(&r, SLABS);
	conf.loop = true;
	assert_int_equal(configure(&r, &conf), 0);
	start = rte_rdtsc();
	assert_int_equal(rte_rawdev_start(r.id), 0);
	rte_delay_us_sleep(20500);
	n = dequeue(&r, &poll, frames, BURST);
	do {
		now = rte_rdtsc();
		clock_gettime(CLOCK_REALTIME, &ts);
	} while (rte_rdtsc() - now > hz / 1000);
	utc = ts.tv_sec * NS_PER_S + ts.tv_nsec;
	assert_in_range(n, 21, BURST);
	for (int i = 0; i < n; i++) {
		int64_t late = frames[i]->tsc - start - (uint64_t)(i * hz / fps);
		int64_t age = (now - frames[i]->tsc) * (1e9 / hz);

		assert_true(late >= -1);
		close += late < (int64_t)(hz / 10000); /* 100 us for its transfer */
		assert_true(llabs((int64_t)(utc - frames[i]->timestamp_ns) - age) < 2000000);
		if (i > 0)
			assert_true(frames[i]->timestamp_ns > frames[i - 1]->timestamp_ns);
		dip_frame_put(frames[i]);
	}
	assert_true(close >= (unsigned int)n - 2); /* one may have been interrupted */
	assert_true(xstat(&r, "late_max_ns") >= 20000000);
	assert_true(xstat(&r, "late_max_ns") < (now - start) * (1e9 / hz));
	close_device(&r);
}

/* This thread loses the CPU right after the wall clock was read, as often as hold_ups says. */
static int hold_ups;

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __real_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int ret = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME && hold_ups > 0) {
		hold_ups--;
		rte_delay_us_sleep(20000);
	}
	return ret;
}

/* The time stamp of a frame is that of its arrival, whatever came between two readings. */
static void test_time_stamps_held_up(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[1];
	uint64_t stamps[2];
	struct rig r;

	(void)state;
	open_started(&r, "dma_file0", file_args, &(struct dip_dma_conf){.loop = true});
	for (int held_up = 0; held_up < 2; held_up++) {
		hold_ups = 2 * held_up;
		assert_int_equal(dequeue(&r, &poll, frames, 1), 1);
		assert_int_equal(hold_ups, 0);
		stamps[held_up] = frames[0]->timestamp_ns -
				  (uint64_t)(frames[0]->tsc * (1e9 / rte_get_tsc_hz()));
		dip_frame_put(frames[0]);
	}
	assert_true(llabs((int64_t)(stamps[1] - stamps[0])) < 5000000);
	close_device(&r);
}

/* A paced source tells when its next frame is due; behind the last one, when it ends. */
static void test_next_due(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	uint64_t hz = rte_get_tsc_hz(), lo, hi, tsc = 17;
	struct dip_frame *frame;
	struct rig r;

	(void)state;
	open_device(&r, "dma_null0", "");
	make_pool(&r, SLABS);
	assert_int_equal(rte_rawdev_get_attr(r.id, DIP_DMA_DUE_TSC, &tsc), -EAGAIN);
	assert_int_equal(configure(&r, &(struct dip_dma_conf){.fps = 100, .limit = 3}), 0);
	lo = rte_rdtsc();
	assert_int_equal(rte_rawdev_start(r.id), 0);
	hi = rte_rdtsc();
	assert_int_equal(rte_rawdev_get_attr(r.id, "due", &tsc), -ENOENT);
	for (unsigned int i = 0; i <= 3; i++) {
		assert_int_equal(rte_rawdev_get_attr(r.id, DIP_DMA_DUE_TSC, &tsc), 0);
		assert_true(tsc >= lo + i * hz / 100 && tsc <= hi + i * hz / 100);
		while (i < 3 && dequeue(&r, &poll, &frame, 1) == 0)
			assert_true(rte_rdtsc() < tsc + hz);
		assert_true(i == 3 || rte_rdtsc() >= tsc);
		if (i < 3)
			dip_frame_put(frame);
	}
	rte_rawdev_stop(r.id);
	assert_int_equal(configure(&r, &(struct dip_dma_conf){.fps = 0}), 0);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(rte_rawdev_get_attr(r.id, DIP_DMA_DUE_TSC, &tsc), -EAGAIN);
	close_device(&r);
	/* Frames that are read on the way are there at any time. */
	open_started(&r, "dma_file0", stream_args, &(struct dip_dma_conf){.fps = 1, .loop = true});
	assert_int_equal(rte_rawdev_get_attr(r.id, DIP_DMA_DUE_TSC, &tsc), 0);
	assert_true(tsc <= rte_rdtsc());
	close_device(&r);
}

/* Unpaced frames arrive when they are transferred. */
static void test_time_stamps_unpaced(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[4];
	uint64_t before, after, last = 0;
	struct rig r;

	(void)state;
	open_started(&r, "dma_file0", file_args, &(struct dip_dma_conf){.loop = true});
	for (int turn = 0; turn < 100; turn++) {
		before = rte_rdtsc();
		assert_int_equal(dequeue(&r, &poll, frames, 4), 4);
		after = rte_rdtsc();
		for (int i = 0; i < 4; i++) {
			assert_in_range(frames[i]->tsc, RTE_MAX(before, last), after);
			last = frames[i]->tsc;
			dip_frame_put(frames[i]);
		}
	}
	assert_int_equal(xstat(&r, "late_max_ns"), 0);
	close_device(&r);
}

static void wait_until_due(const struct rig *r, uint64_t start, uint64_t frames, double fps)
{
	(void)r;
	while (rte_rdtsc() - start < frames * rte_get_tsc_hz() / fps)
		rte_pause();
}

/* Take all that comes until there is no slab any more. */
static unsigned int take_until_empty(const struct rig *r, struct dip_frame **frames, uint64_t first)
{
	struct dip_dma_poll poll = {.queue = 0};
	unsigned int got = 0;

	while (dip_frame_pool_available(r->pool) > 0) {
		int n = dequeue(r, &poll, frames + got, RTE_MIN(BURST, SLABS - got));

		assert_true(n >= 0);
		for (int i = 0; i < n; i++, got++) {
			assert_true(frames[got]->seq >= first);
			first = frames[got]->seq + 1;
		}
	}
	return got;
}

/* More due than slabs: seqs are used up and counted; what comes later is delivered. */
static void test_missed(void **state)
{
	struct dip_dma_conf conf = {.fps = 10000};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *held[SLABS];
	uint64_t start, next;
	struct rig r;

	(void)state;
	open_started(&r, "dma_null0", "", &conf);
	start = rte_rdtsc();
	wait_until_due(&r, start, SLABS + 20, conf.fps);
	assert_int_equal(take_until_empty(&r, held, 0), SLABS);
	assert_int_equal(dequeue(&r, &poll, held, BURST), 0);
	wait_until_due(&r, start, SLABS + 100, conf.fps);
	assert_int_equal(dequeue(&r, &poll, held, BURST), 0);
	assert_false(poll.ended);
	next = *dip_dma_next_seq(r.id);
	assert_true(next >= SLABS + 100);
	assert_int_equal(xstat(&r, "frames"), SLABS);
	assert_int_equal(xstat(&r, "missed"), next - SLABS);
	assert_int_equal(xstat(&r, "pool_exhaust"), next - SLABS);
	assert_int_equal(xstat(&r, "pool_waits"), 0);
	for (unsigned int i = 0; i < 5; i++)
		dip_frame_put(held[i]);
	wait_until_due(&r, start, next + 30, conf.fps);
	assert_int_equal(take_until_empty(&r, held, next), 5);
	assert_int_equal(xstat(&r, "frames"), SLABS + 5);
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), *dip_dma_next_seq(r.id));
	for (unsigned int i = 0; i < SLABS; i++)
		dip_frame_put(held[i]);
	close_device(&r);
}

/* The camera fills the slabs that are free; what it loses is what comes after. */
static void test_the_oldest_are_lost(void **state)
{
	struct dip_dma_conf conf = {.fps = 10000};
	struct dip_frame *held[SLABS];
	struct rig r;

	(void)state;
	open_started(&r, "dma_null0", "", &conf);
	wait_until_due(&r, rte_rdtsc(), SLABS + 50, conf.fps);
	assert_int_equal(take_until_empty(&r, held, 0), SLABS);
	assert_true(held[0]->seq >= 50);
	for (unsigned int i = 1; i < SLABS; i++)
		assert_true(held[i]->seq > held[i - 1]->seq);
	assert_int_equal(xstat(&r, "missed"), *dip_dma_next_seq(r.id) - SLABS);
	for (unsigned int i = 0; i < SLABS; i++)
		dip_frame_put(held[i]);
	close_device(&r);
}

/* Lost frames count towards the limit and towards the end. */
static void test_missed_at_the_end(void **state)
{
	struct dip_dma_conf conf = {.fps = 10000, .limit = SLABS + 100};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *held[SLABS], *more[BURST];
	unsigned int got = 0;
	struct rig r;

	(void)state;
	open_started(&r, "dma_null0", "", &conf);
	while (got < SLABS)
		got += dequeue(&r, &poll, held + got, RTE_MIN(BURST, SLABS - got));
	while (!poll.ended)
		assert_int_equal(dequeue(&r, &poll, more, BURST), 0);
	assert_int_equal(xstat(&r, "frames"), SLABS);
	assert_int_equal(xstat(&r, "missed"), 100);
	for (unsigned int i = 0; i < SLABS; i++)
		dip_frame_put(held[i]);
	assert_int_equal(dequeue(&r, &poll, more, BURST), 0);
	close_device(&r);
}

/* A stop after some frames have come due: the next polls deliver all of them, unless the source waits; after
 * that nothing comes due. */
static void test_due_at_a_stop(void **state)
{
	struct dip_frame *frames[SLABS];

	(void)state;
	for (int block = 0; block < 2; block++) {
		struct dip_dma_conf conf = {.fps = 10000, .block = block};
		struct dip_dma_poll poll = {.queue = 0, .drain = true};
		unsigned int n = 0;
		uint64_t due;
		struct rig r;

		open_started(&r, "dma_null0", "", &conf);
		wait_until_due(&r, rte_rdtsc(), BURST + 3, conf.fps);
		n += dequeue(&r, &poll, frames, BURST);
		wait_until_due(&r, rte_rdtsc(), SLABS + 1, conf.fps);
		while (!poll.ended && n < SLABS)
			n += dequeue(&r, &poll, frames + n, RTE_MIN(BURST, SLABS - n));
		due = *dip_dma_next_seq(r.id);
		assert_int_equal(xstat(&r, "frames"), n);
		assert_int_equal(xstat(&r, "missed"), due - n);
		if (block)
			assert_int_equal(due, 0);
		else /* on a busy machine more may have come due before the stop */
			assert_true(n >= BURST + 3 && (n == due || n == SLABS));
		while (n > 0)
			dip_frame_put(frames[--n]);
		assert_int_equal(dequeue(&r, &poll, frames, BURST), 0);
		assert_int_equal(*dip_dma_next_seq(r.id), due);
		close_device(&r);
	}
}

/* Asking for nothing gives nothing and loses nothing. */
static void test_no_buffers(void **state)
{
	struct dip_dma_conf conf = {.fps = 10000};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r;

	(void)state;
	open_started(&r, "dma_null0", "", &conf);
	wait_until_due(&r, rte_rdtsc(), 5, conf.fps);
	assert_int_equal(dequeue(&r, &poll, &frame, 0), 0);
	assert_int_equal(xstat(&r, "missed"), 0);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
	assert_int_equal(frame->seq, 0);
	dip_frame_put(frame);
	close_device(&r);
}

/* block, and unpaced: the source waits for slabs, nothing is lost. */
static void check_waiting(const struct dip_dma_conf *conf)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *held[SLABS], *more[BURST];
	unsigned int got = 0;
	struct rig r;

	open_started(&r, "dma_null0", "", conf);
	while (got < SLABS)
		got += dequeue(&r, &poll, held + got, RTE_MIN(BURST, SLABS - got));
	wait_until_due(&r, rte_rdtsc(), 200, 50000);
	for (int i = 1; i <= 10; i++) {
		assert_int_equal(dequeue(&r, &poll, more, BURST), 0);
		assert_int_equal(xstat(&r, "pool_waits"), i);
	}
	assert_int_equal(*dip_dma_next_seq(r.id), SLABS);
	for (unsigned int i = 0; i < SLABS; i++)
		dip_frame_put(held[i]);
	assert_int_equal(dequeue(&r, &poll, more, BURST), BURST);
	for (unsigned int i = 0; i < BURST; i++) {
		assert_int_equal(more[i]->seq, SLABS + i);
		dip_frame_put(more[i]);
	}
	assert_int_equal(xstat(&r, "missed"), 0);
	assert_int_equal(xstat(&r, "pool_exhaust"), 0);
	close_device(&r);
}

static void test_waiting(void **state)
{
	(void)state;
	check_waiting(&(struct dip_dma_conf){.fps = 50000, .block = true});
	check_waiting(&(struct dip_dma_conf){.block = true});
	check_waiting(&(struct dip_dma_conf){.block = false});
}

/* --- failures on demand --- */

static void test_failing_transfer(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	struct rig r;

	(void)state;
	open_started(&r, "dma_error0", "fail_frame=10", &(struct dip_dma_conf){.limit = 100});
	/* What came before the failure is delivered with it. */
	assert_int_equal(dequeue(&r, &poll, frames, 16), 10);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(frames[i]->seq, i);
		assert_int_equal(frames[i]->pixels[255], i);
		dip_frame_put(frames[i]);
	}
	assert_int_equal(dequeue(&r, &poll, frames, 8), -EIO);
	assert_int_equal(xstat(&r, "frames"), 10);
	assert_int_equal(dequeue(&r, &poll, frames, 8), -EIO);
	assert_int_equal(xstat(&r, "errors"), 2);
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), *dip_dma_next_seq(r.id));
	assert_int_equal(xstat(&r, "pool_exhaust"), 0);
	close_device(&r);
}

static void test_failing_configure(void **state)
{
	struct dip_dma_conf conf = {.limit = 1};
	struct rig r;

	(void)state;
	open_device(&r, "dma_error0", "fail_configure=2");
	make_pool(&r, 4);
	assert_int_equal(configure(&r, &conf), 0);
	conf.limit = 77;
	assert_int_equal(configure(&r, &conf), -EIO);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(drain(&r, false), 1); /* the one that took effect */
	rte_rawdev_stop(r.id);
	assert_int_equal(configure(&r, &conf), 0);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(drain(&r, false), 77);
	close_device(&r);
}

/* --- several queues, several devices --- */

#define SEQS 300000

struct taker {
	const struct rig *r;
	uint16_t queue;
	uint64_t frames, wrong;
	uint8_t *times; /* of each seq; shared, atomic */
};

static int take(void *arg)
{
	struct taker *t = arg;
	struct dip_dma_poll poll = {.queue = t->queue};
	struct dip_frame *frames[BURST];
	uint64_t last = 0, floor = 0;

	while (!poll.ended) {
		int n = dequeue(t->r, &poll, frames, 1 + t->frames % BURST);

		t->wrong += n < 0 || poll.seq_floor < floor;
		floor = poll.seq_floor;
		for (int i = 0; i < n; i++, t->frames++) {
			uint64_t seq = frames[i]->seq;

			t->wrong += seq < floor || (t->frames > 0 && seq <= last) || seq >= SEQS;
			last = seq;
			if (t->r->info.frames == STACK)
				t->wrong += !pixels_are(frames[i]);
			__atomic_fetch_add(&t->times[seq % SEQS], 1, __ATOMIC_RELAXED);
			dip_frame_put(frames[i]);
		}
		if (n == 0)
			sched_yield();
	}
	return 0;
}

static void check_queues(const char *name, const char *args, const struct dip_dma_conf *conf)
{
	struct taker takers[EAL_WORKERS];
	uint8_t *times = calloc(SEQS, 1);
	uint64_t frames = 0, once = 0;
	struct rig r;

	assert_non_null(times);
	open_started(&r, name, args, conf);
	for (unsigned int i = 0; i < EAL_WORKERS; i++) {
		takers[i] = (struct taker){.r = &r, .queue = i, .times = times};
		assert_int_equal(rte_eal_remote_launch(take, &takers[i], 1 + i), 0);
	}
	rte_eal_mp_wait_lcore();
	for (unsigned int i = 0; i < EAL_WORKERS; i++) {
		assert_int_equal(takers[i].wrong, 0);
		assert_int_equal(dip_dma_counters(r.id, i)->frames, takers[i].frames);
		frames += takers[i].frames;
	}
	for (unsigned int i = 0; i < SEQS; i++) {
		assert_true(times[i] <= 1);
		once += times[i];
	}
	assert_int_equal(frames, once);
	assert_int_equal(xstat(&r, "frames"), once);
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), conf->limit);
	if (conf->block)
		assert_int_equal(once, conf->limit);
	close_device(&r);
	free(times);
}

static void test_queues(void **state)
{
	struct dip_dma_conf conf = {
		.queues = EAL_WORKERS, .limit = SEQS, .loop = true, .block = true};

	(void)state;
	check_queues("dma_null0", "", &conf);
	check_queues("dma_file0", file_args, &conf);
	conf.fps = 1000000;
	check_queues("dma_null0", "", &conf);
	conf.block = false;
	check_queues("dma_null0", "", &conf);
	conf.fps = 100000;
	conf.limit = 50000;
	check_queues("dma_file0", file_args, &conf);
	conf.limit = 10000;
	check_queues("dma_file0", stream_args, &conf);
	conf = (struct dip_dma_conf){.queues = EAL_WORKERS, .limit = 10000, .loop = true};
	check_queues("dma_file0", stream_args, &conf);
}

static void test_devices(void **state)
{
	static const char *const names[] = {"dma_null0", "dma_file0", "dma_error0", "dma_file1"};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r[RTE_DIM(names)];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		open_started(&r[i], names[i], strstr(names[i], "file") != NULL ? file_args : "",
			&(struct dip_dma_conf){.loop = true, .limit = 10 + i});
	for (unsigned int turn = 0; turn < 20; turn++)
		for (unsigned int i = 0; i < RTE_DIM(names); i++) {
			if (dequeue(&r[i], &poll, &frame, 1) != 1) {
				assert_true(poll.ended && turn >= 10 + i);
				continue;
			}
			assert_int_equal(frame->seq, turn);
			assert_ptr_equal(frame->mempool, r[i].pool->mempool);
			if (strstr(names[i], "file") != NULL)
				assert_true(pixels_are(frame));
			dip_frame_put(frame);
		}
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		assert_int_equal(xstat(&r[i], "frames"), 10 + i);
	assert_int_equal(dip_metric_value("dma_frames"), 10 + 11 + 12 + 13);
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		close_device(&r[i]);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_info),
		TEST(test_dump),
		TEST(test_arguments),
		TEST(test_config_file),
		TEST(test_states),
		TEST(test_selftests),
		TEST(test_xstats),
		TEST(test_end),
		TEST(test_rate),
		TEST(test_time_stamps),
		TEST(test_time_stamps_held_up),
		TEST(test_next_due),
		TEST(test_time_stamps_unpaced),
		TEST(test_missed),
		TEST(test_missed_at_the_end),
		TEST(test_due_at_a_stop),
		TEST(test_waiting),
		TEST(test_failing_transfer),
		TEST(test_failing_configure),
		TEST(test_queues),
		TEST(test_devices),
		TEST(test_the_oldest_are_lost),
		TEST(test_no_buffers),
		TEST(test_selftest_leaves_unconfigured),
		TEST(test_close_then_remove),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
