/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

#include <errno.h>
#include <math.h>
#include <time.h>

#include <rte_cycles.h>

#include "dma/faults.h"

/* Faults on demand: what each does to the frames, and which counters it moves, those and no others. */

#define SMALL "width=8,height=8"
#define PIXELS 64

/* --- the language --- */

static void test_parse(void **state)
{
	struct dip_error err;
	struct dip_faults *f;

	(void)state;
	assert_int_equal(dip_faults_parse("", &f, &err), 0);
	assert_null(f);
	assert_int_equal(
		dip_faults_parse("lost@7+seed:9+jump:-2.5~0.25+corrupt@0+burst:10@5", &f, &err), 0);
	assert_int_equal(f->count, 4);
	assert_int_equal(f->seed, 9);
	assert_int_equal(f->fault[0].kind, DIP_FAULT_LOST);
	assert_true(f->fault[0].at && f->fault[0].frame == 7);
	assert_int_equal(f->fault[1].kind, DIP_FAULT_JUMP);
	assert_true(!f->fault[1].at && f->fault[1].amount == -2.5);
	assert_int_equal(f->fault[1].threshold, 1u << 30);
	assert_true(f->fault[2].amount == 1 && f->fault[3].amount == 10);
	assert_true(dip_faults_have(f, DIP_FAULT_BURST) && !dip_faults_have(f, DIP_FAULT_DEAD));
	free(f);
}

static void test_parse_wrong(void **state)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"lst@5", "...lst@5: unknown; expected lost, duplicate"},
		{"lost", "...lost: found neither @ nor ~"},
		{"lost@", "...lost@: @ without the number of a frame"},
		{"lost@x", "@ without"},
		{"lost@-1", "@ without"},
		{"lost@5x", "@ without"},
		{"lost@99999999999999999999", "@ without"},
		{"lost~", "~ without a probability"},
		{"lost~1.1", "~ without a probability"},
		{"lost~-0.1", "~ without a probability"},
		{"lost~nan", "~ without a probability"},
		{"lost:3@5", "...lost:3@5: takes no amount"},
		{"stall@5", "...stall@5: found no amount"},
		{"stall:@5", "the amount is no number"},
		{"stall:0@5", "...stall:0@5: the amount is no number from 0.001 to 60000"},
		{"burst:1@5", "the amount is no number from 2 to 1024"},
		{"refuse~0.5", "comes with @ only"},
		{"seed:x", "...seed:x: no whole number"},
		{"lost@1++lost@2", "...: found neither"},
		{"+", "found neither"},
	};
	struct dip_faults *f;
	struct dip_error err;
	char many[33 * 7 + 1] = "lost@0";

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		assert_int_equal(dip_faults_parse(wrong[i].text, &f, &err), -EINVAL);
		if (strstr(err.text, wrong[i].says) == NULL)
			fail_msg("no \"%s\" in: %s", wrong[i].says, err.text);
		assert_null(f);
	}
	for (int i = 1; i < 33; i++)
		strcat(many, "+lost@0");
	assert_int_equal(dip_faults_parse(many, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 32"));
}

/* A probability hits as often as it says, independent of others, the same ones each time. */
static void test_hits(void **state)
{
	const int n = 200000;
	struct dip_faults *f, *g;
	struct dip_error err;
	int hits[2] = {0}, both = 0, differ = 0;

	(void)state;
	assert_int_equal(dip_faults_parse("lost~0.2+late:1~0.3+seed:5", &f, &err), 0);
	assert_int_equal(dip_faults_parse("lost~0.2+late:1~0.3+seed:6", &g, &err), 0);
	for (int i = 0; i < n; i++) {
		uint32_t mask = dip_faults_of(f, i);

		assert_int_equal(mask, dip_faults_of(f, i));
		hits[0] += mask & 1;
		hits[1] += mask >> 1;
		both += mask == 3;
		differ += mask != dip_faults_of(g, i);
	}
	assert_true(fabs(hits[0] - n * 0.2) < 5 * sqrt(n * 0.16));
	assert_true(fabs(hits[1] - n * 0.3) < 5 * sqrt(n * 0.21));
	assert_true(fabs(both - n * 0.06) < 5 * sqrt(n * 0.06 * 0.94));
	assert_true(differ > n / 4);
	free(f);
	free(g);
}

/* --- counters --- */

static const char *const names[] = {
	"frames", "missed", "pool_exhaust", "pool_waits", "errors", "gaps", "damaged", "faults"};

/* All counters but bytes and late_max_ns: in the order of names. */
static void check_counters(const struct rig *r, const uint64_t want[RTE_DIM(names)])
{
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (xstat(r, names[i]) != want[i])
			fail_msg("%s: %lu, expected %lu", names[i],
				(unsigned long)xstat(r, names[i]), (unsigned long)want[i]);
	assert_int_equal(xstat(r, "bytes"), want[0] * PIXELS * 2);
}

#define COUNTERS(...)                                                                              \
	(const uint64_t[RTE_DIM(names)])                                                           \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

struct seen {
	uint64_t seq, tsc, utc, at; /* at: when it was delivered */
	uint32_t refs;
	uint16_t pixels[PIXELS];
};

/* Take all frames until the end, up to burst at a time. Returns how many came. */
static unsigned int take_all(
	const struct rig *r, unsigned int burst, struct seen *seen, unsigned int max)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	unsigned int count = 0;

	while (!poll.ended) {
		int n = dequeue(r, &poll, frames, burst);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++, count++) {
			assert_true(count < max);
			assert_true(frames[i]->seq >= poll.seq_floor);
			seen[count] = (struct seen){.seq = frames[i]->seq,
				.tsc = frames[i]->tsc,
				.utc = frames[i]->timestamp_ns,
				.at = rte_rdtsc(),
				.refs = dip_state_held(frames[i]->state)};
			memcpy(seen[count].pixels, frames[i]->pixels, PIXELS * 2);
			dip_frame_put(frames[i]);
		}
	}
	return count;
}

