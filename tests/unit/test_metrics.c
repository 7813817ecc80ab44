/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "metrics/histogram.h"
#include "metrics/metrics.h"
#include "metrics/worst.h"

/* --- counters --- */

static struct apples {
	uint64_t apples_red;
	uint64_t apples_green;
} __attribute__((aligned(64))) apples[3];

static const struct dip_metric apple_rows[] = {
	DIP_METRIC(struct apples, apples_red, "apples", "red ones"),
	DIP_METRIC(struct apples, apples_green, "apples", "green ones"),
};

DIP_METRICS_REGISTER(apple_metrics, apple_rows, apples)

static struct pears {
	uint64_t unused[5], pears;
} pears[1];

static const struct dip_metric pear_rows[] = {DIP_METRIC(struct pears, pears, "pears", "pears")};

DIP_METRICS_REGISTER(pear_metrics, pear_rows, pears)

/* Counted by another part as well. */
static struct windfall {
	uint64_t apples_red;
} windfall[1];

static const struct dip_metric windfall_rows[] = {
	DIP_METRIC(struct windfall, apples_red, "apples", "red ones")};

DIP_METRICS_REGISTER(windfall_metrics, windfall_rows, windfall)

static void test_sums(void **state)
{
	(void)state;
	assert_int_equal(dip_metric_value("apples_red"), 0);
	dip_count(&apples[0].apples_red, 1);
	dip_count(&apples[1].apples_red, 20);
	dip_count(&apples[2].apples_red, 300);
	dip_count(&apples[2].apples_red, 4000);
	dip_count(&apples[1].apples_green, 1ULL << 40);
	dip_count(&pears[0].pears, 7);
	assert_int_equal(dip_metric_value("apples_red"), 4321);
	assert_int_equal(dip_metric_value("apples_green"), 1ULL << 40);
	assert_int_equal(dip_metric_value("pears"), 7);
}

/* An instance counts for the source that it is given to, and for all. */
static void test_owners(void **state)
{
	uint64_t all = dip_metric_value("apples_red"), first = apples[0].apples_red;

	(void)state;
	assert_int_equal(dip_metric_of(0, "apples_red"), all);
	dip_metrics_own(&apple_metrics, 0, 3);
	assert_int_equal(dip_metric_of(3, "apples_red"), first);
	assert_int_equal(dip_metric_of(0, "apples_red"), all - first);
	assert_int_equal(dip_metric_of(DIP_SOURCES - 1, "apples_red"), 0);
	assert_int_equal(dip_metric_of(3, "pears"), 0);
	dip_count(&apples[0].apples_red, 5);
	assert_int_equal(dip_metric_of(3, "apples_red"), first + 5);
	assert_int_equal(dip_metric_value("apples_red"), all + 5);
	dip_metrics_own(&apple_metrics, 0, 0);
	assert_int_equal(dip_metric_of(0, "apples_red"), all + 5);
}

struct seen {
	const char *name[256];
	uint64_t value[256];
	unsigned int n;
};

static void note(const struct dip_metric *metric, uint64_t value, void *arg)
{
	struct seen *seen = arg;

	assert_true(seen->n < 256);
	assert_non_null(metric->unit);
	assert_non_null(metric->help);
	seen->name[seen->n] = metric->name;
	seen->value[seen->n++] = value;
}

/* Rows of the same name are one metric: the sum, told once. */
static void test_several_parts(void **state)
{
	uint64_t before = dip_metric_value("apples_red");

	(void)state;
	dip_count(&windfall[0].apples_red, 60000);
	assert_int_equal(dip_metric_value("apples_red"), before + 60000);
	dip_metrics_own(&windfall_metrics, 0, 2);
	assert_int_equal(dip_metric_of(0, "apples_red"), before);
	assert_int_equal(dip_metric_of(2, "apples_red"), 60000);
	dip_metrics_own(&windfall_metrics, 0, 0);
}

