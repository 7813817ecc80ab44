/* SPDX-License-Identifier: BSD-3-Clause */
#include "results_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <rte_cycles.h>

#include "npy/npy.h"
#include "util/file.h"

#define HEADER 1024

/* --- what must be in the file, worked out anew --- */

static size_t record_bytes(const struct dip_results_shape *s)
{
	size_t bytes = 8 + 8 + 8 + 4 + (s->sites + 7) / 8;

	bytes += (8 - bytes % 8) % 8;
	return bytes + (s->sums ? 2 * s->sites * (s->wide ? 8 : 4) : 0);
}

static uint8_t *put(uint8_t *at, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		*at++ = value >> 8 * i & 0xff;
	return at;
}

/* A record, byte by byte. */
static void reference(uint8_t *record, uint64_t seq, const struct dip_results_shape *s)
{
	unsigned int width = s->wide ? 8 : 4;
	size_t sums = s->sums ? 2 * s->sites * width : 0;
	uint8_t *at = record;
	uint32_t occupied = 0;

	memset(record, 0, record_bytes(s));
	for (unsigned int i = 0; i < s->sites; i++)
		occupied += bit_of(seq, i);
	at = put(at, seq, 8);
	at = put(at, stamp_of(seq), 8);
	at = put(at, latency_of(seq), 8);
	at = put(at, occupied, 4);
	for (unsigned int i = 0; i < s->sites; i++)
		at[i / 8] |= bit_of(seq, i) << i % 8;
	at = record + record_bytes(s) - sums;
	for (unsigned int i = 0; s->sums && i < s->sites; i++)
		at = put(at, sum_of(seq, i, s->wide), width);
	for (unsigned int i = 0; s->sums && i < s->sites; i++)
		at = put(at, sum_of(seq, i, s->wide) - s->limit[i], width);
}

/* The records that a header promises: its one number of the form "(   N,)" at the end. */
static uint64_t promise_of(const char *header)
{
	const char *shape = memmem(header, HEADER, "'shape': (", 10);
	char *end;
	uint64_t n;

	assert_non_null(shape);
	n = strtoull(shape + 10, &end, 10);
	assert_memory_equal(end, ",), }", 5);
	return n;
}

/* The file is a header that promises these n frames, and these. */
static void file_is(const struct rig *r, const uint64_t *seqs, size_t n)
{
	size_t bytes, one = record_bytes(&r->shape);
	char *file = read_file(r->path, &bytes);
	uint8_t *want = malloc(one);

	assert_non_null(want);
	assert_int_equal(bytes, HEADER + n * one);
	assert_int_equal(promise_of(file), n);
	for (size_t i = 0; i < n; i++) {
		reference(want, seqs[i], &r->shape);
		assert_memory_equal(file + HEADER + i * one, want, one);
	}
	free(want);
	free(file);
}

static int64_t limits[SITES];

static int set_limits(void **state)
{
	for (unsigned int i = 0; i < SITES; i++)
		limits[i] = (int64_t)i * 1000 - 3;
	return eal_start(state);
}

static const struct dip_results_shape shapes[] = {
	{.sites = SITES},
	{.sites = SITES, .sums = true, .limit = limits},
	{.sites = SITES, .sums = true, .wide = true, .limit = limits},
};

/* --- records --- */

static void test_records(void **state)
{
	static const uint64_t seqs[] = {0, 1, 77, 78, UINT32_MAX, UINT64_MAX - 1};

	(void)state;
	for (size_t s = 0; s < RTE_DIM(shapes); s++) {
		struct rig r;

		open_rig_of(&r, &dip_results_npy, shapes[s], 1, 16, -1);
		file_is(&r, NULL, 0); /* a file that numpy reads from its first moment on */
		for (size_t i = 0; i < RTE_DIM(seqs); i++)
			result(&r, 0, seqs[i]);
		r.window[0]->seq_floor = UINT64_MAX;
		assert_int_equal(poll_rig(&r), RTE_DIM(seqs));
		file_is(&r, NULL, 0);
		r.poller.stop(r.poller.arg);
		file_is(&r, seqs, RTE_DIM(seqs));
		assert_int_equal(
			counted(r.bytes, "results_bytes"), RTE_DIM(seqs) * record_bytes(&r.shape));
		close_rig(&r);
	}
}

