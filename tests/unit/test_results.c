/* SPDX-License-Identifier: BSD-3-Clause */
#include "results_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <rte_cycles.h>

/* text: sites + 100 bytes. */
static size_t reference(char *text, uint64_t seq, unsigned int sites)
{
	size_t n = snprintf(text, 100, "[frame %" PRIu64 "] rois=%u\n", seq, sites);

	for (unsigned int i = 0; i < sites; i++)
		text[n++] = bit_of(seq, i) ? '1' : '0';
	text[n++] = '\n';
	return n;
}

/* --- the text of one frame --- */

static void test_text(void **state)
{
	static const unsigned int counts[] = {1, 7, 8, 9, 63, 64, 65, 400, 10000};
	static const uint64_t seqs[] = {
		0, 9, 10, 99, 100, 12345, UINT32_MAX, 10000000000000000000ULL, UINT64_MAX};

	(void)state;
	for (size_t c = 0; c < RTE_DIM(counts); c++) {
		unsigned int sites = counts[c];
		struct dip_result *result = malloc(sizeof(*result) + dip_occupancy_bytes(sites));
		struct dip_results_shape shape = {.sites = sites};
		uint8_t *text =
			malloc(dip_results_text.most(&shape)); /* the sanitizer guards its end */
		char *want = malloc(sites + 100);

		assert_true(result != NULL && text != NULL && want != NULL);
		for (size_t s = 0; s < RTE_DIM(seqs); s++) {
			size_t bytes = reference(want, seqs[s], sites);

			result->seq = seqs[s];
			set_bits(result, seqs[s], sites);
			assert_int_equal(dip_results_text.put(&shape, result, text), bytes);
			assert_true(bytes >= dip_results_text.least(&shape));
			assert_memory_equal(text, want, bytes);
		}
		free(want);
		free(text);
		free(result);
	}
}

/* --- the window --- */

static const struct dip_results_shape plain = {.sites = SITES};

static void test_window(void **state)
{
	struct dip_window *w = window_of(5, &plain);

	(void)state;
	assert_int_equal(w->size, 8);
	assert_int_equal((uintptr_t)w->slots % 64, 0);
	assert_int_equal(w->slot_bytes % 64, 0);
	assert_true(w->slot_bytes >= sizeof(struct dip_result) + dip_occupancy_bytes(SITES));
	for (uint64_t round = 0; round < 5; round++) {
		uint64_t first = w->issued;

		for (unsigned int i = 0; i < 8; i++) {
			assert_true(dip_window_has_room(w));
			dip_window_issue(w);
		}
		assert_int_equal(w->issued, first + 8);
		assert_false(dip_window_has_room(w));
		/* Published from the last to the first: nothing to see until the first is there. */
		for (unsigned int i = 8; i-- > 0;) {
			assert_null(dip_window_peek(w, first));
			dip_window_slot(w, first + i)->seq = first + i;
			dip_window_publish(dip_window_slot(w, first + i), first + i);
		}
		for (unsigned int i = 0; i < 8; i++) {
			assert_int_equal(dip_window_peek(w, first + i)->seq, first + i);
			dip_window_consume(w, 1);
			assert_true(dip_window_has_room(w));
		}
		/* What the slots hold from the round before is not taken for news. */
		assert_null(dip_window_peek(w, w->consumed));
	}
	dip_window_free(w);
	dip_window_free(NULL);
}

static void test_window_too_large(void **state)
{
	struct dip_window *w = NULL;
	struct dip_error err = {""};

	(void)state;
	assert_int_equal(dip_window_create(1ULL << 36, 512, 0, &w, &err), -ENOMEM);
	assert_null(w);
	assert_non_null(strstr(err.text, "results_window"));
	assert_int_equal(dip_window_create(1ULL << 36, 512, 0, &w, NULL), -ENOMEM);
}

