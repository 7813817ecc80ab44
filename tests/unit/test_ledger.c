/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../app/ledger.h"
#include "dma/dma.h"
#include "metrics/metrics.h"

/* Counters under the names of the pipeline's own, which are not linked in here: only the device's
 * are real. */
static struct counters {
	uint64_t proc_offered, proc_frames, drops_proc_queue, drops_results_queue, proc_stale_desc,
		proc_discarded, proc_offer_discarded;
	uint64_t dma_arch_offered, arch_frames, drops_arch_queue, arch_io_errors, arch_stale_desc,
		arch_discarded, arch_offer_discarded;
	uint64_t results_offered, results_frames, results_io_errors;
} now[1];

#define ROW(name) DIP_METRIC(struct counters, name, "frames", "test")

static const struct dip_metric rows[] = {ROW(proc_offered), ROW(proc_frames), ROW(drops_proc_queue),
	ROW(drops_results_queue), ROW(proc_stale_desc), ROW(proc_discarded),
	ROW(proc_offer_discarded), ROW(dma_arch_offered), ROW(arch_frames), ROW(drops_arch_queue),
	ROW(arch_io_errors), ROW(arch_stale_desc), ROW(arch_discarded), ROW(arch_offer_discarded),
	ROW(results_offered), ROW(results_frames), ROW(results_io_errors)};

DIP_METRICS_REGISTER(test_metrics, rows, now)

#define DEVICE 3

static const struct ledger_source source = {.source = 0, .dev_id = DEVICE};

static struct ledger_account accounts[LEDGER_ACCOUNTS];
static const uint64_t none[LEDGER_ACCOUNTS], most[LEDGER_ACCOUNTS] = {10, 10, 10, 10};

static int setup(void **state)
{
	(void)state;
	memset(now, 0, sizeof(now));
	dip_dma_reset_counters(DEVICE);
	return 0;
}

static const struct ledger_account *read_standing(int which, const uint64_t *queued)
{
	memset(accounts, 0xff, sizeof(accounts));
	ledger_read(&source, queued, most, accounts);
	return &accounts[which];
}

static const struct ledger_account *read_running(int which)
{
	memset(accounts, 0xff, sizeof(accounts));
	ledger_read(&source, NULL, most, accounts);
	return &accounts[which];
}

static void test_nothing(void **state)
{
	static const char *const names[] = {"device", "proc", "arch", "results"};

	(void)state;
	read_standing(0, none);
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		assert_string_equal(accounts[i].name, names[i]);
		assert_int_equal(accounts[i].offered.value, 0);
		assert_int_equal(accounts[i].imbalance, 0);
	}
	assert_true(ledger_balanced(accounts));
}

static void test_device(void **state)
{
	const struct ledger_account *a;

	(void)state;
	*dip_dma_next_seq(DEVICE) = 1007;
	dip_dma_counters(DEVICE, 0)->frames = 600;
	dip_dma_counters(DEVICE, 63)->frames = 300;
	dip_dma_counters(DEVICE, 5)->missed = 100;
	dip_dma_counters(DEVICE, 9)->gaps = 7;
	a = read_standing(LEDGER_DEVICE, none);
	assert_string_equal(a->offered.name, "due");
	assert_int_equal(a->offered.value, 1007);
	assert_string_equal(a->done.name, "dma_frames");
	assert_int_equal(a->done.value, 900);
	assert_int_equal(a->losses, 2);
	assert_string_equal(a->lost[0].name, "dma_missed");
	assert_int_equal(a->lost[0].value, 100);
	assert_string_equal(a->lost[1].name, "dma_gaps");
	assert_int_equal(a->lost[1].value, 7);
	assert_int_equal(a->imbalance, 0);
	assert_true(ledger_balanced(accounts));
	dip_dma_counters(DEVICE, 5)->missed--;
	assert_int_equal(read_standing(LEDGER_DEVICE, none)->imbalance, 1);
	assert_false(ledger_balanced(accounts));
}

/* Each counter is a term of its account: one more or one less of any is an imbalance. */
static void check_terms(int which, uint64_t *offered, uint64_t *const *terms, unsigned int n)
{
	uint64_t queued[LEDGER_ACCOUNTS] = {0};

	setup(NULL);
	for (unsigned int i = 0; i < n; i++) {
		*terms[i] = 1ULL << (4 * i);
		*offered += *terms[i];
	}
	assert_int_equal(read_standing(which, queued)->imbalance, 0);
	assert_int_equal(accounts[which].offered.value, *offered);
	assert_int_equal(accounts[which].losses, n - 1);
	assert_true(ledger_balanced(accounts));
	for (unsigned int i = 0; i < n; i++) {
		++*terms[i];
		assert_int_equal(read_standing(which, queued)->imbalance, -1);
		*terms[i] -= 2;
		assert_int_equal(read_standing(which, queued)->imbalance, 1);
		assert_false(ledger_balanced(accounts));
		for (int other = 0; other < LEDGER_ACCOUNTS; other++)
			if (other != which)
				assert_int_equal(accounts[other].imbalance, 0);
		++*terms[i];
	}
	/* What is still queued belongs to the books. */
	*offered += 7;
	assert_int_equal(read_standing(which, queued)->imbalance, 7);
	queued[which] = 7;
	assert_int_equal(read_standing(which, queued)->imbalance, 0);
	assert_int_equal(accounts[which].in_flight, 7);
	queued[which] = 9;
	assert_int_equal(read_standing(which, queued)->imbalance, -2);
}

