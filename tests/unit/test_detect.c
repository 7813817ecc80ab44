/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "detect/detector.h"
#include "detect/sites.h"
#include "detect/threshold.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("found %.17g, expected %.17g to %g relative", got, want, relative);
}

/* With the prior of the original: half of the sites. */
static int poisson(double l0, double l1, double fp_target, uint64_t max_k,
	struct dip_threshold *out, struct dip_error *err)
{
	const struct dip_prior prior = {l0, l1, 0.5, fp_target, max_k};

	return dip_threshold_poisson(&prior, "pois.", out, err);
}

static void assert_says(const struct dip_error *err, const char *part)
{
	if (strstr(err->text, part) == NULL)
		fail_msg("found \"%s\", expected it to say \"%s\"", err->text, part);
}

/* Worked out with 60 digits. */
static void test_threshold_golden(void **state)
{
	static const struct {
		double l0, l1, target;
		uint64_t t;
		double fp, fn;
	} row[] = {
		{0.2, 10, 1e-3, 4, 5.6840240758156611e-5, 1.0336050675925718e-2},
		{0.5, 10, 1e-3, 5, 1.7211562995584078e-4, 2.9252688076961073e-2},
		{0.5, 10, 1, 4, 1.7516225562908237e-3, 1.0336050675925718e-2},
		{2, 20, 1e-4, 10, 4.6498075017263808e-5, 4.9954123083075872e-3},
		{10, 60, 1e-9, 35, 6.0603237102914412e-10, 1.8791758120215468e-4},
		{50, 200, 1e-12, 109, 3.7507653953321519e-13, 7.2814366837566272e-13},
		{400, 500, 1, 449, 8.5049940165937938e-3, 9.722241491350707e-3},
		{800, 1000, 1, 897, 4.0084099267197812e-4, 4.3950944690144274e-4},
	};
	struct dip_threshold got;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		assert_int_equal(
			poisson(row[i].l0, row[i].l1, row[i].target, 1000000, &got, &err), 0);
		assert_int_equal(got.t, row[i].t);
		assert_close(got.false_positive, row[i].fp, 1e-12);
		assert_close(got.false_negative, row[i].fn, 1e-12);
	}
}