/* A window of no chosen size: its slots as many as fit into 64 MiB, within bounds. */
static void test_window_sizes_itself(void **state)
{
	struct dip_error err = {""};
	struct dip_window *w;

	(void)state;
	assert_int_equal(dip_window_slots(1, 0), 16384);
	assert_int_equal(dip_window_slots(400, 400 * 4), 16384);
	assert_int_equal(dip_window_slots(10000, 10000 * 4), 1024); /* of 41,344 bytes */
	assert_int_equal(dip_window_slots(100000, 100000 * 8), 64); /* of 812,544 */
	assert_true(dip_window_bytes(0, 100000, 100000 * 8) <= DIP_WINDOW_BYTES);
	assert_int_equal(dip_window_bytes(0, 10000, 0), dip_window_bytes(16384, 10000, 0));
	assert_int_equal(dip_window_create(0, 10000, 10000 * 4, &w, &err), 0);
	assert_int_equal(w->size, 1024);
	dip_window_free(w);
}

/* The file is exactly the text of these frames. */
static void file_is(const struct rig *r, const uint64_t *seqs, size_t n)
{
	char want[SITES + 100];
	size_t bytes, at = 0;
	char *text = read_file(r->path, &bytes);

	for (size_t i = 0; i < n; i++) {
		size_t more = reference(want, seqs[i], SITES);

		assert_true(at + more <= bytes);
		assert_memory_equal(text + at, want, more);
		at += more;
	}
	assert_int_equal(at, bytes);
	free(text);
}

static void test_order_of_two_lanes(void **state)
{
	static const uint64_t order[] = {3, 4, 5, 7, 9};
	struct rig r;

	(void)state;
	open_rig(&r, 2, 16, -1);
	assert_int_equal(poll_rig(&r), 0);
	result(&r, 0, 4);
	assert_int_equal(poll_rig(&r), 0); /* lane 1 may still bring anything */
	r.window[1]->seq_floor = 4;
	assert_int_equal(poll_rig(&r), 0); /* even a 4: floors are inclusive */
	result(&r, 1, 3);                  /* (taken from the source before its floor rose) */
	assert_int_equal(poll_rig(&r), 1);
	r.window[1]->seq_floor = 5;
	assert_int_equal(poll_rig(&r), 1);
	/* A ticket under way holds everything back, whatever the floor says. */
	dip_window_issue(r.window[1]);
	r.window[1]->seq_floor = 100;
	result(&r, 0, 7);
	assert_int_equal(poll_rig(&r), 0);
	assert_false(dip_results_idle(r.results));
	publish(r.window[1], 1, 5, false);
	assert_int_equal(poll_rig(&r), 2);
	result(&r, 1, 9);
	assert_int_equal(poll_rig(&r), 0); /* lane 0 has floor 0 */
	r.window[0]->seq_floor = UINT64_MAX;
	assert_int_equal(poll_rig(&r), 1);
	assert_true(dip_results_idle(r.results));
	assert_int_equal(counted(r.frames, "results_frames"), 0); /* not written yet */
	r.poller.stop(r.poller.arg);
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(r.frames, "results_frames"), RTE_DIM(order));
	close_rig(&r);
}

static void test_holes(void **state)
{
	static const uint64_t order[] = {1, 6};
	struct rig r;

	(void)state;
	open_rig(&r, 2, 16, -1);
	dip_window_issue(r.window[0]);
	publish(r.window[0], 0, 0, true);
	assert_int_equal(poll_rig(&r), 1); /* a hole has no place in the order: it goes at once */
	result(&r, 0, 6);
	dip_window_issue(r.window[1]);
	dip_window_issue(r.window[1]);
	publish(r.window[1], 1, 0, true);
	assert_int_equal(poll_rig(&r), 0);
	publish(r.window[1], 0, 1, false);
	assert_int_equal(poll_rig(&r), 2);
	r.window[1]->seq_floor = 7;
	assert_int_equal(poll_rig(&r), 1);
	r.poller.stop(r.poller.arg);
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(r.holes, "results_holes"), 2);
	assert_int_equal(counted(r.frames, "results_frames"), 2);
	close_rig(&r);
}