static struct seen seen[4000];

static void open_faulty(struct rig *r, const char *faults, const struct dip_dma_conf *conf)
{
	char args[256];

	snprintf(args, sizeof(args), SMALL ",faults=%s", faults);
	open_started(r, "dma_null0", args, conf);
}

static const struct dip_dma_conf unpaced = {.limit = 100},
				 paced = {.limit = 100, .fps = 10000, .block = true};

static double ms(uint64_t ticks)
{
	return ticks * 1e3 / rte_get_tsc_hz();
}

/* Times are right in one of many attempts: others may have been interrupted. */
static void check_times(bool (*attempt)(void))
{
	time_t end = time(NULL) + 60;

	while (time(NULL) < end)
		if (attempt())
			return;
	fail_msg("the times were never right");
}

/* --- each fault --- */

static void test_lost(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned int burst = 1; burst <= BURST; burst += 31) {
		open_faulty(&r, "lost@0+lost@7+lost@8+lost@99", &unpaced);
		assert_int_equal(take_all(&r, burst, seen, 100), 96);
		for (unsigned int i = 0; i < 96; i++)
			assert_int_equal(seen[i].seq, i < 6 ? i + 1 : i + 3);
		check_counters(&r, COUNTERS(96, 4, 0, 0, 0, 0, 0, 4));
		assert_int_equal(*dip_dma_next_seq(r.id), 100);
		close_device(&r);
	}
	open_faulty(&r, "lost~1", &unpaced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 0);
	check_counters(&r, COUNTERS(0, 100, 0, 0, 0, 0, 0, 100));
	close_device(&r);
	open_faulty(&r, "lost~0", &paced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 0));
	close_device(&r);
}

static void test_duplicate(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned int burst = 1; burst <= BURST; burst += 31) {
		unsigned int n = 0;

		open_faulty(&r, "duplicate@0+duplicate@50+duplicate@51+duplicate@99", &unpaced);
		assert_int_equal(take_all(&r, burst, seen, 104), 104);
		for (uint64_t seq = 0; seq < 100; seq++)
			for (int twice = seq == 0 || seq == 50 || seq == 51 || seq == 99;
				twice >= 0; twice--)
				assert_int_equal(seen[n++].seq, seq);
		check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 4));
		close_device(&r); /* and every slab is back */
	}
}

