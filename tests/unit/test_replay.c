/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "../../drivers/dma/replay/replay.h"

/* dma_replay: which numbers there are and when they are due, and what is found in a folder. */

/* --- the timeline --- */

#define MS 1000000ull

static struct replay_record records[] = {
	/* As in the files: two segments, the second of which has the earlier frame. */
	{.seq = 12, .timestamp_ns = 1000 * MS, .segment = 0, .slot = 0},
	{.seq = 20, .timestamp_ns = 1030 * MS, .segment = 0, .slot = 1},
	{.seq = 14, .timestamp_ns = 1010 * MS, .segment = 1, .slot = 0},
	{.seq = 22,
		.timestamp_ns = 1025 * MS,
		.segment = 1,
		.slot = 1}, /* the clock was set back */
};

static struct replay laid_out(double speed)
{
	static struct replay_record copy[RTE_DIM(records)];
	struct replay r = {.speed = speed, .record = copy, .records = RTE_DIM(records)};
	struct dip_error err;

	memcpy(copy, records, sizeof(copy));
	assert_int_equal(replay_lay_out(&r, &err), 0);
	return r;
}

/* Numbers 12 14 20 22, then 24 26 32 34, ...: two is the step of the run. */
static void test_numbers(void **state)
{
	static const uint64_t first[] = {12, 14, 20, 22};
	struct replay r = laid_out(1);

	(void)state;
	assert_int_equal(r.span, 12);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t seq = first[i % 4] + 12 * (i / 4);
		uint64_t before = i == 0 ? 0 : first[(i - 1) % 4] + 12 * ((i - 1) / 4) + 1;

		assert_int_equal(replay_number(&r, i), seq);
		assert_int_equal(replay_record_of(&r, seq)->seq, first[i % 4]);
		for (uint64_t s = before; s <= seq; s++)
			assert_int_equal(replay_count_below(&r, s), i);
	}
	assert_int_equal(replay_number(&r, 4000000000000), 12 + 12000000000000);
	assert_int_equal(replay_count_below(&r, 12 + 12000000000000), 4000000000000);
}

/* At 0, 10, 30 and 30 ms (the clock that was set back stood still), then again after another 10:
 * three steps took 30. */
static void test_moments(void **state)
{
	static const double first[] = {0, 10e6, 30e6, 30e6};
	struct replay r = laid_out(4);

	(void)state;
	assert_int_equal(r.period_ns, 40 * MS);
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t seq = replay_number(&r, i);
		double due = (first[i % 4] + 40e6 * (i / 4)) / 4;

		assert_true(replay_due_ns(&r, seq) == due);
		assert_true(replay_due_by(&r, due) >= seq + 1);
		if (i % 4 != 3) /* which is due with the one before it */
			assert_true(replay_due_by(&r, due + 1) <= replay_number(&r, i + 2));
		if (due > 0)
			assert_true(replay_due_by(&r, due - 1) <= seq);
	}
	assert_int_equal(replay_due_by(&r, 0), 13);
	assert_int_equal(replay_due_by(&r, 29e6 / 4), 15);
	assert_int_equal(replay_due_by(&r, 39e6 / 4), 23);
	assert_int_equal(replay_due_by(&r, 40e6 / 4), 25);
}

/* As they were recorded; those of later passes go on. */
static void test_time_stamps(void **state)
{
	struct replay r = laid_out(100);

	(void)state;
	assert_int_equal(replay_timestamp(&r, 12), 1000 * MS);
	assert_int_equal(replay_timestamp(&r, 14), 1010 * MS);
	assert_int_equal(replay_timestamp(&r, 22), 1025 * MS);
	assert_int_equal(replay_timestamp(&r, 24), 1040 * MS);
	assert_int_equal(replay_timestamp(&r, 12 + 120), 1400 * MS);
	r.record[0].timestamp_ns = 0; /* not known */
	assert_int_equal(replay_timestamp(&r, 12), 0);
	assert_int_equal(replay_timestamp(&r, 24), 0);
}

