/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

#include <math.h>
#include <sys/stat.h>

#include "format/format.h"

/* dma_sim: what does not need statistics; those are in tests/e2e/test_sim.py. */

#define W 40
#define H 30
#define SMALL                                                                                      \
	"width=40,height=30,rows=3,cols=4,origin_row=4.8,origin_col=4.2,col_step_col=9,"           \
	"row_step_row=9"
#define FRAMES 48

static const char *const cameras[] = {"poisson", "emccd", "qcmos", "scmos"};

/* The CRC of each frame that comes, by its number. */
static void collect(const struct rig *r, uint16_t queue, uint32_t *crc, uint64_t until)
{
	struct dip_dma_poll poll = {.queue = queue};
	struct dip_frame *frames[BURST];

	while (!poll.ended) {
		int n = dequeue(r, &poll, frames, 1 + queue);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			if (frames[i]->seq < until)
				crc[frames[i]->seq] = dip_crc32c(0, frames[i]->pixels, W * H * 2);
			dip_frame_put(frames[i]);
		}
	}
}

static void render(const char *args, uint32_t *crc, uint64_t n)
{
	struct rig r;

	open_started(&r, "dma_sim0", args, &(struct dip_dma_conf){.limit = n, .loop = true});
	assert_int_equal(r.info.width, W);
	assert_int_equal(r.info.height, H);
	collect(&r, 0, crc, n);
	close_device(&r);
}

/* Frame k is a function of seed and k alone, whatever came before it, on whichever queue. */
static void test_deterministic(void **state)
{
	uint32_t first[FRAMES], again[FRAMES];
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	char args[256];
	struct rig r;

	(void)state;
	for (unsigned int c = 0; c < RTE_DIM(cameras); c++) {
		snprintf(args, sizeof(args), SMALL ",seed=3,camera=%s,crosstalk=0.1,drift_row=3",
			cameras[c]);
		render(args, first, FRAMES);
		memset(again, 0, sizeof(again));
		open_started(
			&r, "dma_sim0", args, &(struct dip_dma_conf){.limit = FRAMES, .queues = 2});
		for (int i = 0; i < 7; i++) { /* a few for the other queue */
			poll.queue = 1;
			assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
			again[frame->seq] = dip_crc32c(0, frame->pixels, W * H * 2);
			dip_frame_put(frame);
		}
		collect(&r, 0, again, FRAMES);
		close_device(&r);
		assert_memory_equal(again, first, sizeof(first));
		for (int i = 0; i < FRAMES; i++) /* and no two are alike */
			for (int j = 0; j < i; j++)
				assert_int_not_equal(first[i], first[j]);
	}
}

static void test_seeds_differ(void **state)
{
	uint32_t a[FRAMES], b[FRAMES];

	(void)state;
	render(SMALL ",seed=3", a, FRAMES);
	render(SMALL ",seed=4", b, FRAMES);
	for (int i = 0; i < FRAMES; i++)
		assert_int_not_equal(a[i], b[i]);
	render(SMALL ",seed=9007199254740992", a, FRAMES);
	render(SMALL ",seed=0", b, FRAMES);
	for (int i = 0; i < FRAMES; i++)
		assert_int_not_equal(a[i], b[i]);
}

/* A cycle has the frames that would be rendered one by one. */
static void test_cycle(void **state)
{
	uint32_t each[FRAMES], cycle[FRAMES], pass[FRAMES];

	(void)state;
	render(SMALL, each, FRAMES);
	render(SMALL ",cycle=5", cycle, FRAMES);
	render(SMALL ",frames=7", pass, FRAMES);
	for (int i = 0; i < FRAMES; i++) {
		assert_int_equal(cycle[i], each[i % 5]);
		assert_int_equal(pass[i], each[i % 7]);
	}
	render(SMALL ",frames=7,cycle=100", cycle, FRAMES);
	assert_memory_equal(cycle, pass, sizeof(pass));
	render(SMALL ",frames=7,cycle=5", cycle, FRAMES);
	for (int i = 0; i < FRAMES; i++)
		assert_int_equal(cycle[i], each[i % 7 % 5]);
}