/* Rows in their order, blocks in the order of registration, each once. */
static void test_foreach(void **state)
{
	static const char *const names[] = {"apples_red", "apples_green", "pears"};
	struct seen seen = {.n = 0};
	unsigned int at = 0;

	(void)state;
	dip_metrics_foreach(DIP_ALL_SOURCES, note, &seen);
	assert_true(seen.n >= 3);
	while (at < seen.n && strcmp(seen.name[at], names[0]) != 0)
		at++;
	assert_true(at + 3 <= seen.n);
	for (unsigned int i = 0; i < 3; i++) {
		assert_string_equal(seen.name[at + i], names[i]);
		assert_int_equal(seen.value[at + i], dip_metric_value(names[i]));
	}
	for (unsigned int i = 0; i < seen.n; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(seen.name[i], seen.name[j]);
}

#define COUNTS 2000000

static void *count_up(void *arg)
{
	for (unsigned int i = 0; i < COUNTS; i++)
		dip_count(&((struct apples *)arg)->apples_green, 1);
	return NULL;
}

static void test_read_while_written(void **state)
{
	uint64_t before = dip_metric_value("apples_green"), last = before, now;
	pthread_t writer[3];

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, count_up, &apples[i]), 0);
	do {
		now = dip_metric_value("apples_green");
		assert_true(now >= last && now <= before + 3 * COUNTS);
		last = now;
	} while (now < before + COUNTS);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(writer[i], NULL);
	assert_int_equal(dip_metric_value("apples_green"), before + 3 * COUNTS);
}

/* --- histograms --- */

#define LIMIT (1ULL << 40)

/* The bound that a percentile reports for a value: with a larger maximum beside it. */
static uint64_t reported(uint64_t value)
{
	static struct dip_histogram h;
	struct dip_histogram_summary s;

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 3; i++)
		dip_histogram_record(&h, value);
	dip_histogram_record(&h, UINT64_MAX);
	dip_histogram_summarise(&h, NULL, 1, &s);
	assert_int_equal(s.count, 4);
	assert_int_equal(s.max, UINT64_MAX);
	return s.p50;
}

static void check_value(uint64_t value)
{
	uint64_t bound = reported(value);

	assert_true(bound >= value);
	assert_true((bound - value) * 16 <= value);
	assert_int_equal(dip_histogram_index(bound), dip_histogram_index(value));
}

static void test_octaves(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < 16; value++) {
		assert_int_equal(dip_histogram_index(value), value);
		assert_int_equal(reported(value), value);
	}
	for (unsigned int octave = 4; octave <= 39; octave++) {
		uint64_t begin = 1ULL << octave;

		assert_int_equal(dip_histogram_index(begin), dip_histogram_index(begin - 1) + 1);
		assert_int_equal(reported(begin - 1), begin - 1);
		check_value(begin);
		check_value(begin + 1);
		check_value(begin + begin / 2 - 1);
		check_value(begin + begin / 2);
	}
}

/* Bounds ascend, belong to their own bucket, and the next value to the next. */
static void test_every_bucket(void **state)
{
	uint64_t value = 0;

	(void)state;
	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++) {
		uint64_t bound = reported(value);

		assert_int_equal(dip_histogram_index(value), i);
		assert_int_equal(dip_histogram_index(bound), i);
		check_value(value);
		check_value(bound);
		value = bound + 1;
	}
	assert_int_equal(value, LIMIT);
	/* Above is the last bucket. */
	assert_int_equal(dip_histogram_index(LIMIT), DIP_HISTOGRAM_BUCKETS - 1);
	assert_int_equal(dip_histogram_index(UINT64_MAX), DIP_HISTOGRAM_BUCKETS - 1);
}

static uint64_t random_ns(void)
{
	uint64_t bits = ((uint64_t)rand() << 31 | rand()) & (LIMIT - 1);

	return bits >> rand() % 38;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The value of that rank, rounded up to its bucket's bound, and no more. */
static void check_percentile(const uint64_t *sorted, unsigned int n, double share, uint64_t found)
{
	uint64_t exact = sorted[(unsigned int)(share * n)];

	assert_true(found >= exact);
	assert_true((found - exact) * 16 <= exact);
	assert_true(found <= sorted[n - 1]);
}

static void check_summary(uint64_t *values, unsigned int n, const struct dip_histogram_summary *s)
{
	uint64_t sum = 0;

	qsort(values, n, sizeof(*values), ascending);
	for (unsigned int i = 0; i < n; i++)
		sum += values[i];
	assert_int_equal(s->count, n);
	assert_int_equal(s->mean, sum / n);
	assert_int_equal(s->max, values[n - 1]);
	check_percentile(values, n, 0.5, s->p50);
	check_percentile(values, n, 0.9, s->p90);
	check_percentile(values, n, 0.99, s->p99);
	check_percentile(values, n, 0.999, s->p999);
	check_percentile(values, n, 0.9999, s->p9999);
}

#define PARTS 5
#define VALUES 100000

/* Each part by itself, and all merged. */
static void test_percentiles(void **state)
{
	static struct dip_histogram parts[PARTS];
	static uint64_t all[VALUES], some[VALUES];
	static const unsigned int sizes[] = {1, 2, 3, 10, 1000, 1001, VALUES};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct dip_histogram_summary s;
		unsigned int n = sizes[i];

		memset(parts, 0, sizeof(parts));
		for (unsigned int j = 0; j < n; j++) {
			all[j] = random_ns();
			dip_histogram_record(&parts[j % PARTS], all[j]);
		}
		for (unsigned int part = 0; part < PARTS && part < n; part++) {
			unsigned int m = 0;

			for (unsigned int j = part; j < n; j += PARTS)
				some[m++] = all[j];
			dip_histogram_summarise(&parts[part], NULL, 1, &s);
			check_summary(some, m, &s);
		}
		dip_histogram_summarise(parts, NULL, PARTS, &s);
		check_summary(all, n, &s);
	}
}