static void test_one_record(void **state)
{
	struct replay_record one = {.seq = 5, .timestamp_ns = 7};
	struct replay r = {.speed = 1, .record = &one, .records = 1};
	struct dip_error err;

	(void)state;
	assert_int_equal(replay_lay_out(&r, &err), 0);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(replay_number(&r, i), 5 + i);
		assert_int_equal(replay_count_below(&r, 5 + i), i);
		assert_true(replay_due_ns(&r, 5 + i) == i * 1e6);
		assert_int_equal(replay_due_by(&r, i * 1e6), 6 + i);
	}
}

/* A clock that stood still all the time: the frames are due at once, the next pass is not. */
static void test_one_moment(void **state)
{
	struct replay_record same[] = {
		{.seq = 5, .timestamp_ns = 7}, {.seq = 6, .timestamp_ns = 7}};
	struct replay r = {.speed = 1, .record = same, .records = 2};
	struct dip_error err;

	(void)state;
	assert_int_equal(replay_lay_out(&r, &err), 0);
	assert_int_equal(r.period_ns, 2 * MS);
	assert_int_equal(replay_due_by(&r, 0), 7);
	assert_int_equal(replay_due_by(&r, 2 * MS - 1), 7);
	assert_int_equal(replay_due_by(&r, 2 * MS), 9);
}

/* Garbage, or a clock that was set by a century. */
static void test_moments_that_cannot_be(void **state)
{
	struct replay_record far[] = {{.seq = 5}, {.seq = 6, .timestamp_ns = INT64_MAX}};
	struct replay r = {.path = "run", .speed = 1, .record = far, .records = 2};
	struct dip_error err;

	(void)state;
	assert_int_equal(replay_lay_out(&r, &err), -EBADMSG);
	assert_string_equal(err.text,
		"run: frame 6 came 292 years after the first one; expected a run of 100 years at "
		"most");
}

static void test_numbers_that_cannot_be(void **state)
{
	struct replay_record twice[] = {{.seq = 5}, {.seq = 6}, {.seq = 5}},
			     huge[] = {{.seq = 5}, {.seq = UINT64_MAX / 4 + 1}};
	struct replay r = {.path = "run", .speed = 1, .record = twice, .records = 3};
	struct dip_error err;

	(void)state;
	assert_int_equal(replay_lay_out(&r, &err), -EBADMSG);
	assert_string_equal(err.text, "run: frame 5 is there twice; expected every number once");
	r = (struct replay){.path = "run", .speed = 1, .record = huge, .records = 2};
	assert_int_equal(replay_lay_out(&r, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "expected numbers below 2^62"));
}

/* --- the index --- */

#define W 8
#define H 4
#define IMAGE (W * H * 2)
#define STRIDE 512

static char folder[32];

static int setup(void **state)
{
	strcpy(folder, "/tmp/dip_replay_XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : eal_start(state);
}

static const char *segment_path(int number)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/frames_%06d.npy", folder, number);
	return path;
}

static void remove_segments(void)
{
	for (int i = 0; i < 3; i++)
		unlink(segment_path(i));
}

static int teardown(void **state)
{
	remove_segments();
	rmdir(folder);
	return eal_stop(state);
}