/* Worked out by summing with 60 digits; 0 for what is below 1e-300. */
static void test_tails(void **state)
{
	static const struct {
		uint64_t t;
		double lambda, at_least, below;
	} row[] = {
		{1, 0.001, 9.99500166625008353e-4, 9.99000499833374992e-1},
		{3, 0.001, 1.66541716652780764e-10, 9.99999999833458283e-1},
		{80, 0.001, 0, 1.0},
		{1, 0.1, 9.51625819640404319e-2, 9.04837418035959568e-1},
		{100, 0.1, 9.70503487712562976e-259, 1.0},
		{1, 1.0, 6.32120558828557678e-1, 3.67879441171442322e-1},
		{2, 1.0, 2.64241117657115357e-1, 7.35758882342884643e-1},
		{16, 1.0, 1.86776346316806554e-14, 9.99999999999981322e-1},
		{150, 1.0, 6.48183047624871157e-264, 1.0},
		{15, 15.5, 5.84592889852208306e-1, 4.15407110147791694e-1},
		{16, 15.5, 4.82988752730291796e-1, 5.17011247269708204e-1},
		{17, 15.5, 3.84559744893435178e-1, 6.15440255106564822e-1},
		{350, 30.0, 8.13620342094143757e-237, 1.0},
		{1, 30.0, 9.99999999999906424e-1, 9.3576229688401746e-14},
		{1, 690.0, 1.0, 2.17173828138982701e-300},
		{100, 700.0, 1.0, 5.68420828387976764e-179},
		{700, 700.0, 5.05026240055682464e-1, 4.94973759944317536e-1},
		{701, 700.0, 4.89949434142945434e-1, 5.10050565857054566e-1},
		{1900, 700.0, 0, 1.0},
		{5000, 10000.0, 1.0, 0},
		{10000, 10000.0, 5.013298083399552e-1, 4.986701916600448e-1},
		{14000, 10000.0, 0, 1.0},
		{26000, 20209.5, 0, 1.0},
		{88500, 100000.0, 1.0, 0},
		{112000, 100000.0, 0, 1.0},
		{500, 100000.0, 1.0, 0},
		{964000, 1000000.0, 1.0, 1.49375966911010983e-287},
		{999999, 1000000.0, 5.00531923008028835e-1, 4.99468076991971165e-1},
		{1000001, 1000000.0, 4.99734038513716347e-1, 5.00265961486283653e-1},
		{1036900, 1000000.0, 8.76335286482506703e-295, 1.0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		double at_least = dip_poisson_at_least(row[i].t, row[i].lambda);
		double below = dip_poisson_below(row[i].t, row[i].lambda);

		if (row[i].at_least > 0)
			assert_close(at_least, row[i].at_least, 1e-11);
		else
			assert_true(at_least < 1e-300);
		if (row[i].below > 0)
			assert_close(below, row[i].below, 1e-11);
		else
			assert_true(below < 1e-300);
	}
}

/* No other T does better, by the definition and not by the closed form. */
static void test_threshold_is_the_least(void **state)
{
	static const double lambda[] = {1e-3, 0.02, 0.7, 1, 3, 15.5, 40, 130};
	static const double target[] = {1, 0.3, 1e-2, 1e-6, 1e-15, 1e-200};
	struct dip_threshold got;
	struct dip_error err;

	(void)state;
	for (size_t a = 0; a < COUNT(lambda) - 1; a++) {
		for (size_t b = a + 1; b < COUNT(lambda); b++) {
			for (size_t c = 0; c < COUNT(target); c++) {
				double best = 2, errors;
				uint64_t t_best = 0, t = 0;

				for (uint64_t k = 0; k < 300; k++) {
					errors = dip_poisson_at_least(k, lambda[a]) +
						 dip_poisson_below(k, lambda[b]);
					if (errors < best) {
						best = errors;
						t_best = k;
					}
				}
				while (dip_poisson_at_least(t, lambda[a]) > target[c])
					t++;
				assert_int_equal(
					poisson(lambda[a], lambda[b], target[c], 1000, &got, &err),
					0);
				assert_int_equal(got.t, t > t_best ? t : t_best);
			}
		}
	}
}

/* The prior moves T. Worked out by tests/unit/threshold_table.py with 60 digits. */
static void test_threshold_fill(void **state)
{
	static const struct {
		double l0, l1, fill, target;
		uint64_t t;
		double fp, fn;
	} row[] = {
#include "threshold_table.h"
	};
	struct dip_threshold got;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		const struct dip_prior prior = {
			row[i].l0, row[i].l1, row[i].fill, row[i].target, UINT64_MAX};

		if (dip_threshold_poisson(&prior, "pois.", &got, &err) < 0)
			fail_msg("row %zu: %s", i, err.text);
		if (got.t != row[i].t)
			fail_msg("row %zu: found T = %lu, expected %lu", i, (unsigned long)got.t,
				(unsigned long)row[i].t);
		if (row[i].fp >= 1e-300)
			assert_close(got.false_positive, row[i].fp, 1e-10);
		else
			assert_true(got.false_positive < 1e-299);
		if (row[i].fn >= 1e-300)
			assert_close(got.false_negative, row[i].fn, 1e-10);
		else
			assert_true(got.false_negative < 1e-299);
	}
}

/* At the ends of the prior: T = 0 is refused, a T that no count reaches is max_k's affair. */
static void test_threshold_fill_errors(void **state)
{
	static const struct {
		double fill, target;
		const char *says;
	} row[] = {
		{0, 1, "A: fill: found 0, expected a fraction"},
		{1, 1, "A: fill: found 1, expected a fraction"},
		{-0.1, 1, "A: fill: found -0.1,"},
		{NAN, 1, "nan, expected a fraction"},
		{0.999999999, 1, "A: fill: found 0.999999999, which with"},
		{1e-300, 1, "pois.max_k: found 900, expected at least the threshold T = 999"},
	};
	struct dip_threshold got = {.t = 77};
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		const struct dip_prior prior = {1, 2, row[i].fill, row[i].target, 900};

		assert_int_equal(dip_threshold_poisson(&prior, "A: ", &got, &err), -EINVAL);
		assert_says(&err, row[i].says);
		assert_int_equal(got.t, 77);
	}
	/* A limit to false positives keeps T above 0. */
	assert_int_equal(dip_threshold_poisson(&(struct dip_prior){1, 2, 0.999999999, 0.99, 1000},
				 "", &got, &err),
		0);
	assert_int_equal(got.t, 1);
}

static void test_tails_at_the_ends(void **state)
{
	(void)state;
	assert_true(dip_poisson_at_least(0, 5) == 1);
	assert_true(dip_poisson_below(0, 5) == 0);
	assert_true(dip_poisson_at_least(UINT64_MAX, 1e6) == 0);
	assert_true(dip_poisson_below(UINT64_MAX, 1e6) == 1);
	assert_true(dip_poisson_below(1, 1e6) == 0); /* exp(-1e6) */
	assert_true(dip_poisson_at_least(1, 1e6) == 1);
	assert_close(dip_poisson_at_least(1, 1e-300), 1e-300, 1e-12);
}