static void test_empty(void **state)
{
	static struct dip_histogram h[2];
	static const struct dip_histogram_summary nothing;
	struct dip_histogram_summary s;

	(void)state;
	memset(&s, 0xff, sizeof(s));
	dip_histogram_summarise(h, NULL, 2, &s);
	assert_memory_equal(&s, &nothing, sizeof(s));
	dip_histogram_record(&h[1], 0);
	dip_histogram_summarise(h, NULL, 2, &s);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.p50, 0);
	assert_int_equal(s.max, 0);
	memset(&s, 0xff, sizeof(s));
	dip_histogram_summarise(h, NULL, 0, &s);
	assert_memory_equal(&s, &nothing, sizeof(s));
}

/* --- windows of time --- */

static void begin_window(
	const struct dip_histogram *h, unsigned int n, struct dip_histogram *before)
{
	for (unsigned int i = 0; i < n; i++)
		dip_histogram_copy(&h[i], &before[i]);
	__atomic_store_n(&dip_peak_window, dip_peak_window + 1, __ATOMIC_RELEASE);
}

/* A source's window begins with everybody's, or by itself; that of what belongs to no source only with
 * everybody's. */
static void test_peaks_of_sources(void **state)
{
	struct dip_peak p[3] = {{.source = 1}, {.source = 2}, {.source = DIP_ALL_SOURCES}};

	(void)state;
	for (int i = 0; i < 3; i++)
		dip_peak_record(&p[i], 7);
	dip_peak_ahead[1]++;
	assert_int_equal(dip_peak_read(&p[0]), 0);
	assert_int_equal(dip_peak_read(&p[1]), 7);
	assert_int_equal(dip_peak_read(&p[2]), 7);
	dip_peak_record(&p[0], 3);
	assert_int_equal(dip_peak_read(&p[0]), 3);
	dip_peak_window++;
	for (int i = 0; i < 3; i++)
		assert_int_equal(dip_peak_read(&p[i]), 0);
	assert_int_equal(p[0].ever, 7);
}

static void test_peak(void **state)
{
	struct dip_peak p = {.window = dip_peak_window};

	(void)state;
	assert_int_equal(dip_peak_read(&p), 0);
	dip_peak_record(&p, 7);
	dip_peak_record(&p, 5);
	assert_int_equal(dip_peak_read(&p), 7);
	dip_peak_window++;
	assert_int_equal(dip_peak_read(&p), 0);
	dip_peak_record(&p, 0);
	assert_int_equal(dip_peak_read(&p), 0);
	dip_peak_record(&p, 3);
	dip_peak_record(&p, 2);
	assert_int_equal(dip_peak_read(&p), 3);
	assert_int_equal(p.ever, 7);
}

/* Each window has its own values and no others, whatever came before; all of them are still there. */
static void test_windows(void **state)
{
	static struct dip_histogram h[PARTS], before[PARTS];
	static uint64_t all[4 * 1000];
	struct dip_histogram_summary s;

	(void)state;
	memset(h, 0, sizeof(h));
	for (unsigned int window = 0; window < 4; window++) {
		uint64_t *mine = &all[window * 1000];

		begin_window(h, PARTS, before);
		dip_histogram_summarise(h, before, PARTS, &s);
		assert_int_equal(s.count, 0);
		assert_int_equal(s.max, 0);
		for (unsigned int i = 0; i < 1000; i++) {
			/* The first window has the largest values. */
			mine[i] = random_ns() >> 4 * window;
			dip_histogram_record(&h[i % PARTS], mine[i]);
		}
		dip_histogram_summarise(h, before, PARTS, &s);
		check_summary(mine, 1000, &s);
	}
	dip_histogram_summarise(h, NULL, PARTS, &s);
	check_summary(all, 4000, &s);
}