static void put_segment(int number, uint64_t run_id, const uint64_t *seqs, unsigned int n)
{
	uint8_t header[DIP_HEADER_BYTES], record[STRIDE];
	int fd = open(segment_path(number), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(dip_segment_header(header, W, H, STRIDE, n), 0);
	assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
	for (unsigned int i = 0; i < n; i++) {
		struct dip_trailer t = {
			.seq = seqs[i], .timestamp_ns = 100 + seqs[i], .run_id = run_id};

		memset(record, (int)seqs[i], IMAGE);
		dip_record_seal(record, IMAGE, STRIDE, &t, true);
		assert_int_equal(write(fd, record, STRIDE), STRIDE);
	}
	close(fd);
}

static int look_up(struct replay *r, struct dip_error *err)
{
	int ret;

	*r = (struct replay){.path = folder, .speed = 1, .direct = true, .verify = true};
	ret = replay_look(r, err);
	return ret < 0 ? ret : replay_index(r, err);
}

static void forget(struct replay *r)
{
	for (uint32_t i = 0; i < r->segments; i++) {
		if (r->segment[i].direct)
			close(r->segment[i].fd);
		dip_reader_close(r->segment[i].reader);
	}
	free(r->segment);
	free(r->record);
}

static void test_index(void **state)
{
	static const uint64_t one[] = {3, 1, 2}, two[] = {9, 8};
	struct dip_error err;
	struct replay r;

	(void)state;
	remove_segments();
	put_segment(0, 7, one, 3);
	put_segment(1, 7, two, 2);
	if (look_up(&r, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(r.npy && r.shape.width == W && r.shape.height == H && r.image_bytes == IMAGE);
	assert_int_equal(r.segments, 2);
	assert_int_equal(r.records, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(r.record[i].seq, i < 3 ? one[i] : two[i - 3]);
		assert_int_equal(r.record[i].timestamp_ns, 100 + r.record[i].seq);
		assert_int_equal(r.record[i].segment, i / 3);
		assert_int_equal(r.record[i].slot, i % 3);
	}
	/* What is read with O_DIRECT is opened with it. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			!!(fcntl(r.segment[i].fd, F_GETFL) & O_DIRECT), r.segment[i].direct);
	assert_int_equal(replay_lay_out(&r, &err), 0);
	assert_int_equal(replay_record_of(&r, 8)->segment, 1);
	assert_int_equal(replay_record_of(&r, 8)->slot, 1);
	forget(&r);
}

static void test_index_of_what_is_no_run(void **state)
{
	static const uint64_t seqs[] = {0, 1, 2};
	struct dip_error err;
	struct replay r;

	(void)state;
	remove_segments();
	assert_int_equal(look_up(&r, &err), -ENOTSUP); /* for another source to judge */
	put_segment(0, 7, seqs, 0);
	assert_int_equal(look_up(&r, &err), -EINVAL);
	assert_non_null(strstr(err.text, "a run without frames"));
	forget(&r);
	put_segment(0, 7, seqs, 3);
	put_segment(1, 8, seqs, 3);
	assert_int_equal(look_up(&r, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "frames_000001.npy: record 0: run_id"));
	forget(&r);
	put_segment(1, 7, seqs, 3);
	assert_int_equal(truncate(segment_path(1), DIP_HEADER_BYTES + 2 * STRIDE + 10), 0);
	assert_int_equal(look_up(&r, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "frames_000001.npy: found 2 records, 2 of them written"));
	assert_non_null(strstr(err.text, "expected the 3 that its header promises"));
	forget(&r);
}

/* What the checksum covers, and the number that the index has. */
static void test_intact(void **state)
{
	struct replay r = {.image_bytes = IMAGE};
	struct replay_record record = {.seq = 4};
	struct dip_trailer t = {.seq = 4};
	uint8_t bytes[STRIDE];

	(void)state;
	memset(bytes, 9, IMAGE);
	dip_record_seal(bytes, IMAGE, STRIDE, &t, true);
	memcpy(&t, bytes + IMAGE, sizeof(t));
	assert_true(replay_intact(&r, &record, bytes, &t));
	bytes[IMAGE - 1] ^= 1;
	assert_false(replay_intact(&r, &record, bytes, &t));
	bytes[IMAGE - 1] ^= 1;
	t.timestamp_ns++;
	assert_false(replay_intact(&r, &record, bytes, &t));
	t.timestamp_ns--;
	record.seq = 5;
	assert_false(replay_intact(&r, &record, bytes, &t));
	record.seq = 4;
	t.magic++;
	assert_false(replay_intact(&r, &record, bytes, &t));
	t.magic--;
	t.flags = 0; /* there is none */
	bytes[0] ^= 1;
	assert_true(replay_intact(&r, &record, bytes, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_time_stamps),
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_one_moment),
		cmocka_unit_test(test_moments_that_cannot_be),
		cmocka_unit_test(test_numbers_that_cannot_be),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_of_what_is_no_run),
		cmocka_unit_test(test_intact),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