static void test_end(void **state)
{
	struct rig r;
	uint32_t crc[FRAMES] = {0};

	(void)state;
	open_started(&r, "dma_sim0", SMALL ",frames=11", &(struct dip_dma_conf){.limit = 0});
	assert_int_equal(r.info.frames, 11);
	collect(&r, 0, crc, FRAMES);
	assert_int_equal(xstat(&r, "frames"), 11);
	close_device(&r);
}

static void test_selftest(void **state)
{
	struct rig r;

	(void)state;
	open_device(&r, "dma_sim0", SMALL ",camera=qcmos");
	assert_int_equal(rte_rawdev_selftest(r.id), 0);
	close_device(&r);
	open_device(&r, "dma_sim0", SMALL ",cycle=300");
	assert_int_equal(rte_rawdev_selftest(r.id), 0);
	close_device(&r);
}

/* Sites and spots may lie where they want, even beside the frame. */
static void test_extremes(void **state)
{
	static const char *const args[] = {
		"width=1,height=1,rows=1,cols=1,origin_row=0,origin_col=0",
		SMALL ",origin_row=-8192,origin_col=8192,sigma=1000",
		SMALL ",photons=0,background=0",
		SMALL ",fill=0",
		SMALL ",fill=1,survival=0",
		SMALL ",fill=1,loss=1,reload=1000000000000000",
		SMALL ",background=100000", /* every pixel saturated */
		SMALL ",camera=emccd,background=100000,em_gain=10000",
		SMALL ",camera=emccd,offset=0,read_noise=10000",
		SMALL ",camera=scmos,gain_spread=1,read_noise_spread=3,offset=65535",
		SMALL ",drift_period=1,drift_row=-8192",
	};
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(args); i++) {
		open_started(&r, "dma_sim0", args[i], &(struct dip_dma_conf){.limit = 3});
		for (int j = 0; j < 3; j++) {
			assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
			if (strstr(args[i], "photons=0") != NULL)
				for (int k = 0; k < W * H; k++)
					assert_int_equal(frame->pixels[k], 0);
			if (i == 6)
				for (int k = 0; k < W * H; k++)
					assert_int_equal(frame->pixels[k], UINT16_MAX);
			dip_frame_put(frame);
		}
		close_device(&r);
	}
}

/* Pixels of one frame. */
static void expose(const char *args, uint16_t *pixels)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r;

	open_started(&r, "dma_sim0", args, &(struct dip_dma_conf){.limit = 1});
	while (dequeue(&r, &poll, &frame, 1) == 0)
		assert_false(poll.ended);
	memcpy(pixels, frame->pixels, W * H * 2);
	dip_frame_put(frame);
	close_device(&r);
}

/* A camera without noise of its own tells photons by its gain and its offset. */
static void test_gain_and_offset(void **state)
{
	uint16_t plain[W * H], scaled[W * H];
	unsigned int lit = 0;

	(void)state;
	expose(SMALL ",seed=3,camera=poisson,gain=1,offset=0", plain);
	expose(SMALL ",seed=3,camera=poisson,gain=2.5,offset=100", scaled);
	for (unsigned int i = 0; i < W * H; i++) {
		assert_true(fabs(scaled[i] - (100 + 2.5 * plain[i])) <= 0.5);
		lit += plain[i] > 0;
	}
	assert_true(lit > 20);
}

