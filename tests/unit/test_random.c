/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random/random.h"

/* Every statistic is compared with what theory says at five standard deviations: with the seeds
 * fixed here the outcome is always the same. */
#define SIGMAS 5.0
#define N 400000
#define BINS 400

static void near(const char *what, double found, double expected, double sigma)
{
	if (!(fabs(found - expected) <= SIGMAS * sigma))
		fail_msg("%s: %.9g, expected %.9g +- %.2g", what, found, expected, sigma);
}

/* --- the generator --- */

/* The known answers of Philox4x32-10 that its authors publish with Random123. */
static void test_known_answers(void **state)
{
	static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
			      pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
	struct dip_random r;
	uint32_t words[4];

	(void)state;
	dip_random_words(0, 0, 0, 0, words);
	assert_memory_equal(words, zeros, sizeof(words));
	/* counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 */
	dip_random_init(&r, 0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3);
	r.block = 0x243f6a88;
	for (int i = 0; i < 4; i++)
		assert_int_equal(dip_random_word(&r), pi[i]);
}

/* What a stream gives depends on seed, frame, stream and place, and on nothing else. */
static void test_streams(void **state)
{
	uint32_t first[1000], words[4];
	struct dip_random r, other;

	(void)state;
	dip_random_init(&r, 7, 1ull << 40, 3);
	for (int i = 0; i < 1000; i++)
		first[i] = dip_random_word(&r);
	for (int block = 0; block < 250; block++) {
		dip_random_words(7, 1ull << 40, 3, block, words);
		assert_memory_equal(words, first + 4 * block, sizeof(words));
	}
	dip_random_init(&r, 7, 1ull << 40, 3);
	for (int turn = 0; turn < 4; turn++) {
		int same = 0;

		dip_random_init(&other, 7 + (turn == 0) + ((uint64_t)(turn == 1) << 32),
			(1ull << 40) + (turn == 2), 3 + (turn == 3));
		for (int i = 0; i < 1000; i++)
			same += dip_random_word(&other) == first[i];
		assert_true(same <= 1);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(dip_random_word(&r), first[i]);
}

static void test_uniform(void **state)
{
	double sum = 0, squares = 0, product = 0, last = 0.5;
	unsigned int bins[256] = {0};
	struct dip_random r;
	double chi = 0;

	(void)state;
	dip_random_init(&r, 1, 2, 3);
	for (int i = 0; i < N; i++) {
		double u = dip_random_uniform(&r);

		assert_true(u > 0 && u < 1);
		sum += u;
		squares += u * u;
		product += (u - 0.5) * (last - 0.5);
		last = u;
		bins[(int)(u * 256)]++;
	}
	near("mean", sum / N, 0.5, sqrt(1.0 / 12 / N));
	near("mean square", squares / N, 1.0 / 3, sqrt(4.0 / 45 / N));
	near("correlation", product / N, 0, 1.0 / 12 / sqrt(N));
	for (int i = 0; i < 256; i++)
		chi += pow(bins[i] - N / 256.0, 2) / (N / 256.0);
	near("chi square", chi, 255, sqrt(2 * 255));
	assert_true(dip_uniform_of(0) > 0 && dip_uniform_of(UINT32_MAX) < 1);
}

/* --- chi square --- */

/* counts[k], of n, against probability(k); bins of fewer than 10 are put together. */
static void check_counts(
	const char *what, const unsigned int *counts, const double *probability, unsigned int size)
{
	double chi = 0, expected = 0, all = 0;
	unsigned int bins = 0, count = 0;

	for (unsigned int k = 0; k < size; k++) {
		expected += N * probability[k];
		count += counts[k];
		all += probability[k];
		if (expected < 10 && k + 1 < size)
			continue;
		if (expected > 0)
			chi += pow(count - expected, 2) / expected;
		bins++;
		expected = count = 0;
	}
	near("sum of probabilities", all, 1, 1e-7);
	if (bins > 1)
		near(what, chi, bins - 1, sqrt(2.0 * (bins - 1)));
}

static void check_moments(
	const char *what, double sum, double squares, double mean, double variance, double fourth)
{
	double found = sum / N;

	near(what, found, mean, sqrt(variance / N));
	near(what, squares / N - 2 * mean * found + mean * mean, variance,
		sqrt((fourth - variance * variance) / N));
}

/* --- normal --- */

static double normal_cdf(double z)
{
	return 0.5 * erfc(-z / sqrt(2));
}

static void test_normal(void **state)
{
	static unsigned int counts[BINS];
	static double probability[BINS];
	double sum = 0, squares = 0;
	struct dip_random r;

	(void)state;
	memset(counts, 0, sizeof(counts));
	dip_random_init(&r, 11, 0, 0);
	for (int i = 0; i < N; i++) {
		double z = dip_random_normal(&r);
		int bin = (z + 5) * (BINS / 10);

		sum += z;
		squares += z * z;
		counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
	}
	check_moments("normal", sum, squares, 0, 1, 3);
	for (int k = 0; k < BINS; k++)
		probability[k] = (k == BINS - 1 ? 1 : normal_cdf(-5 + (k + 1) / (BINS / 10.0))) -
				 (k == 0 ? 0 : normal_cdf(-5 + k / (BINS / 10.0)));
	check_counts("normal", counts, probability, BINS);
}

/* Where the strips end: the tail is made in another way, and either side of it alike. */
static void test_normal_tail(void **state)
{
	const double at[] = {-4, -3.6, -3.442619855899, -3.2, -2, 2, 3.2, 3.442619855899, 3.6, 4};
	const int n = 150 * N;
	double below[10] = {0};
	struct dip_random r;

	(void)state;
	dip_random_init(&r, 15, 0, 0);
	for (int i = 0; i < n; i++) {
		double z = dip_random_normal(&r);

		for (int j = 0; j < 10; j++)
			below[j] += z < at[j];
	}
	for (int j = 0; j < 10; j++) {
		double p = normal_cdf(at[j]);

		near("tail", below[j] / n, p, sqrt(p * (1 - p) / n));
	}
}

/* --- gamma --- */

/* P(shape, x), by its series. */
static double gamma_cdf(double shape, double x)
{
	double term = exp(shape * log(x) - x - lgamma(shape + 1)), sum = term;

	if (x <= 0)
		return 0;
	for (int k = 1; term > sum * 1e-17; k++) {
		term *= x / (shape + k);
		sum += term;
	}
	return sum < 1 ? sum : 1;
}

static void check_gamma(double shape)
{
	static unsigned int counts[BINS];
	static double probability[BINS];
	double sum = 0, squares = 0, top = shape + 8 * sqrt(shape) + 8, last = 0;
	struct dip_random r;
	char what[32];

	snprintf(what, sizeof(what), "gamma of shape %g", shape);
	memset(counts, 0, sizeof(counts));
	dip_random_init(&r, 12, 0, (uint32_t)shape);
	for (int i = 0; i < N; i++) {
		double x = dip_random_gamma(&r, shape);
		int bin = x / top * BINS;

		assert_true(x > 0);
		sum += x;
		squares += x * x;
		counts[bin >= BINS ? BINS - 1 : bin]++;
	}
	check_moments(what, sum, squares, shape, shape, 3 * shape * shape + 6 * shape);
	for (int k = 0; k < BINS; k++) {
		double next = k == BINS - 1 ? 1 : gamma_cdf(shape, top * (k + 1) / BINS);

		probability[k] = next - last;
		last = next;
	}
	check_counts(what, counts, probability, BINS);
}

static void test_gamma(void **state)
{
	(void)state;
	check_gamma(1);
	check_gamma(2);
	check_gamma(3.5);
	check_gamma(10);
	check_gamma(300);
}

/* --- Poisson --- */

struct poisson_sample {
	double mean, sum, squares;
	unsigned int counts[BINS];
	double first; /* the value that counts[0] counts, and all below it */
};

static void add_poisson(struct poisson_sample *s, double k)
{
	double bin = k - s->first;

	s->sum += k - s->mean; /* so that no digit is lost for a large mean */
	s->squares += (k - s->mean) * (k - s->mean);
	s->counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : (int)bin]++;
}