/* A duplicate that nobody takes is given back at the stop. */
static void test_duplicate_at_a_stop(void **state)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frame;
	struct rig r;

	(void)state;
	open_faulty(&r, "duplicate@0", &unpaced);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
	assert_int_equal(dip_state_held(frame->state), 2);
	dip_frame_put(frame);
	rte_rawdev_stop(r.id);
	assert_int_equal(dip_frame_pool_available(r.pool), SLABS);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
	dip_frame_put(frame);
	poll.drain = true; /* what is on its way still comes */
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 1);
	assert_false(poll.ended);
	assert_int_equal(poll.seq_floor, 0);
	dip_frame_put(frame);
	assert_int_equal(dequeue(&r, &poll, &frame, 1), 0);
	assert_true(poll.ended);
	close_device(&r);
}

/* Frames 30 to 49 come with frame 30; frame 50 when it is due. */
static bool burst_in_time(void)
{
	uint64_t start;
	struct rig r;

	open_device(&r, "dma_null0", SMALL ",faults=burst:20@30");
	make_pool(&r, SLABS);
	assert_int_equal(configure(&r, &paced), 0);
	start = rte_rdtsc();
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	for (unsigned int i = 0; i < 100; i++) {
		double due = i >= 30 && i < 50 ? 3.0 : i / 10.0, came = ms(seen[i].at - start);

		assert_int_equal(seen[i].seq, i);
		assert_true(came >= due);
		assert_true(seen[i].tsc <= seen[i].at);
	}
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 1));
	close_device(&r);
	/* They would have taken 2 ms. */
	return ms(seen[49].at - seen[30].at) < 1.0;
}

static void test_burst(void **state)
{
	struct rig r;

	(void)state;
	check_times(burst_in_time);
	/* More than there are slabs: the oldest of them are lost, as always. */
	open_faulty(&r, "burst:90@5", &(struct dip_dma_conf){.limit = 100, .fps = 100});
	assert_true(take_all(&r, BURST, seen, 100) < 100);
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), 100);
	assert_int_equal(xstat(&r, "missed"), xstat(&r, "pool_exhaust"));
	assert_in_range(xstat(&r, "missed"), 90 - SLABS, 89);
	close_device(&r);
}

/* 5 ms: 50 frames came due meanwhile, with room for all of them. */
static bool stall_in_time(void)
{
	bool good = true;
	struct rig r;

	open_faulty(&r, "stall:5@20", &paced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	good = ms(seen[20].at - seen[19].at) > 4.5 && ms(seen[68].at - seen[20].at) < 4.0;
	for (unsigned int i = 1; i < 100; i++) /* they arrived in time, and were seen late */
		good &= fabs(ms(seen[i].tsc - seen[i - 1].tsc) - 0.1) < 0.09;
	assert_true(xstat(&r, "late_max_ns") >= 5000000);
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 1));
	close_device(&r);
	return good;
}

static void test_stall(void **state)
{
	struct rig r;

	(void)state;
	check_times(stall_in_time);
	/* Twice as long as there are slabs for. */
	open_faulty(&r, "stall:13@20", &(struct dip_dma_conf){.limit = 200, .fps = 10000});
	take_all(&r, BURST, seen, 200);
	assert_true(xstat(&r, "missed") >= 130 - SLABS && xstat(&r, "missed") < 190);
	assert_int_equal(xstat(&r, "missed"), xstat(&r, "pool_exhaust"));
	assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), 200);
	close_device(&r);
}

/* It is the camera that is late: the time stamps say so. */
static bool late_in_time(void)
{
	bool good;
	struct rig r;

	open_faulty(&r, "late:5@20", &paced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	good = ms(seen[20].tsc - seen[19].tsc) > 4.9 && seen[20].utc - seen[19].utc > 4900000;
	for (unsigned int i = 21; i < 70; i++) /* those behind it waited, and came at once */
		good &= ms(seen[i].tsc - seen[20].tsc) < 2;
	for (unsigned int i = 90; i < 100; i++) /* and then all is as it was */
		good &= fabs(ms(seen[i].tsc - seen[i - 1].tsc) - 0.1) < 0.09;
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 1));
	close_device(&r);
	return good;
}