/* Any number of sites: as many bytes as they need, and what is behind the last one is zero. */
static void test_bits_of_any_number_of_sites(void **state)
{
	(void)state;
	for (unsigned int sites = 1; sites < 300; sites++) {
		struct dip_results_shape shape = {.sites = sites};
		size_t bytes = record_bytes(&shape);
		struct dip_result *result = malloc(sizeof(*result) + dip_occupancy_bytes(sites));
		uint8_t *record = malloc(bytes), *want = malloc(bytes); /* the sanitizer guards */

		assert_true(result != NULL && record != NULL && want != NULL);
		memset(record, 0xff, bytes);
		set_bits(result, 12345, sites);
		result->seq = 12345;
		result->timestamp_ns = stamp_of(12345);
		result->latency_ns = latency_of(12345);
		result->occupied = 0;
		for (unsigned int i = 0; i < sites; i++)
			result->occupied += bit_of(12345, i);
		reference(want, 12345, &shape);
		assert_int_equal(dip_results_npy.most(&shape), bytes);
		assert_int_equal(dip_results_npy.least(&shape), bytes);
		assert_int_equal(dip_results_npy.put(&shape, result, record), bytes);
		assert_memory_equal(record, want, bytes);
		free(want);
		free(record);
		free(result);
	}
}

/* --- the header of a file that grows --- */

#define DESCR "[('seq', '<u8')]"

static char *header_of(int fd)
{
	static char header[HEADER];

	assert_int_equal(pread(fd, header, HEADER, 0), HEADER);
	return header;
}

static void test_growing_header(void **state)
{
	static const uint64_t counts[] = {0, 1, 9, 10, 99999998, 99999999, 100000000, 100000001,
		199999999, 200000000, 999999999999999, 1000000000000000, 9999999999999999};
	char path[64], header[HEADER];
	size_t at;
	int fd;

	(void)state;
	unused_name(path);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	assert_int_equal(dip_npy_growing_header(header, HEADER, DESCR, &at), 0);
	assert_int_equal(at % 16, 0); /* so that a word is written in one piece */
	assert_int_equal(promise_of(header), 0);
	assert_int_equal(dip_write_at(fd, header, HEADER, 0), 0);
	for (size_t i = 0; i < RTE_DIM(counts); i++) {
		for (size_t j = 0; j < RTE_DIM(counts); j++) {
			assert_int_equal(dip_npy_grow(fd, at, UINT64_MAX, counts[i]), 0);
			assert_int_equal(promise_of(header_of(fd)), counts[i]);
			assert_int_equal(dip_npy_grow(fd, at, counts[i], counts[j]), 0);
			assert_int_equal(promise_of(header_of(fd)), counts[j]);
		}
	}
	/* Nothing but the number has changed. */
	assert_int_equal(dip_npy_grow(fd, at, UINT64_MAX, 0), 0);
	assert_memory_equal(header_of(fd), header, HEADER);
	assert_int_equal(dip_npy_grow(fd, at, 0, 10000000000000000), -EFBIG);
	assert_memory_equal(header_of(fd), header, HEADER);
	assert_int_equal(dip_npy_growing_header(header, 64, DESCR, &at), -ENOSPC);
	close(fd);
	assert_int_equal(dip_npy_grow(fd, at, 0, 1), -EBADF);
	unlink(path);
}

/* --- readers of a file that grows --- */

struct reader {
	pthread_t thread;
	int fd;
	size_t one; /* bytes of a record; 0: the header alone */
	bool stop;  /* atomic */
	uint64_t looks, news, too_much, backwards, torn;
};

static void *read_again_and_again(void *arg)
{
	struct reader *r = arg;
	uint64_t last = 0;
	char header[HEADER];
	cpu_set_t any;

	memset(&any, 0xff, sizeof(any));
	pthread_setaffinity_np(pthread_self(), sizeof(any), &any);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		uint64_t n;

		assert_int_equal(pread(r->fd, header, HEADER, 0), HEADER);
		n = promise_of(header);
		r->looks++;
		dip_count(&r->news, n != last);
		r->backwards += n < last;
		r->torn += n % 100000000 % 11111111 != 0;
		last = n;
		if (r->one > 0)
			r->too_much += lseek(r->fd, 0, SEEK_END) < (off_t)(HEADER + n * r->one);
	}
	return NULL;
}

/* Whoever reads at any moment finds a promise that is kept, and it only grows. */
static void test_readers_while_it_grows(void **state)
{
	struct reader reader = {0};
	struct rig r;

	(void)state;
	open_rig_of(&r, &dip_results_npy, shapes[0], 1, 64, -1);
	reader.fd = open(r.path, O_RDONLY);
	reader.one = record_bytes(&r.shape);
	assert_int_equal(pthread_create(&reader.thread, NULL, read_again_and_again, &reader), 0);
	for (uint64_t i = 0; i < 40000; i++)
		feed_and_write(&r, i, 1);
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	pthread_join(reader.thread, NULL);
	assert_int_equal(reader.too_much, 0);
	assert_int_equal(reader.backwards, 0);
	assert_true(reader.news > 10);
	close(reader.fd);
	close_rig(&r);
}