/* A value that is counted in a window although its writer had not seen the window begin: the maximum
 * is not below it. */
static void test_value_between_two_windows(void **state)
{
	static struct dip_histogram h, before;
	struct dip_histogram_summary s;

	(void)state;
	memset(&h, 0, sizeof(h));
	dip_histogram_copy(&h, &before);
	dip_histogram_record(&h, 1000000);
	dip_peak_window++;
	dip_histogram_summarise(&h, &before, 1, &s);
	assert_int_equal(s.count, 1);
	assert_true(s.max >= 1000000 && s.max <= 1000000 + 1000000 / 16);
	dip_histogram_record(&h, 10);
	dip_histogram_summarise(&h, &before, 1, &s);
	assert_true(s.max >= 1000000 && s.max <= 1000000 + 1000000 / 16);
	assert_int_equal(s.p50, s.max);
}

static struct dip_histogram moving;
static bool halt; /* atomic */

/* Ever new values, all over the buckets, with pauses as between frames: many times what a copy takes. */
static void *record_on_and_on(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; !__atomic_load_n(&halt, __ATOMIC_RELAXED); i++) {
		dip_histogram_record(&moving, i << i % 20);
		for (volatile int pause = 0; pause < 5000; pause++)
			;
	}
	return NULL;
}

static uint64_t weight_of(const struct dip_histogram *h)
{
	uint64_t values = 0;

	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++)
		values += h->bucket[i];
	return values;
}

/* A copy has exactly the first so many values, in the buckets, the sum and the maximum. */
static void test_copy_is_of_one_moment(void **state)
{
	static struct dip_histogram copy;
	uint64_t sum = 0, max = 0, n = 0, changes = 0, stuck = 0;
	time_t end = time(NULL) + 5;
	pthread_t writer;

	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, record_on_and_on, NULL), 0);
	while (changes < 20000 && time(NULL) < end) {
		bool changed;

		dip_histogram_copy(&moving, &copy);
		changed = copy.count != n;
		changes += changed;
		while (n < copy.count) {
			uint64_t value = (n + 1) << (n + 1) % 20;

			n++;
			sum += value;
			max = value > max ? value : max;
		}
		if (weight_of(&copy) != copy.count) { /* the writer has lost its CPU for long */
			stuck += changed;
			continue;
		}
		assert_int_equal(copy.sum, sum);
		assert_int_equal(copy.max.ever, max);
	}
	__atomic_store_n(&halt, true, __ATOMIC_RELAXED);
	pthread_join(writer, NULL);
	assert_true(changes > 100);
	/* On an idle machine it is none of 20,000, without repeated attempts nearly all. */
	assert_true(stuck <= changes / 2);
}

/* --- the slowest frames --- */

static bool wants_and_note(struct dip_worst *w, uint64_t seq, uint64_t result_ns)
{
	bool wanted = dip_worst_wants(w, result_ns);

	if (wanted)
		dip_worst_note(w, &(struct dip_worst_frame){seq, 2 * seq, 3 * seq, result_ns});
	return wanted;
}

static void test_worst(void **state)
{
	static struct dip_worst w[PARTS];
	struct dip_worst_frame out[DIP_WORST];
	uint64_t times[1000], order[1000];

	(void)state;
	memset(w, 0, sizeof(w));
	dip_peak_window++;
	assert_int_equal(dip_worst_read(w, PARTS, out), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int n;

		times[i] = order[i] = 1 + (uint64_t)rand() * 1000 + i; /* all different */
		wants_and_note(&w[rand() % PARTS], i, times[i]);
		qsort(order, i + 1, sizeof(order[0]), ascending);
		n = dip_worst_read(w, PARTS, out);
		assert_int_equal(n, i + 1 < DIP_WORST ? i + 1 : DIP_WORST);
		for (unsigned int j = 0; j < n; j++) {
			assert_int_equal(out[j].result_ns, order[i - j]);
			assert_int_equal(times[out[j].seq], out[j].result_ns);
			assert_int_equal(out[j].timestamp_ns, 2 * out[j].seq);
			assert_int_equal(out[j].dequeued_ns, 3 * out[j].seq);
		}
	}
	/* Faster than the kept ones: not wanted. A new window wants anything. */
	assert_false(wants_and_note(&w[0], 1, 0));
	dip_peak_window++;
	assert_int_equal(dip_worst_read(w, PARTS, out), 0);
	assert_true(wants_and_note(&w[3], 77, 5));
	assert_int_equal(dip_worst_read(w, PARTS, out), 1);
	assert_int_equal(out[0].seq, 77);
	assert_true(wants_and_note(&w[3], 78, 1));
	assert_int_equal(dip_worst_read(w, PARTS, out), 2);
	assert_int_equal(out[1].seq, 78);
}