static void test_late(void **state)
{
	(void)state;
	check_times(late_in_time);
}

/* Without a pace the time of a stall begins when it is the frame's turn. */
static bool unpaced_in_time(void)
{
	static const char *const faults[] = {"stall:5@20+stall:5@60", "late:5@20+late:5@60"};
	bool good = true;
	struct rig r;

	for (int i = 0; i < 2; i++) {
		open_faulty(&r, faults[i], &unpaced);
		assert_int_equal(take_all(&r, BURST, seen, 100), 100);
		assert_true(ms(seen[20].at - seen[19].at) > 4.9);
		assert_true(ms(seen[60].at - seen[59].at) > 4.9);
		good &= ms(seen[59].at - seen[20].at) < 2;
		check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 2));
		close_device(&r);
	}
	return good;
}

static void test_stall_unpaced(void **state)
{
	(void)state;
	check_times(unpaced_in_time);
}

static void test_corrupt(void **state)
{
	unsigned int wrong = 0;
	struct rig r;

	(void)state;
	open_started(&r, "dma_sim0",
		SMALL ",rows=1,cols=1,fill=0,background=0,faults=corrupt:10@3+corrupt@5", &unpaced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	for (unsigned int i = 0; i < 100; i++) {
		unsigned int bad = 0;

		for (unsigned int j = 0; j < PIXELS; j++)
			bad += seen[i].pixels[j] != 0;
		assert_true(i == 3 ? bad >= 7 && bad <= 10 : bad == (i == 5));
		wrong += bad;
	}
	assert_true(wrong > 0);
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 2));
	close_device(&r);
}

/* The clock of the time stamps, not that of the latencies. */
static bool jumps_in_time(void)
{
	bool good = true;
	struct rig r;

	open_faulty(&r, "jump:1000@10+jump:-3600000@20", &paced);
	assert_int_equal(take_all(&r, BURST, seen, 100), 100);
	for (unsigned int i = 1; i < 100; i++) {
		double step = ((int64_t)(seen[i].utc - seen[i - 1].utc)) / 1e6,
		       jump = i == 10   ? 1000
			      : i == 20 ? -3600000
					: 0;

		good &= fabs(step - ms(seen[i].tsc - seen[i - 1].tsc) - jump) < 1;
		good &= ms(seen[i].tsc - seen[i - 1].tsc) < 5;
	}
	check_counters(&r, COUNTERS(100, 0, 0, 0, 0, 0, 0, 2));
	close_device(&r);
	return good;
}

static void test_jump(void **state)
{
	(void)state;
	check_times(jumps_in_time);
}

static void check_dead(const char *faults, const struct dip_dma_conf *conf, uint64_t at)
{
	struct dip_dma_poll poll = {.queue = 0};
	struct dip_frame *frames[BURST];
	uint64_t next = 0;
	struct rig r;
	int n;

	open_faulty(&r, faults, conf);
	while ((n = dequeue(&r, &poll, frames, BURST)) >= 0)
		for (int i = 0; i < n; i++) {
			assert_int_equal(frames[i]->seq, next++);
			dip_frame_put(frames[i]);
		}
	assert_int_equal(n, -EIO);
	assert_int_equal(next, at);
	assert_int_equal(dequeue(&r, &poll, frames, BURST), -EIO);
	check_counters(&r, COUNTERS(at, 0, 0, 0, 2, 0, 0, 0));
	assert_int_equal(*dip_dma_next_seq(r.id), at);
	close_device(&r);
}

static void test_dead(void **state)
{
	struct dip_faults *f;
	struct dip_error err;
	uint64_t first = 0;

	(void)state;
	check_dead("dead@0", &unpaced, 0);
	check_dead("dead@33", &unpaced, 33);
	check_dead("dead@70+dead@33", &paced, 33);
	assert_int_equal(dip_faults_parse("dead~0.02+seed:3", &f, &err), 0);
	while (!dip_fault_hits(f, 0, first))
		first++;
	assert_in_range(first, 1, 99);
	free(f);
	check_dead("dead~0.02+seed:3", &unpaced, first);
	check_dead("dead~0.02+seed:3", &paced, first);
}