static void test_threshold_errors(void **state)
{
	static const struct {
		double l0, l1, target;
		const char *key, *found;
	} row[] = {
		{0, 10, 0.1, "pois.lambda_empty: ", "found 0,"},
		{-1, 10, 0.1, "pois.lambda_empty: ", "found -1,"},
		{NAN, 10, 0.1, "pois.lambda_empty: ", "nan,"},
		{1, NAN, 0.1, "pois.lambda_occ: ", "nan,"},
		{1, INFINITY, 0.1, "pois.lambda_occ: ", "found inf,"},
		{1, 1.1e6, 0.1, "pois.lambda_occ: ", "found 1100000,"},
		{1, -3, 0.1, "pois.lambda_occ: ", "found -3,"},
		{10, 10, 0.1, "pois.lambda_occ: ", "pois.lambda_empty = 10"},
		{10, 2, 0.1, "pois.lambda_occ: ", "found 2,"},
		{1, 10, 0, "pois.fp_target: ", "found 0,"},
		{1, 10, -0.5, "pois.fp_target: ", "found -0.5,"},
		{1, 10, 1.5, "pois.fp_target: ", "found 1.5,"},
		{1, 10, NAN, "pois.fp_target: ", "nan,"},
	};
	struct dip_threshold got = {.t = 77}, before = got;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		assert_int_equal(
			poisson(row[i].l0, row[i].l1, row[i].target, 1000, &got, &err), -EINVAL);
		assert_ptr_equal(strstr(err.text, row[i].key), err.text);
		assert_says(&err, row[i].found);
		assert_memory_equal(&got, &before, sizeof(got));
	}
}

static void test_threshold_max_k(void **state)
{
	struct dip_threshold got = {.t = 77};
	struct dip_error err;

	(void)state;
	assert_int_equal(poisson(10, 60, 1e-9, 35, &got, &err), 0);
	got.t = 77;
	assert_int_equal(poisson(10, 60, 1e-9, 34, &got, &err), -EINVAL);
	assert_says(&err, "pois.max_k: found 34,");
	assert_says(&err, "T = 35");
	assert_int_equal(got.t, 77);
	assert_int_equal(poisson(10, 60, 1e-9, 34, &got, NULL), -EINVAL);
}

static void test_grid(void **state)
{
	const struct dip_grid grid = {50, 60, 250, 260, 10, 20};
	struct dip_sites sites;
	struct dip_error err;

	(void)state;
	assert_int_equal(dip_sites_grid(&grid, 300, 270, &sites, &err), 0);
	assert_int_equal(sites.count, 20 * 10);
	for (unsigned int i = 0; i < sites.count; i++) {
		assert_int_equal(sites.site[i].row, 50 + i / 10 * 10);
		assert_int_equal(sites.site[i].col, 60 + i % 10 * 20);
		assert_int_equal(sites.site[i].h, 10);
		assert_int_equal(sites.site[i].w, 20);
	}
	dip_sites_free(&sites);
	assert_null(sites.site);
}

/* An end between two boxes takes the last one whole, as long as it stays inside. */
static void test_grid_limits(void **state)
{
	static const struct {
		struct dip_grid grid;
		uint32_t width, height;
		unsigned int count;
	} row[] = {
		{{0, 0, 11, 9, 5, 3}, 9, 15, 3 * 3}, {{0, 0, 1, 1, 1, 1}, 1, 1, 1},
		{{0, 0, 1, 1, 65535, 1}, 1, 65535, 1},
		{{65534, 65534, 65535, 65535, 1, 1}, 65535, 65535, 1},
		{{0, 0, 250, 400, 1, 1}, 400, 250, 100000},
		{{0, 0, 1, 1, 65535, 1}, 65535, 65535, 1},
		{{50, 0, 195, 10, 10, 10}, 300, 200, 15}, /* the last one is 190..199 */
		{{3, 2, 4, 3, 257, 255}, 300, 300, 1},    /* 65,535 pixels */
	};
	struct dip_sites sites;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		if (dip_sites_grid(&row[i].grid, row[i].width, row[i].height, &sites, &err) != 0)
			fail_msg("row %zu: %s", i, err.text);
		assert_int_equal(sites.count, row[i].count);
		dip_sites_free(&sites);
	}
}