/* The lower eight digits are alike, change together at each step, and 10^8 is crossed both ways: no
 * reader ever sees a part of the old ones with a part of the new ones. */
static void test_no_torn_promise(void **state)
{
	static const uint64_t steps[] = {
		99999999, 100000000, 111111111, 100000000, 88888888, 99999999};
	struct reader reader = {0};
	char header[HEADER];
	uint64_t end;
	struct rig r;
	size_t at;

	(void)state;
	open_rig_of(&r, &dip_results_npy, shapes[0], 1, 16, -1);
	assert_int_equal(dip_npy_growing_header(header, HEADER, DESCR, &at), 0);
	assert_int_equal(dip_write_at(r.fd, header, HEADER, 0), 0);
	reader.fd = open(r.path, O_RDONLY);
	assert_int_equal(pthread_create(&reader.thread, NULL, read_again_and_again, &reader), 0);
	end = rte_rdtsc() + 5 * rte_get_tsc_hz();
	for (unsigned int i = 0; rte_rdtsc() < end && dip_read(&reader.news) < 100000; i++)
		assert_int_equal(dip_npy_grow(r.fd, at, steps[i % 6], steps[(i + 1) % 6]), 0);
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	pthread_join(reader.thread, NULL);
	assert_int_equal(reader.torn, 0);
	assert_true(reader.news > 100);
	close(reader.fd);
	close_rig(&r);
}

/* --- a file that fails --- */

/* The file may grow by so much more: whole records only, whichever byte the cut is at. */
static void test_short_write(void **state)
{
	static const uint64_t before[] = {7, 8}, after[] = {7, 8, 30};
	struct rlimit old, limit;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	for (size_t more = 0; more < 3 * record_bytes(&shapes[0]); more += 5) {
		struct rig r;
		char *log;

		open_rig_of(&r, &dip_results_npy, shapes[0], 1, 64, -1);
		eal_log_begin();
		feed_and_write(&r, 7, 2);
		limit = (struct rlimit){lseek(r.fd, 0, SEEK_END) + more, old.rlim_max};
		setrlimit(RLIMIT_FSIZE, &limit);
		feed_and_write(&r, 10, 3);
		file_is(&r, before, RTE_DIM(before));
		feed_and_write(&r, 20, 3);
		setrlimit(RLIMIT_FSIZE, &old);
		feed_and_write(&r, 30, 1);
		log = eal_log_end();
		file_is(&r, after, RTE_DIM(after));
		assert_int_equal(counted(r.errors, "results_io_errors"), 6);
		assert_int_equal(counted(r.frames, "results_frames"), 3);
		assert_int_equal(count_of(log, "\n"), 2);
		free(log);
		close_rig(&r);
	}
}

/* What a failed write left, and could not be cut at once, is cut before the next one. */
static void test_what_is_behind_the_end_is_cut(void **state)
{
	static const uint64_t order[] = {1, 2, 3};
	struct rig r;

	(void)state;
	open_rig_of(&r, &dip_results_npy, shapes[0], 1, 64, -1);
	feed_and_write(&r, 1, 2);
	assert_int_equal(dip_write_at(r.fd,
				 "half a record and more, longer than the next one: "
				 "so that some of it would remain",
				 80, lseek(r.fd, 0, SEEK_END)),
		0);
	feed_and_write(&r, 3, 1);
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(r.errors, "results_io_errors"), 0);
	close_rig(&r);
}

/* Removed, or emptied, behind our back: a file that begins anew, with a header. */
static void test_removed_or_cut_file(void **state)
{
	static const uint64_t order[] = {5, 6, 7};

	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		uint64_t before = dip_metric_value("results_removed");
		struct rig r;
		char *log;

		open_rig_of(&r, &dip_results_npy, shapes[1], 1, 64, -1);
		eal_log_begin();
		feed_and_write(&r, 1, 2);
		assert_int_equal(cut ? truncate(r.path, 100) : unlink(r.path), 0);
		feed_and_write(&r, 5, 2);
		feed_and_write(&r, 7, 1);
		log = eal_log_end();
		file_is(&r, order, RTE_DIM(order));
		assert_int_equal(counted(before, "results_removed"), 1);
		assert_int_equal(counted(r.frames, "results_frames"), 5);
		assert_int_equal(count_of(log, "\n"), 1);
		assert_int_equal(count_of(log, cut ? "cut while" : "removed while"), 1);
		free(log);
		close_rig(&r);
	}
}

