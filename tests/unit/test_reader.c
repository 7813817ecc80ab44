/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "reader/index.h"
#include "reader/reader.h"
#include "reader/run.h"
#include "reader/seqs.h"

#define WIDTH 5
#define HEIGHT 3
#define IMAGE (WIDTH * HEIGHT * 2)
#define STRIDE 128
#define RUN_ID 77

static char folder[] = "/tmp/dip_reader_XXXXXX";
static char path[64], idx[64];
static uint8_t file[DIP_HEADER_BYTES + 16 * STRIDE];

static uint8_t *slot(unsigned int i)
{
	return file + DIP_HEADER_BYTES + i * STRIDE;
}

static struct dip_trailer *trailer(unsigned int i)
{
	return (struct dip_trailer *)(slot(i) + IMAGE);
}

static void put(unsigned int i, uint64_t seq, uint64_t run_id, bool checksum)
{
	struct dip_trailer fields = {.seq = seq, .timestamp_ns = 1000 + seq, .run_id = run_id};

	memset(slot(i), 0x11 + i, IMAGE);
	dip_record_seal(slot(i), IMAGE, STRIDE, &fields, checksum);
}

/* records good ones with seq 0, 5, 10.., and a header that promises that many. */
static void make(unsigned int records, uint64_t promised)
{
	memset(file, 0, sizeof(file));
	assert_int_equal(dip_segment_header(file, WIDTH, HEIGHT, STRIDE, promised), 0);
	for (unsigned int i = 0; i < records; i++)
		put(i, 5 * i, RUN_ID, true);
}

static void store(const char *name, const void *bytes, size_t size)
{
	FILE *out = fopen(name, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, size, out), size);
	assert_int_equal(fclose(out), 0);
}

static struct dip_reader *open_file(size_t size)
{
	struct dip_reader *r = NULL;
	struct dip_error err = {0};

	store(path, file, size);
	assert_int_equal(dip_reader_open(path, NULL, &r, &err), 0);
	return r;
}

static size_t bytes(unsigned int records)
{
	return DIP_HEADER_BYTES + records * STRIDE;
}

/* All faults in a row. */
static void expect_faults(struct dip_reader *r, const enum dip_record_fault *faults, unsigned int n)
{
	struct dip_record record;

	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(dip_reader_next(r, &record, NULL), 1);
		assert_int_equal(record.slot, i);
		assert_int_equal(record.offset, bytes(i));
		assert_int_equal(record.fault, faults[i]);
	}
	assert_int_equal(dip_reader_next(r, &record, NULL), 0);
	assert_int_equal(dip_reader_next(r, &record, NULL), 0);
	dip_reader_close(r);
}

static void test_closed(void **state)
{
	struct dip_record record;
	struct dip_reader *r;

	(void)state;
	make(3, 3);
	r = open_file(bytes(3));
	assert_true(r->npy);
	assert_int_equal(r->shape.height, HEIGHT);
	assert_int_equal(r->shape.width, WIDTH);
	assert_int_equal(r->image_bytes, IMAGE);
	assert_int_equal(r->stride, STRIDE);
	assert_int_equal(r->promised, 3);
	assert_int_equal(r->records, 3);
	assert_int_equal(r->written, 3);
	assert_int_equal(r->rest, 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(dip_reader_next(r, &record, NULL), 1);
		assert_int_equal(record.fault, DIP_GOOD);
		assert_int_equal(record.trailer.seq, 5 * i);
		assert_int_equal(record.trailer.timestamp_ns, 1000 + 5 * i);
		assert_memory_equal(record.image, slot(i), IMAGE);
		assert_false(record.pad_damaged);
	}
	assert_int_equal(dip_reader_next(r, &record, NULL), 0);
	assert_true(r->has_run_id);
	assert_int_equal(r->run_id, RUN_ID);
	dip_reader_close(r);
	dip_reader_close(NULL);
}