static struct dip_worst busy[2];
static bool stop; /* atomic */

static void *note_on_and_on(void *arg)
{
	struct dip_worst *w = arg;

	/* Each one slower than any before: all are noted. */
	for (uint64_t i = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
		wants_and_note(w, i, 4 * i);
	return NULL;
}

/* What is read while it is written is whole frames, none twice. */
static void test_worst_while_written(void **state)
{
	struct dip_worst_frame out[DIP_WORST];
	unsigned int full = 0, changes = 0;
	time_t end = time(NULL) + 5;
	pthread_t writer[2];
	uint64_t last = 0;

	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writer[i], NULL, note_on_and_on, &busy[i]), 0);
	for (unsigned int reads = 0; changes < 100000 && time(NULL) < end; reads++) {
		unsigned int n = dip_worst_read(busy, 1 + reads % 2, out);

		for (unsigned int j = 0; j < n; j++) {
			assert_int_equal(out[j].timestamp_ns, 2 * out[j].seq);
			assert_int_equal(out[j].dequeued_ns, 3 * out[j].seq);
			assert_int_equal(out[j].result_ns, 4 * out[j].seq);
			if (reads % 2 == 0 && j > 0)
				assert_true(out[j].result_ns < out[j - 1].result_ns);
		}
		full += n == DIP_WORST;
		changes += n > 0 && out[0].seq != last;
		last = n > 0 ? out[0].seq : last;
		if (reads % 1000 == 999)
			__atomic_store_n(&dip_peak_window, dip_peak_window + 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	assert_true(full > 0);
	assert_true(changes > 10);
}

/* Counted one by one, in two histograms. */
static void test_steps(void **state)
{
	static struct dip_histogram h[2];
	struct dip_histogram_steps steps = {.count = 0};
	uint64_t expected[DIP_HISTOGRAM_STEPS] = {0}, sum = 0;

	(void)state;
	assert_int_equal(dip_histogram_step(0), 127);
	assert_int_equal(dip_histogram_step(1), 191);
	assert_int_equal(dip_histogram_step(DIP_HISTOGRAM_STEPS - 1), (1ULL << 37) - 1);
	memset(h, 0, sizeof(h));
	for (unsigned int n = 0; n < 20000; n++) {
		/* Every second one at a step, or next to it. */
		uint64_t ns = n % 2 == 0 ? random_ns()
					 : dip_histogram_step(n % DIP_HISTOGRAM_STEPS) + n % 3 - 1;

		dip_histogram_record(&h[n % 7 == 0], ns);
		sum += ns;
		for (unsigned int i = 0; i < DIP_HISTOGRAM_STEPS; i++)
			expected[i] += ns <= dip_histogram_step(i);
	}
	dip_histogram_add_steps(h, 2, &steps);
	assert_int_equal(steps.count, 20000);
	assert_int_equal(steps.sum, sum);
	for (unsigned int i = 0; i < DIP_HISTOGRAM_STEPS; i++)
		assert_int_equal(steps.at_most[i], expected[i]);
	assert_true(expected[0] > 0 && expected[DIP_HISTOGRAM_STEPS - 1] < 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_several_parts),
		cmocka_unit_test(test_foreach),
		cmocka_unit_test(test_read_while_written),
		cmocka_unit_test(test_octaves),
		cmocka_unit_test(test_every_bucket),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_peak),
		cmocka_unit_test(test_peaks_of_sources),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_value_between_two_windows),
		cmocka_unit_test(test_copy_is_of_one_moment),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_worst),
		cmocka_unit_test(test_worst_while_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