static void test_arguments(void **state)
{
	static const struct {
		const char *args, *says;
	} wrong[] = {
		{"seed=abc", "seed=abc: not a value; expected a whole number from 0"},
		{"seed=-1", "seed=-1: out of range"},
		{"seed=1.5", "seed=1.5: found a fraction"},
		{"camera=film", "camera=film: unknown; expected one of poisson, emccd"},
		{"fill=1.01", "fill=1.01: out of range; expected a number from 0 to 1"},
		{"sigma=0", "sigma=0: out of range"},
		{"rows=1000,cols=1000", "rows=1000, cols=1000: 1000000 sites; expected at most"},
		{"truth=/nowhere/truth.npy", "truth=/nowhere/truth.npy: No such file"},
		{"truth=/dev/null", "truth=/dev/null: File exists; expected the name of a new"},
		{"width=8192,height=8192,cycle=1000000", "no memory for 1000000 frames"},
		{"photon=5", "photon=5: unknown argument; expected one of width"},
	};

	(void)state;
	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		char *text;
		int ret;

		eal_log_begin();
		ret = rte_vdev_init("dma_sim0", wrong[i].args);
		text = eal_log_end();
		assert_true(ret < 0);
		if (strstr(text, wrong[i].says) == NULL)
			fail_msg("no \"%s\" in: %s", wrong[i].says, text);
		free(text);
	}
}

/* --- the truth --- */

static const char *truth_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tmp/dip_truth_%d.npy", (int)getpid());
	return path;
}

/* The rows that a truth file promises, and that it holds no more and no less than them. */
static uint64_t truth_rows(unsigned int sites)
{
	FILE *f = fopen(truth_path(), "r");
	unsigned long rows = 0;
	char head[257] = "";
	struct stat st;

	assert_non_null(f);
	assert_int_equal(fread(head, 1, 256, f), 256);
	assert_int_equal(memcmp(head, "\x93NUMPY\x01\x00", 8), 0);
	assert_non_null(strstr(head + 10, "'shape': ("));
	assert_int_equal(sscanf(strstr(head + 10, "'shape': (") + 10, "%lu,)", &rows), 1);
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_int_equal(st.st_size, 256 + rows * (8 + sites));
	for (uint64_t i = 0; i < rows; i++) {
		uint64_t seq;

		assert_int_equal(fseek(f, 256 + i * (8 + sites), SEEK_SET), 0);
		assert_int_equal(fread(&seq, 8, 1, f), 1);
		assert_int_equal(seq, i);
	}
	fclose(f);
	return rows;
}

static void test_truth(void **state)
{
	char args[256];
	uint32_t crc[1];
	struct rig r;

	(void)state;
	snprintf(args, sizeof(args), SMALL ",truth=%s", truth_path());
	/* Never started: nothing is left. */
	open_device(&r, "dma_sim0", args);
	assert_int_equal(access(truth_path(), F_OK), 0);
	close_device(&r);
	assert_int_not_equal(access(truth_path(), F_OK), 0);
	/* Lost frames are in it as well: those that were due while there was no slab. */
	open_started(&r, "dma_sim0", args, &(struct dip_dma_conf){.limit = 500, .fps = 20000});
	usleep(30000);
	collect(&r, 0, crc, 0);
	assert_true(xstat(&r, "missed") > 0);
	assert_int_equal(xstat(&r, "missed") + xstat(&r, "frames"), 500);
	rte_rawdev_stop(r.id);
	assert_int_equal(truth_rows(12), 500);
	/* Another start begins anew. */
	assert_int_equal(configure(&r, &(struct dip_dma_conf){.limit = 3}), 0);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	collect(&r, 0, crc, 0);
	rte_rawdev_stop(r.id);
	assert_int_equal(truth_rows(12), 3);
	close_device(&r);
	assert_int_equal(truth_rows(12), 3);
	unlink(truth_path());
}

#define TEST(name) cmocka_unit_test_teardown(name, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_deterministic),
		TEST(test_seeds_differ),
		TEST(test_cycle),
		TEST(test_end),
		TEST(test_selftest),
		TEST(test_extremes),
		TEST(test_gain_and_offset),
		TEST(test_arguments),
		TEST(test_truth),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