static void test_every_fault(void **state)
{
	static const enum dip_record_fault faults[] = {DIP_BAD_CRC, DIP_GOOD, DIP_NEVER_WRITTEN,
		DIP_BAD_MAGIC, DIP_BAD_VERSION, DIP_BAD_LENGTH, DIP_BAD_CRC, DIP_BAD_FLAGS,
		DIP_OTHER_RUN, DIP_GOOD, DIP_BAD_FLAGS, DIP_BAD_FLAGS, DIP_GOOD};
	char text[160];
	struct dip_record record = {0};
	struct dip_reader *r;

	(void)state;
	make(13, 16);
	trailer(0)->run_id ^= 1; /* must not condemn the others */
	memset(slot(2), 0, STRIDE);
	trailer(3)->magic ^= 2;
	trailer(4)->version = 2;
	trailer(5)->length++;
	slot(6)[7] ^= 4;
	trailer(7)->flags = 0; /* and a checksum */
	put(8, 40, 3, true);
	put(9, 45, RUN_ID, false);
	put(10, 50, RUN_ID, false);
	trailer(10)->flags = 2;
	put(11, 55, RUN_ID, false);
	trailer(11)->crc32c = 1;
	expect_faults(open_file(bytes(16)), faults, 13);

	r = open_file(bytes(16));
	for (int fault = DIP_GOOD; fault <= DIP_NOT_INDEXED; fault++) {
		record.fault = fault;
		dip_record_describe(r, &record, text, sizeof(text));
		assert_int_equal(text[0] == '\0', fault == DIP_GOOD);
	}
	dip_reader_close(r);
}

static void test_any_flag_beside_the_checksum_is_covered_by_it(void **state)
{
	static const enum dip_record_fault faults[] = {DIP_BAD_CRC, DIP_GOOD};

	(void)state;
	make(2, 2);
	trailer(0)->flags |= 0x8000;
	expect_faults(open_file(bytes(2)), faults, 2);
}