/* Text does not wait for more text for ever. */
static void test_flush_in_time(void **state)
{
	static const uint64_t order[] = {1, 2};
	struct rig r;

	(void)state;
	open_rig(&r, 1, 16, -1);
	result(&r, 0, 1);
	result(&r, 0, 2);
	r.window[0]->seq_floor = 3;
	assert_int_equal(poll_rig(&r), 2);
	rte_delay_us_sleep(150000);
	assert_int_equal(poll_rig(&r), 1); /* nothing new, but the write was work */
	assert_int_equal(poll_rig(&r), 0);
	assert_int_equal(counted(r.frames, "results_frames"), 2);
	file_is(&r, order, RTE_DIM(order));
	close_rig(&r);
}

/* No file: counted as done at once. */
static void test_no_file(void **state)
{
	struct dip_window *w = window_of(16, &plain);
	struct dip_results_conf conf = {.windows = &w,
		.lanes = 1,
		.shape = {.sites = SITES},
		.fd = -1,
		.interval_print = 1};
	uint64_t before = dip_metric_value("results_frames");
	struct dip_results *results;
	struct dip_poller poller;

	(void)state;
	assert_int_equal(dip_results_create(&conf, &results), 0);
	poller = dip_results_poller(results);
	dip_window_issue(w);
	publish(w, 0, 0, false);
	w->seq_floor = 1;
	assert_int_equal(poller.poll(poller.arg), 1);
	poller.stop(poller.arg);
	assert_int_equal(counted(before, "results_frames"), 1);
	dip_results_free(results);
	dip_results_free(NULL);
	dip_window_free(w);
}

/* Every interval_print-th result on stdout, the first one first. */
static void test_stdout(void **state)
{
	struct dip_window *w = window_of(128, &plain);
	struct dip_results_conf conf = {.windows = &w,
		.lanes = 1,
		.shape = {.sites = SITES},
		.fd = -1,
		.print_stdout = true,
		.interval_print = 37};
	char path[] = "/tmp/dip_stdout_XXXXXX", want[3 * (SITES + 100)], *text;
	int file = mkstemp(path), saved = dup(STDOUT_FILENO);
	struct dip_results *results;
	struct dip_poller poller;
	size_t bytes, n = 0;

	(void)state;
	assert_int_equal(dip_results_create(&conf, &results), 0);
	poller = dip_results_poller(results);
	for (uint64_t i = 0; i < 100; i++) {
		dip_window_issue(w);
		publish(w, i, 1000 + i, false);
		n += i % 37 == 0 ? reference(want + n, 1000 + i, SITES) : 0;
	}
	w->seq_floor = UINT64_MAX;
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	poller.poll(poller.arg);
	poller.stop(poller.arg);
	dup2(saved, STDOUT_FILENO);
	text = read_file(path, &bytes);
	unlink(path);
	assert_int_equal(bytes, n);
	assert_memory_equal(text, want, n);
	free(text);
	close(file);
	close(saved);
	dip_results_free(results);
	dip_window_free(w);
}

/* --- lanes fed by threads --- */

#define SEQS 30000

struct lane {
	pthread_t thread;
	struct rig *r;
	unsigned int index, seed;
	uint64_t *source; /* the next seq, shared, atomic */
	uint8_t *wanted;  /* of each seq: it was queued, as a frame */
	uint64_t holes;
	bool *finished;
};

/* A frame queued whose result is still to come: processors end in any order. */
struct pending {
	uint64_t ticket, seq;
	bool hole;
};

static void publish_some(
	struct lane *l, struct pending *pending, unsigned int *n, unsigned int keep)
{
	while (*n > keep) {
		unsigned int i = rand_r(&l->seed) % *n;

		publish(l->r->window[l->index], pending[i].ticket, pending[i].seq, pending[i].hole);
		pending[i] = pending[--*n];
		if (rand_r(&l->seed) % 512 == 0)
			rte_delay_us_sleep(rand_r(&l->seed) % 300);
	}
}