static void test_refuse(void **state)
{
	struct dip_dma_conf conf = {.limit = 1};
	struct rig r;

	(void)state;
	open_device(&r, "dma_null0", SMALL ",faults=refuse@2");
	make_pool(&r, SLABS);
	assert_int_equal(configure(&r, &conf), 0);
	conf.limit = 77;
	assert_int_equal(configure(&r, &conf), -EIO);
	assert_int_equal(rte_rawdev_start(r.id), 0);
	assert_int_equal(take_all(&r, BURST, seen, 100), 1); /* the one that took effect */
	check_counters(&r, COUNTERS(1, 0, 0, 0, 0, 0, 0, 0));
	rte_rawdev_stop(r.id);
	assert_int_equal(configure(&r, &conf), 0);
	close_device(&r);
}

static void test_burst_needs_a_pace(void **state)
{
	struct rig r;
	char *text;

	(void)state;
	open_device(&r, "dma_null0", SMALL ",faults=burst:5@2");
	make_pool(&r, SLABS);
	eal_log_begin();
	assert_int_equal(configure(&r, &unpaced), -EINVAL);
	text = eal_log_end();
	assert_non_null(
		strstr(text, "dma_null0: faults=burst:5@2: a burst, but the source is not"));
	free(text);
	close_device(&r);
}

/* Whatever comes together, on whichever queues: nothing is without a name. */
static void test_all_at_once(void **state)
{
	static const char *const mixes[] = {
		"lost~0.1+duplicate~0.1+corrupt:3~0.1+jump:5~0.1",
		"lost~0.01+stall:0.2~0.01+late:0.3~0.01+burst:8~0.02+duplicate~0.05",
		"stall:2@0+late:2@0+lost@0+duplicate@1+burst:40@1+jump:-1@1+corrupt:5@1",
	};
	struct dip_frame *frames[BURST];
	struct rig r;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(mixes) * 4; i++) {
		struct dip_dma_poll poll[3] = {{.queue = 0}, {.queue = 1}, {.queue = 2}};
		uint64_t came = 0, last[3] = {0};

		open_faulty(&r, mixes[i / 4],
			&(struct dip_dma_conf){
				.limit = 3000, .fps = 60000, .queues = 3, .block = i % 2 == 1});
		while (!poll[0].ended || !poll[1].ended || !poll[2].ended) {
			unsigned int q = (came + i) % 3;
			int n = dequeue(&r, &poll[q], frames, 1 + came % BURST);

			assert_true(n >= 0);
			for (int j = 0; j < n; j++) {
				assert_true(frames[j]->seq >= last[q]);
				assert_true(frames[j]->seq >= poll[q].seq_floor);
				last[q] = frames[j]->seq;
				dip_frame_put(frames[j]);
			}
			came += n > 0 ? n : 1;
		}
		assert_int_equal(*dip_dma_next_seq(r.id), 3000);
		assert_int_equal(xstat(&r, "frames") + xstat(&r, "missed"), 3000);
		if (i / 4 < 2 || i % 2 == 1) /* else the stall may have cost the frames it hit */
			assert_true(xstat(&r, "faults") > 0);
		close_device(&r);
	}
}

static void test_wrong_argument(void **state)
{
	char *text;

	(void)state;
	eal_log_begin();
	assert_true(rte_vdev_init("dma_null0", "faults=lst@1") < 0);
	text = eal_log_end();
	assert_non_null(strstr(text, "dma_null0: faults=...lst@1: unknown; expected lost"));
	free(text);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parse),
		TEST(test_parse_wrong),
		TEST(test_hits),
		TEST(test_lost),
		TEST(test_duplicate),
		TEST(test_duplicate_at_a_stop),
		TEST(test_burst),
		TEST(test_stall),
		TEST(test_late),
		TEST(test_stall_unpaced),
		TEST(test_corrupt),
		TEST(test_jump),
		TEST(test_dead),
		TEST(test_refuse),
		TEST(test_burst_needs_a_pace),
		TEST(test_all_at_once),
		TEST(test_wrong_argument),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