static void check_poisson(const char *what, const struct poisson_sample *s)
{
	static double probability[BINS];
	double m = s->mean, below = 0;
	char text[64];

	snprintf(text, sizeof(text), "%s of mean %g", what, m);
	check_moments(text, s->sum, s->squares, 0, m, 3 * m * m + m);
	for (int k = 0; k < BINS; k++) {
		double value = s->first + k;

		probability[k] = exp(value * log(m) - m - lgamma(value + 1));
		below += probability[k];
	}
	/* What lies beyond at both ends: some of it below, some of it above. */
	if (s->first > 0) {
		probability[0] += (1 - below) / 2;
		probability[BINS - 1] += (1 - below) / 2;
	} else {
		probability[BINS - 1] += 1 - below;
	}
	if (m < 1000) /* more values than bins */
		check_counts(text, s->counts, probability, BINS);
}

static void start_poisson(struct poisson_sample *s, double mean)
{
	*s = (struct poisson_sample){
		.mean = mean, .first = mean > BINS / 2 ? floor(mean) - BINS / 2 : 0};
}

static void test_poisson(void **state)
{
	static const double means[] = {
		1e-5, 0.01, 0.3, 1, 4.5, 9.99, 10, 10.01, 35, 120, 900, 5e3, 1e6, 1e9};
	struct poisson_sample s;
	struct dip_random r;

	(void)state;
	for (unsigned int m = 0; m < sizeof(means) / sizeof(means[0]); m++) {
		start_poisson(&s, means[m]);
		dip_random_init(&r, 13, m, 0);
		for (int i = 0; i < N; i++)
			add_poisson(&s, dip_random_poisson(&r, means[m]));
		check_poisson("Poisson", &s);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(dip_random_poisson(&r, 0), 0);
}

static void test_poisson_table(void **state)
{
	static const double means[] = {1e-5, 0.01, 0.3, 1, 4.5, 20, 99.5, DIP_POISSON_TABLE_MAX};
	struct dip_poisson_table table;
	struct poisson_sample s;
	struct dip_random r;

	(void)state;
	for (unsigned int m = 0; m < sizeof(means) / sizeof(means[0]); m++) {
		start_poisson(&s, means[m]);
		dip_poisson_table_init(&table, means[m]);
		dip_random_init(&r, 14, m, 0);
		for (int i = 0; i < N; i++)
			add_poisson(&s, dip_random_poisson_table(&r, &table));
		check_poisson("Poisson table", &s);
	}
	dip_poisson_table_init(&table, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(dip_random_poisson_table(&r, &table), 0);
}

/* The steps of the table are where the probabilities say, to the last bits. */
static void test_poisson_table_steps(void **state)
{
	struct dip_poisson_table table;
	long double sum = 0, p = expl(-2.5L);

	(void)state;
	dip_poisson_table_init(&table, 2.5);
	for (unsigned int k = 0; k < 12; k++) {
		sum += p;
		p *= 2.5L / (k + 1);
		assert_true(fabsl(table.cumulative[k] * 0x1p-64L - sum) < 1e-17L);
	}
	assert_true(table.cumulative[table.size - 1] == UINT64_MAX);
	for (uint32_t i = 0; i < 256; i++) {
		assert_true(table.cumulative[table.guide[i]] >> 56 >= i);
		if (table.guide[i] > 0)
			assert_true(table.cumulative[table.guide[i] - 1] >> 56 < i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_normal_tail),
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_gamma),
		cmocka_unit_test(test_poisson),
		cmocka_unit_test(test_poisson_table),
		cmocka_unit_test(test_poisson_table_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