/* Its folder is gone, then comes back. */
static void test_removed_folder(void **state)
{
	static const uint64_t order[] = {5};
	char folder[] = "/tmp/dip_results_XXXXXX";
	struct rig r;
	char *log;

	(void)state;
	assert_non_null(mkdtemp(folder));
	open_rig_of(&r, &dip_results_npy, shapes[0], 1, 64, -1);
	/* The writer keeps the pointer to the name. */
	unlink(r.path);
	snprintf(r.path, sizeof(r.path), "%s/results", folder);
	rmdir(folder);
	eal_log_begin();
	feed_and_write(&r, 1, 2);
	feed_and_write(&r, 3, 2);
	assert_int_equal(counted(r.errors, "results_io_errors"), 4);
	assert_int_equal(mkdir(folder, 0755), 0);
	feed_and_write(&r, 5, 1);
	log = eal_log_end();
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(r.errors, "results_io_errors"), 4);
	assert_int_equal(count_of(log, "\n"), 3); /* removed, no such file, written again */
	free(log);
	close_rig(&r);
	rmdir(folder);
}

/* --- making the files --- */

static void test_file_that_is_there(void **state)
{
	const struct dip_results_format *const formats[] = {&dip_results_text, &dip_results_npy};
	char path[64];
	size_t bytes;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(formats); i++) {
		int fd;

		unused_name(path);
		close(open(path, O_CREAT | O_WRONLY, 0644));
		fd = dip_results_file_create(path, formats[i], &shapes[0]);
		assert_int_equal(fd, -EEXIST);
		free(read_file(path, &bytes));
		assert_int_equal(bytes, 0);
		unlink(path);
		assert_int_equal(
			dip_results_file_create("/tmp/no/such/folder", formats[i], &shapes[0]),
			-ENOENT);
	}
	assert_ptr_equal(dip_results_format_find("npy"), &dip_results_npy);
	assert_ptr_equal(dip_results_format_find("text"), &dip_results_text);
	assert_null(dip_results_format_find("none"));
	assert_string_equal(DIP_RESULTS_CHOICES, "text|npy|");
}

/* No space for the header: no file. */
static void test_no_space_for_the_header(void **state)
{
	struct rlimit old, limit;
	char path[64];

	(void)state;
	unused_name(path);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){HEADER - 1, old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(dip_results_file_create(path, &dip_results_npy, &shapes[0]), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_table(void **state)
{
	static const char want[] = "{'descr': [('index', '<u4'), ('row', '<u2'), ";
	struct dip_site site[2] = {
		{.row = 1, .col = 2, .h = 3, .w = 4, .name = "", .threshold = 5},
		{.row = 258,
			.col = 0,
			.h = 1,
			.w = 1,
			.name = "Ba 7",
			.threshold = -6,
			.lambda_empty = 0.5,
			.lambda_occ = 10,
			.false_positive = 0.25,
			.false_negative = 0.125},
	};
	struct dip_sites sites = {.count = 2, .site = site};
	int64_t limit[] = {50, -60};
	struct dip_detector det = {.sites = 2, .scale = 10, .limit = limit};
	uint8_t row[68] = {1, 0, 0, 0, 2, 1, 0, 0, 1, 0, 1, 0};
	char path[64], *file;
	size_t bytes;

	(void)state;
	unused_name(path);
	assert_int_equal(dip_results_table_create(path, &sites, &det), 0);
	assert_int_equal(dip_results_table_create(path, &sites, &det), -EEXIST);
	file = read_file(path, &bytes);
	assert_int_equal(bytes, HEADER + 2 * sizeof(row));
	assert_int_equal(promise_of(file), 2);
	assert_memory_equal(file + 10, want, strlen(want));
	put(row + 12, -6, 8);
	put(row + 20, -60, 8);
	put(row + 28, 10, 4);
	memcpy(row + 32, &site[1].lambda_empty, 8);
	memcpy(row + 40, &site[1].lambda_occ, 8);
	memcpy(row + 48, &site[1].false_positive, 8);
	memcpy(row + 56, &site[1].false_negative, 8);
	memcpy(row + 64, "Ba 7", 4);
	assert_memory_equal(file + HEADER + sizeof(row), row, sizeof(row));
	free(file);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_bits_of_any_number_of_sites),
		cmocka_unit_test(test_growing_header),
		cmocka_unit_test(test_readers_while_it_grows),
		cmocka_unit_test(test_no_torn_promise),
		cmocka_unit_test(test_short_write),
		cmocka_unit_test(test_what_is_behind_the_end_is_cut),
		cmocka_unit_test(test_removed_or_cut_file),
		cmocka_unit_test(test_removed_folder),
		cmocka_unit_test(test_file_that_is_there),
		cmocka_unit_test(test_no_space_for_the_header),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, set_limits, eal_stop);
}