static void *feed(void *arg)
{
	struct lane *l = arg;
	struct dip_window *w = l->r->window[l->index];
	struct pending pending[64];
	unsigned int n = 0;
	cpu_set_t any;

	memset(&any, 0xff, sizeof(any)); /* not only that of the main lcore, which started it */
	pthread_setaffinity_np(pthread_self(), sizeof(any), &any);
	for (;;) {
		unsigned int burst = 1 + rand_r(&l->seed) % 16;
		uint64_t first = __atomic_load_n(l->source, __ATOMIC_RELAXED);

		__atomic_store_n(&w->seq_floor, first, __ATOMIC_RELEASE);
		if (first >= SEQS)
			break;
		first = __atomic_fetch_add(l->source, burst, __ATOMIC_RELAXED);
		for (uint64_t seq = first; seq < first + burst && seq < SEQS; seq++) {
			bool hole = rand_r(&l->seed) % 8 == 0;

			if (rand_r(&l->seed) % 8 == 0) /* dropped before it got a ticket */
				continue;
			while (!dip_window_has_room(w)) {
				publish_some(l, pending, &n, 0);
				sched_yield();
			}
			l->wanted[seq] = !hole;
			l->holes += hole;
			pending[n++] = (struct pending){w->issued, seq, hole};
			dip_window_issue(w);
			publish_some(l, pending, &n, rand_r(&l->seed) % 32);
		}
	}
	publish_some(l, pending, &n, 0);
	__atomic_store_n(&w->seq_floor, UINT64_MAX, __ATOMIC_RELEASE);
	__atomic_store_n(l->finished, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool all_finished(const bool *finished, unsigned int lanes)
{
	for (unsigned int i = 0; i < lanes; i++)
		if (!__atomic_load_n(&finished[i], __ATOMIC_ACQUIRE))
			return false;
	return true;
}

static void check_lanes(unsigned int lanes)
{
	static uint8_t wanted[SEQS];
	static uint64_t seqs[SEQS];
	struct lane lane[LANES];
	bool finished[LANES] = {false}, last;
	uint64_t source = 0, holes = 0, n = 0;
	struct rig r;

	memset(wanted, 0, sizeof(wanted));
	open_rig(&r, lanes, 64, -1);
	for (unsigned int i = 0; i < lanes; i++) {
		lane[i] = (struct lane){.r = &r,
			.index = i,
			.seed = lanes * 100 + i,
			.source = &source,
			.wanted = wanted,
			.finished = &finished[i]};
		assert_int_equal(pthread_create(&lane[i].thread, NULL, feed, &lane[i]), 0);
	}
	do {
		last = all_finished(finished, lanes);
		if (poll_rig(&r) == 0)
			sched_yield();
	} while (!last || !dip_results_idle(r.results));
	r.poller.stop(r.poller.arg);
	for (unsigned int i = 0; i < lanes; i++) {
		pthread_join(lane[i].thread, NULL);
		holes += lane[i].holes;
	}
	for (uint64_t seq = 0; seq < SEQS; seq++)
		if (wanted[seq])
			seqs[n++] = seq;
	assert_true(n > SEQS / 2);
	assert_int_equal(counted(r.frames, "results_frames"), n);
	assert_int_equal(counted(r.holes, "results_holes"), holes);
	file_is(&r, seqs, n);
	close_rig(&r);
}

static void test_lanes(void **state)
{
	(void)state;
	for (unsigned int lanes = 1; lanes <= LANES; lanes++)
		check_lanes(lanes);
}

/* --- a file that fails --- */

/* One line when it fails, one when it works again, whatever the number of attempts. */
static void test_full_device(void **state)
{
	static const uint64_t order[] = {50, 51, 52};
	char *log;
	struct rig r;
	int fd;

	(void)state;
	open_rig(&r, 1, 64, open("/dev/full", O_WRONLY));
	eal_log_begin();
	feed_and_write(&r, 0, 10);
	feed_and_write(&r, 10, 10);
	feed_and_write(&r, 20, 1);
	assert_int_equal(counted(r.errors, "results_io_errors"), 21);
	assert_int_equal(counted(r.frames, "results_frames"), 0);
	assert_int_equal(counted(r.bytes, "results_bytes"), 0);
	fd = open(r.path, O_WRONLY);
	dup2(fd, r.fd);
	feed_and_write(&r, 50, 2);
	feed_and_write(&r, 52, 1);
	log = eal_log_end();
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(r.errors, "results_io_errors"), 21);
	assert_int_equal(counted(r.frames, "results_frames"), 3);
	assert_int_equal(counted(r.bytes, "results_bytes"), lseek(r.fd, 0, SEEK_END));
	assert_int_equal(count_of(log, "\n"), 2);
	assert_int_equal(count_of(log, r.path), 2);
	assert_int_equal(count_of(log, "No space left on device"), 1);
	assert_int_equal(count_of(log, "written again"), 1);
	free(log);
	/* The next episode has its own lines. */
	eal_log_begin();
	dup2(fd = open("/dev/full", O_WRONLY), r.fd);
	feed_and_write(&r, 60, 5);
	log = eal_log_end();
	assert_int_equal(count_of(log, "No space left"), 1);
	assert_int_equal(counted(r.errors, "results_io_errors"), 26);
	free(log);
	close(fd);
	close_rig(&r);
}

/* The file may grow by so much more: a write is cut short in the middle of a line, what follows
 * fails. No half line may stay, at whichever byte the cut is. */
static void test_short_write(void **state)
{
	static const uint64_t before[] = {7, 8}, after[] = {7, 8, 30};
	struct rlimit old, limit;
	char *log, text[SITES + 100];
	size_t start, one = reference(text, 10, SITES);

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	for (size_t more = 0; more < 3 * one; more += 7) {
		struct rig r;

		open_rig(&r, 1, 64, -1);
		eal_log_begin();
		feed_and_write(&r, 7, 2);
		start = lseek(r.fd, 0, SEEK_END);
		limit = (struct rlimit){start + more, old.rlim_max};
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

/* A results file removed behind our back: reported and counted, and a new one goes on. */
static void test_removed_file(void **state)
{
	static const uint64_t order[] = {5, 6, 7};
	uint64_t before = dip_metric_value("results_removed");
	struct rig r;
	char *log;

	(void)state;
	open_rig(&r, 1, 64, -1);
	eal_log_begin();
	feed_and_write(&r, 1, 2);
	unlink(r.path);
	feed_and_write(&r, 5, 2);
	feed_and_write(&r, 7, 1);
	log = eal_log_end();
	file_is(&r, order, RTE_DIM(order));
	assert_int_equal(counted(before, "results_removed"), 1);
	assert_int_equal(counted(r.frames, "results_frames"), 5);
	assert_int_equal(counted(r.errors, "results_io_errors"), 0);
	assert_int_equal(count_of(log, "\n"), 1);
	assert_int_equal(count_of(log, r.path), 1);
	free(log);
	close_rig(&r);
}

/* More text than the buffer holds goes out in between, and arrives whole. */
static void test_much_text(void **state)
{
	static uint64_t seqs[20000];
	struct rig r;

	(void)state;
	open_rig(&r, 1, 64, -1);
	for (size_t i = 0; i < RTE_DIM(seqs); i++) {
		seqs[i] = i * i;
		result(&r, 0, seqs[i]);
		r.window[0]->seq_floor = seqs[i] + 1;
		poll_rig(&r);
	}
	assert_true(counted(r.frames, "results_frames") > 0);
	r.poller.stop(r.poller.arg);
	assert_int_equal(counted(r.frames, "results_frames"), RTE_DIM(seqs));
	file_is(&r, seqs, RTE_DIM(seqs));
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_window_too_large),
		cmocka_unit_test(test_window_sizes_itself),
		cmocka_unit_test(test_order_of_two_lanes),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_flush_in_time),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_stdout),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_full_device),
		cmocka_unit_test(test_short_write),
		cmocka_unit_test(test_removed_file),
		cmocka_unit_test(test_much_text),
	};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