static void test_open_and_torn(void **state)
{
	static const enum dip_record_fault cut[] = {DIP_GOOD, DIP_GOOD, DIP_CUT};
	struct dip_record record;
	struct dip_reader *r;

	(void)state;
	make(3, 16);
	r = open_file(bytes(16));
	assert_int_equal(r->records, 16);
	assert_int_equal(r->written, 3);
	dip_reader_close(r);
	/* Cut inside the padding: by itself whole, in a row a cut record. */
	r = open_file(bytes(3) - 1);
	assert_int_equal(r->records, 2);
	assert_int_equal(r->rest, STRIDE - 1);
	assert_int_equal(dip_reader_read(r, 2, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_GOOD);
	assert_int_equal(dip_reader_read(r, 1000, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_NEVER_WRITTEN);
	expect_faults(r, cut, 3);
	/* No rest is told of where the last record was not written. */
	make(2, 16);
	expect_faults(open_file(bytes(3) + 5), cut, 2);
}

static long peak_kib(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* A header may promise records of 8 GB; of a record no more is read than the file has. */
static void test_records_larger_than_memory(void **state)
{
	struct dip_record record;
	struct dip_reader *r;
	long before = peak_kib();

	(void)state;
	memset(file, 7, sizeof(file));
	assert_int_equal(dip_segment_header(file, 65535, 65535, 8589676544, 1), 0);
	r = open_file(bytes(1));
	assert_int_equal(dip_reader_read(r, 0, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_NEVER_WRITTEN);
	assert_int_equal(record.bytes, STRIDE);
	assert_memory_equal(record.image, slot(0), STRIDE);
	assert_int_equal(dip_reader_read(r, 1, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_NEVER_WRITTEN);
	assert_int_equal(record.bytes, 0);
	assert_int_equal(dip_reader_stray(r, 0, NULL), 0);
	assert_in_range(peak_kib() - before, 0, 65536);
	dip_reader_close(r);
}

static void test_cut_while_it_is_read(void **state)
{
	struct dip_record record;
	struct dip_reader *r;
	struct dip_error err;

	(void)state;
	make(8, 8);
	r = open_file(bytes(8));
	assert_int_equal(truncate(path, bytes(2)), 0);
	assert_int_equal(dip_reader_next(r, &record, &err), -EAGAIN);
	assert_non_null(strstr(err.text, path));
	dip_reader_close(r);
}

static void test_peek(void **state)
{
	struct dip_record record;
	struct dip_reader *r;

	(void)state;
	make(2, 2);
	slot(0)[0] ^= 1;
	trailer(1)->magic = 5;
	r = open_file(bytes(2));
	assert_int_equal(dip_reader_peek(r, 0, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_GOOD);
	assert_null(record.image);
	assert_false(r->has_run_id);
	assert_int_equal(dip_reader_peek(r, 1, &record, NULL), 0);
	assert_int_equal(record.fault, DIP_BAD_MAGIC);
	dip_reader_close(r);
}

static void test_padding(void **state)
{
	struct dip_record record;
	struct dip_reader *r;

	(void)state;
	make(1, 1);
	slot(0)[STRIDE - 1] = 1;
	r = open_file(bytes(1));
	assert_int_equal(dip_reader_next(r, &record, NULL), 1);
	assert_int_equal(record.fault, DIP_GOOD);
	assert_true(record.pad_damaged);
	dip_reader_close(r);
}

static void test_every_bit_of_a_header(void **state)
{
	struct dip_reader *r;
	struct dip_error err;
	int ret;

	(void)state;
	make(2, 2);
	for (unsigned int bit = 0; bit < 8 * DIP_HEADER_BYTES; bit += bit < 8 * 420 ? 1 : 37) {
		file[bit / 8] ^= 1 << bit % 8;
		store(path, file, bytes(2));
		err.text[0] = '\0';
		ret = dip_reader_open(path, NULL, &r, &err);
		if (ret == 0) {
			/* Another number is a header, too; it does not agree with the file. */
			assert_true(r->promised != 2 || r->records != 2 || r->stride != STRIDE ||
				    r->shape.width != WIDTH || r->shape.height != HEIGHT);
			assert_true(r->promised != r->records || r->rest > 0);
			dip_reader_close(r);
		} else {
			assert_true(ret == -EBADMSG || ret == -EINVAL);
			assert_non_null(strstr(err.text, path));
		}
		file[bit / 8] ^= 1 << bit % 8;
	}
}

static void test_what_is_no_segment(void **state)
{
	struct dip_reader *r = NULL;
	struct dip_error err;

	(void)state;
	make(2, 2);
	for (size_t size = 0; size < DIP_HEADER_BYTES; size += size < 200 ? 1 : 300) {
		store(path, file, size);
		assert_int_equal(dip_reader_open(path, NULL, &r, &err), -EBADMSG);
	}
	assert_int_equal(dip_reader_open(folder, NULL, &r, &err), -EINVAL);
	assert_int_equal(dip_reader_open("/nowhere/x_000000.npy", NULL, &r, &err), -ENOENT);
	assert_int_equal(dip_reader_open("/dev/null", NULL, &r, &err), -EINVAL);
	assert_null(r);
}

static void test_open_as(void **state)
{
	struct dip_shape shape = {.height = HEIGHT, .width = WIDTH};
	struct dip_record record;
	struct dip_reader *r;

	(void)state;
	make(2, 2);
	memset(file, 0, DIP_HEADER_BYTES);
	store(path, file, bytes(4));
	assert_int_equal(dip_reader_open_as(path, &shape, STRIDE, &r, NULL), 0);
	assert_int_equal(r->promised, DIP_UNKNOWN);
	assert_int_equal(r->written, 2);
	assert_int_equal(dip_reader_next(r, &record, NULL), 1);
	assert_int_equal(record.fault, DIP_GOOD);
	dip_reader_close(r);
}

static void test_refresh(void **state)
{
	struct dip_reader *r;
	int fd;

	(void)state;
	make(2, 16);
	r = open_file(bytes(16));
	make(3, 3);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, file, bytes(3), 0), bytes(3));
	assert_int_equal(ftruncate(fd, bytes(3)), 0);
	assert_int_equal(dip_reader_refresh(r, NULL), 0);
	assert_int_equal(r->promised, 3);
	assert_int_equal(r->records, 3);
	memset(file, 'x', 20);
	assert_int_equal(pwrite(fd, file, 20, 10), 20);
	assert_int_equal(dip_reader_refresh(r, NULL), -EBADMSG);
	assert_int_equal(r->promised, 3);
	close(fd);
	dip_reader_close(r);
}

static void test_in_use(void **state)
{
	struct dip_reader *r;
	int fd;

	(void)state;
	make(1, 1);
	r = open_file(bytes(1));
	assert_false(dip_reader_in_use(r));
	fd = open(path, O_WRONLY);
	assert_true(dip_reader_in_use(r));
	close(fd);
	assert_false(dip_reader_in_use(r));
	dip_reader_close(r);
}

static void test_raw(void **state)
{
	static const enum dip_record_fault faults[] = {DIP_GOOD, DIP_NOT_INDEXED, DIP_GOOD};
	static const uint64_t seqs[] = {7, UINT64_MAX, 9};
	struct dip_shape shape = {.height = HEIGHT, .width = WIDTH};
	char raw[64], lines[64];
	struct dip_record record;
	struct dip_reader *r;
	struct dip_error err;

	(void)state;
	snprintf(raw, sizeof(raw), "%s/a_000000.bin", folder);
	memset(file, 3, 3 * IMAGE);
	store(raw, file, 3 * IMAGE);
	assert_int_equal(dip_reader_open(raw, NULL, &r, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--shape"));
	assert_int_equal(dip_reader_open(raw, &shape, &r, &err), 0);
	assert_false(r->indexed);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(dip_reader_next(r, &record, NULL), 1);
		assert_int_equal(record.trailer.seq, i);
		assert_memory_equal(record.image, file, IMAGE);
	}
	dip_reader_close(r);
	snprintf(lines, sizeof(lines), "9 %d\njunk\n7 0\n8 1\n", 2 * IMAGE);
	store(idx, lines, strlen(lines));
	assert_int_equal(dip_reader_open(raw, &shape, &r, &err), 0);
	assert_true(r->indexed);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(dip_reader_next(r, &record, NULL), 1);
		assert_int_equal(record.fault, faults[i]);
		assert_int_equal(record.trailer.seq, seqs[i]);
		assert_int_equal(record.offset, i * IMAGE);
	}
	dip_reader_close(r);
	assert_int_equal(truncate(raw, 3 * IMAGE - 1), 0);
	assert_int_equal(dip_reader_open(raw, &shape, &r, &err), -EBADMSG);
	unlink(raw);
	unlink(idx);
}

static void test_index_lines(void **state)
{
	static const struct {
		const char *text;
		bool malformed;
	} cases[] = {{"1 2\n", false}, {"0 18446744073709551615\n", false},
		{"1 18446744073709551616\n", true}, {"1  2\n", true}, {" 1 2\n", true},
		{"1 2", true}, {"1 2 \n", true}, {"1\n", true}, {"\n", true}, {"-1 2\n", true},
		{"1 2 3\n", true}, {"a b\n", true}, {"1 2\r\n", true}};
	struct dip_index index;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		store(idx, cases[i].text, strlen(cases[i].text));
		assert_int_equal(dip_index_read(path, &index, NULL), 1);
		assert_int_equal(index.count, 1);
		assert_int_equal(index.lines[0].malformed, cases[i].malformed);
		dip_index_free(&index);
	}
	store(idx, "1 2\n3 4\n", 8);
	assert_int_equal(dip_index_read(path, &index, NULL), 1);
	assert_int_equal(index.count, 2);
	assert_int_equal(index.lines[1].seq, 3);
	assert_int_equal(index.lines[1].offset, 4);
	dip_index_free(&index);
	unlink(idx);
	assert_int_equal(dip_index_read(path, &index, NULL), 0);
}

static void test_index_replace(void **state)
{
	struct dip_index_text text = {0};
	struct dip_index index;

	(void)state;
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(dip_index_append(&text, UINT64_MAX - i, 4096 + i), 0);
	assert_int_equal(dip_index_replace(path, &text, NULL), 1);
	assert_int_equal(dip_index_replace(path, &text, NULL), 0);
	assert_int_equal(dip_index_read(path, &index, NULL), 1);
	assert_int_equal(index.count, 5000);
	for (uint64_t i = 0; i < 5000; i++) {
		assert_int_equal(index.lines[i].seq, UINT64_MAX - i);
		assert_int_equal(index.lines[i].offset, 4096 + i);
	}
	dip_index_free(&index);
	free(text.bytes);
	unlink(idx);
}

static void touch(const char *name)
{
	char at[128];

	snprintf(at, sizeof(at), "%s/%s", folder, name);
	store(at, "", 0);
}

static void forget(const char *name)
{
	char at[128];

	snprintf(at, sizeof(at), "%s/%s", folder, name);
	unlink(at);
}

static void test_run(void **state)
{
	static const char *const names[] = {"b_1_000010.npy", "b_1_000002.npy", "b_1_000002.idx",
		"b_1_1000000.npy", "frame_000000000001.npy", "b_1_00001.npy", "_000001.npy",
		"b_1_000002.npy.cut", "stack.npy"};
	static const uint64_t numbers[] = {2, 10, 1000000};
	struct dip_error err;
	struct dip_run run;

	(void)state;
	unlink(path);
	assert_int_equal(dip_run_list(folder, &run, &err), 0);
	assert_int_equal(run.count, 0);
	dip_run_free(&run);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		touch(names[i]);
	assert_int_equal(dip_run_list(folder, &run, &err), 0);
	assert_int_equal(run.count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(run.segments[i].number, numbers[i]);
	dip_run_free(&run);
	touch("b_000000.npy"); /* another prefix, of which the other begins */
	assert_int_equal(dip_run_list(folder, &run, &err), -EINVAL);
	forget("b_000000.npy");
	touch("b_1_000003.bin");
	assert_int_equal(dip_run_list(folder, &run, &err), -EINVAL);
	forget("b_1_000003.bin");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		forget(names[i]);
	assert_int_equal(dip_run_list("/nowhere", &run, &err), -ENOENT);
}

static void test_seqs(void **state)
{
	static const uint64_t in[] = {30, 0, 5, 10, 25, 5, 40};
	struct dip_seqs seqs = {.sorted = true};
	struct dip_seq_summary sum;

	(void)state;
	assert_int_equal(dip_seqs_summary(&seqs, &sum), 0);
	assert_int_equal(sum.frames, 0);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(dip_seqs_add(&seqs, in[i], 0, i), 0);
	assert_int_equal(dip_seqs_summary(&seqs, &sum), 0);
	assert_int_equal(sum.frames, 6);
	assert_int_equal(sum.twice, 1);
	assert_int_equal(sum.min, 0);
	assert_int_equal(sum.max, 40);
	assert_int_equal(sum.step, 5);
	assert_int_equal(sum.gaps, 2);
	assert_int_equal(sum.missing, 3);
	/* The later of two with one number comes second. */
	assert_int_equal(seqs.all[1].slot, 2);
	assert_int_equal(seqs.all[2].slot, 5);
	free(seqs.all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_every_fault),
		cmocka_unit_test(test_any_flag_beside_the_checksum_is_covered_by_it),
		cmocka_unit_test(test_open_and_torn),
		cmocka_unit_test(test_records_larger_than_memory),
		cmocka_unit_test(test_cut_while_it_is_read),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_every_bit_of_a_header),
		cmocka_unit_test(test_what_is_no_segment),
		cmocka_unit_test(test_open_as),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_index_lines),
		cmocka_unit_test(test_index_replace),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_seqs),
	};
	int failed;

	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/a_000000.npy", folder);
	snprintf(idx, sizeof(idx), "%s/a_000000.idx", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	unlink(idx);
	rmdir(folder);
	return failed;
}