static void test_grid_errors(void **state)
{
	static const struct {
		struct dip_grid grid;
		const char *key, *says;
	} row[] = {
		{{-1, 0, 10, 10, 1, 1}, "pois.row_start: ", "found -1, expected 0 to 199"},
		{{200, 0, 210, 10, 1, 1}, "pois.row_start: ", "found 200,"},
		{{0, INT64_MIN, 10, 10, 1, 1}, "pois.col_start: ", "found -9223372036854775808,"},
		{{0, 300, 10, 310, 1, 1}, "pois.col_start: ", "found 300, expected 0 to 299"},
		{{0, 0, 10, 10, 0, 1}, "pois.roi_h: ", "found 0, expected 1 to 200"},
		{{0, 0, 10, 10, 201, 1}, "pois.roi_h: ", "found 201,"},
		{{0, 0, 10, 10, 1, -7}, "pois.roi_w: ", "found -7, expected 1 to 300"},
		{{0, 0, 10, 10, 1, INT64_MAX}, "pois.roi_w: ", "found 9223372036854775807,"},
		{{10, 0, 10, 10, 1, 1}, "pois.row_end: ", "more than pois.row_start = 10"},
		{{0, 20, 10, 10, 1, 1}, "pois.col_end: ", "more than pois.col_start = 20"},
		{{0, 0, 10, INT64_MIN, 1, 1}, "pois.col_end: ", "no ROI at all"},
		{{50, 60, 201, 260, 10, 10}, "pois.row_end: ",
			"box at row 200, col 60 of 10x10 leaves the frame of 200 x 300; "
			"set pois.row_end to 200 or less"},
		{{50, 60, 150, 295, 7, 11},
			"pois.col_end: ", "box at row 50, col 291 of 7x11 leaves"},
		{{0, 0, INT64_MAX, 10, 9, 10}, "pois.row_end: ", "box at row 198, col 0 of 9x10"},
		{{0, 0, 10, INT64_MAX, 9, 10}, "pois.col_end: ", "box at row 0, col 300 of 9x10"},
		{{195, 0, 196, 10, 9, 10}, "pois.row_end: ", "lower pois.row_start or pois.roi_h"},
	};
	struct dip_sites sites = {.count = 77}, before = sites;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		int rc = dip_sites_grid(&row[i].grid, 300, 200, &sites, &err);

		assert_int_equal(rc, -EINVAL);
		if (strstr(err.text, row[i].key) != err.text)
			fail_msg("row %zu: found \"%s\"", i, err.text);
		assert_says(&err, row[i].says);
		assert_memory_equal(&sites, &before, sizeof(sites));
	}
}

static void test_grid_too_much(void **state)
{
	const struct dip_grid many = {0, 0, 250, 401, 1, 1};
	const struct dip_grid large = {0, 0, 1, 1, 258, 255}; /* 65,790 pixels */
	struct dip_sites sites;
	struct dip_error err;

	(void)state;
	assert_int_equal(dip_sites_grid(&many, 500, 500, &sites, &err), -EINVAL);
	assert_says(&err, "pois.row_end, pois.col_end: found 250 rows of 401 sites");
	assert_says(&err, "100000");
	assert_int_equal(dip_sites_grid(&large, 500, 500, &sites, &err), -EINVAL);
	assert_says(&err, "pois.roi_h, pois.roi_w: found 258x255 = 65790 pixels");
	assert_int_equal(dip_sites_grid(&many, 500, 0, &sites, &err), -EINVAL);
	assert_says(&err, "main.image_h: found 0,");
	assert_int_equal(dip_sites_grid(&many, 65536, 500, &sites, &err), -EINVAL);
	assert_says(&err, "main.image_w: found 65536,");
}

static void test_registry(void **state)
{
	static struct dip_detector_ops one = {.name = "one"}, two = {.name = "two"};

	(void)state;
	assert_null(dip_detector_find("one"));
	dip_detector_register(&one);
	dip_detector_register(&two);
	assert_ptr_equal(dip_detector_find("one"), &one);
	assert_ptr_equal(dip_detector_find("two"), &two);
	assert_null(dip_detector_find("on"));
	assert_non_null(strstr(dip_detector_names(), "one, two"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threshold_golden),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_threshold_is_the_least),
		cmocka_unit_test(test_threshold_fill),
		cmocka_unit_test(test_threshold_fill_errors),
		cmocka_unit_test(test_tails_at_the_ends),
		cmocka_unit_test(test_threshold_errors),
		cmocka_unit_test(test_threshold_max_k),
		cmocka_unit_test(test_grid),
		cmocka_unit_test(test_grid_limits),
		cmocka_unit_test(test_grid_errors),
		cmocka_unit_test(test_grid_too_much),
		cmocka_unit_test(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