static void test_terms(void **state)
{
	static uint64_t *const proc[] = {&now->proc_frames, &now->drops_proc_queue,
		&now->drops_results_queue, &now->proc_stale_desc, &now->proc_discarded,
		&now->proc_offer_discarded};
	static uint64_t *const arch[] = {&now->arch_frames, &now->drops_arch_queue,
		&now->arch_io_errors, &now->arch_stale_desc, &now->arch_discarded,
		&now->arch_offer_discarded};
	static uint64_t *const results[] = {&now->results_frames, &now->results_io_errors};

	(void)state;
	check_terms(LEDGER_PROC, &now->proc_offered, proc, 6);
	check_terms(LEDGER_ARCH, &now->dma_arch_offered, arch, 6);
	check_terms(LEDGER_RESULTS, &now->results_offered, results, 2);
}

/* Running: what is missing is in flight, as far as there is room for it. */
static void test_running(void **state)
{
	(void)state;
	now->proc_offered = 1000;
	now->proc_frames = 995;
	assert_int_equal(read_running(LEDGER_PROC)->in_flight, 5);
	assert_int_equal(accounts[LEDGER_PROC].imbalance, 0);
	now->proc_frames = 990;
	assert_int_equal(read_running(LEDGER_PROC)->imbalance, 0);
	now->proc_frames = 989;
	assert_int_equal(read_running(LEDGER_PROC)->imbalance, 1);
	now->proc_frames = 1003;
	assert_int_equal(read_running(LEDGER_PROC)->imbalance, -3);
	assert_int_equal(accounts[LEDGER_PROC].in_flight, 0);
	assert_false(ledger_balanced(accounts));
}

static bool stop; /* atomic */

static void *count(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		dip_count(&now->proc_offered, 3);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		dip_count(&now->drops_proc_queue, 1);
		dip_count(&now->proc_frames, 2);
		usleep(1);
	}
	return NULL;
}

/* Books that are right at every moment are never called wrong. */
static void test_read_while_moving(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, count, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		read_running(LEDGER_PROC);
		if (!ledger_balanced(accounts))
			break;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(ledger_balanced(accounts));
	assert_int_equal(read_standing(LEDGER_PROC, none)->imbalance, 0);
	assert_true(now->proc_frames > 0);
}

/* One check a call; returns what is said. */
static char *watch(struct ledger_watch *w, bool *lasting)
{
	size_t bytes;
	char *text;
	FILE *f = open_memstream(&text, &bytes);

	read_running(0);
	*lasting = ledger_watch_note(w, accounts, f);
	fclose(f);
	return text;
}

static void check_watch(struct ledger_watch *w, bool lasting, const char *said)
{
	bool found;
	char *text = watch(w, &found);

	assert_int_equal(found, lasting);
	if (said == NULL)
		assert_string_equal(text, "");
	else
		assert_non_null(strstr(text, said));
	free(text);
}

/* What does not last is counted and not told; what does is told once, whatever comes after. */
static void test_watch(void **state)
{
	uint64_t checks = dip_metric_value("ledger_checks");
	uint64_t imbalances = dip_metric_value("ledger_imbalances");
	struct ledger_watch w = {0};

	(void)state;
	check_watch(&w, false, NULL);
	now->proc_frames = 7;
	for (int i = 0; i < LEDGER_LASTING - 1; i++)
		check_watch(&w, false, NULL);
	now->proc_offered = 7;
	check_watch(&w, false, NULL);
	now->proc_offered = 5;
	now->arch_frames = 1;
	for (int i = 0; i < LEDGER_LASTING - 1; i++)
		check_watch(&w, false, NULL);
	now->dma_arch_offered = 1;
	check_watch(&w, true, "the ledger of proc does not balance: -2 frames");
	now->arch_frames = 4;
	for (int i = 0; i < LEDGER_LASTING - 1; i++)
		check_watch(&w, true, NULL);
	check_watch(&w, true, "the ledger of arch does not balance: -3 frames");
	now->proc_frames = now->arch_frames = 0;
	for (int i = 0; i < 2 * LEDGER_LASTING; i++)
		check_watch(&w, true, NULL);
	now->proc_frames = 9;
	for (int i = 0; i < 2 * LEDGER_LASTING; i++)
		check_watch(&w, true, NULL);
	assert_int_equal(dip_metric_value("ledger_checks") - checks,
		2 + 3 * LEDGER_LASTING - 2 + 2 + 4 * LEDGER_LASTING - 1);
	assert_int_equal(dip_metric_value("ledger_imbalances") - imbalances,
		3 * LEDGER_LASTING - 1 + 2 * LEDGER_LASTING);
}

/* As many in flight as there may be, for ever. */
static void *count_when_full(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		dip_count(&now->proc_frames, 1);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		dip_count(&now->proc_offered, 1);
	}
	return NULL;
}

/* Frames that come while the counters are read are not held for too many. */
static void test_read_while_full(void **state)
{
	pthread_t thread;

	(void)state;
	stop = false;
	now->proc_offered = most[LEDGER_PROC];
	assert_int_equal(pthread_create(&thread, NULL, count_when_full, NULL), 0);
	for (int i = 0; i < 20000 || dip_read(&now->proc_frames) < 1000000; i++) {
		read_running(LEDGER_PROC);
		if (!ledger_balanced(accounts))
			break;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(ledger_balanced(accounts));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_device),
		TEST(test_terms),
		TEST(test_running),
		TEST(test_read_while_moving),
		TEST(test_read_while_full),
		TEST(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
