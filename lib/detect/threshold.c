/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "detect/threshold.h"

#define LAMBDA_MAX 1e6

/* Below this count k! is a short product and k * ln(lambda) - lambda is small wherever its
 * exponential is not zero, so that nothing needs expanding. */
#define STIRLING_FROM 16

/* x ln(x / lambda) + lambda - x, which is all cancellation where x is near lambda. There, with
 * v = (x - lambda) / (x + lambda), ln(x / lambda) is 2 atanh(v), and the terms of first order
 * leave v (x - lambda) + 2 x (v^3/3 + v^5/5 + ...), a sum without cancellation. */
static double deviance(double x, double lambda)
{
	double v, power, term, sum;

	if (fabs(x - lambda) >= 0.1 * (x + lambda))
		return x * log(x / lambda) + (lambda - x);
	v = (x - lambda) / (x + lambda);
	power = 2.0 * x * v;
	sum = v * (x - lambda);
	for (int n = 3;; n += 2) {
		power *= v * v;
		term = power / n;
		if (fabs(term) <= fabs(sum) * 1e-17)
			return sum;
		sum += term;
	}
}

/* ln(k!) - ln(sqrt(2 pi k) (k / e)^k) for k >= STIRLING_FROM: the next term of the series is
 * below 2e-3 / k^11, so below rounding. */
static double stirling_rest(double k)
{
	double k2 = k * k;

	return (1.0 / 12 -
		       (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / k2) / k2) / k2) / k2) /
	       k;
}

/* P(N = k). */
static double mass(double k, double lambda)
{
	double factorial = 1.0;

	if (k >= STIRLING_FROM)
		return exp(-stirling_rest(k) - deviance(k, lambda)) / sqrt(2.0 * M_PI * k);
	for (int i = 2; i <= (int)k; i++)
		factorial *= i;
	return exp(k * log(lambda) - lambda) / factorial;
}

/* P(N >= t) for t > lambda: each term is smaller than the one before. The terms are summed
 * relative to the first, so that none of them underflows before the result does. */
static double upper_sum(double t, double lambda)
{
	double term = 1.0, sum = 1.0;

	for (double k = t + 1.0; term > sum * 1e-20; k += 1.0) {
		term *= lambda / k;
		sum += term;
	}
	return mass(t, lambda) * sum;
}

/* P(N < t) for 1 <= t <= lambda, downwards from t - 1 likewise. */
static double lower_sum(double t, double lambda)
{
	double term = 1.0, sum = 1.0;

	for (double k = t - 1.0; k > 0.0 && term > sum * 1e-20; k -= 1.0) {
		term *= k / lambda;
		sum += term;
	}
	return mass(t - 1.0, lambda) * sum;
}

/* The sum taken is always the one on the far side of lambda from t; 1 minus it is used only
 * where that leaves more than a third, so nothing cancels. */
double dip_poisson_at_least(uint64_t t, double lambda)
{
	if (t == 0)
		return 1.0;
	if ((double)t > lambda)
		return upper_sum((double)t, lambda);
	return 1.0 - lower_sum((double)t, lambda);
}

double dip_poisson_below(uint64_t t, double lambda)
{
	if (t == 0)
		return 0.0;
	if ((double)t > lambda)
		return 1.0 - upper_sum((double)t, lambda);
	return lower_sum((double)t, lambda);
}

/* ceil((l1 - l0) / ln(l1 / l0)), with the logarithm right for neighbours and for any ratio. */
static uint64_t least_errors(double l0, double l1)
{
	double diff = l1 - l0;
	double ratio_ln = diff < l0 ? log1p(diff / l0) : log(l1) - log(l0);

	return (uint64_t)ceil(diff / ratio_ln);
}

/* The least T >= t with P(N >= T) <= target: gallop, then bisect. It ends, as the tail reaches
 * zero some 40 standard deviations above lambda. */
static uint64_t raise_to_target(uint64_t t, double lambda, double target)
{
	uint64_t low, high, middle, step = 1;

	if (dip_poisson_at_least(t, lambda) <= target)
		return t;
	while (dip_poisson_at_least(t + step, lambda) > target)
		step *= 2;
	low = t + step / 2;
	high = t + step;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (dip_poisson_at_least(middle, lambda) <= target)
			high = middle;
		else
			low = middle;
	}
	return high;
}

static int check_lambda(const char *key, const char *what, double lambda, struct dip_error *err)
{
	/* Written so that NaN fails. */
	if (lambda > 0.0 && lambda <= LAMBDA_MAX)
		return 0;
	return dip_fail(err, EINVAL,
		"%s: found %.12g, expected a number above 0 and up to %g; "
		"set it to the mean count of %s site",
		key, lambda, LAMBDA_MAX, what);
}

int dip_threshold_poisson(double lambda_empty, double lambda_occ, double fp_target, uint64_t max_k,
	struct dip_threshold *out, struct dip_error *err)
{
	uint64_t t;
	int rc;

	rc = check_lambda("pois.lambda_empty", "an empty", lambda_empty, err);
	if (rc == 0)
		rc = check_lambda("pois.lambda_occ", "an occupied", lambda_occ, err);
	if (rc != 0)
		return rc;
	if (lambda_occ <= lambda_empty)
		return dip_fail(err, EINVAL,
			"pois.lambda_occ: found %.12g, expected more than "
			"pois.lambda_empty = %.12g; an occupied site is the brighter one, "
			"check whether the two are swapped",
			lambda_occ, lambda_empty);
	if (!(fp_target > 0.0 && fp_target <= 1.0))
		return dip_fail(err, EINVAL,
			"pois.fp_target: found %.12g, expected a probability above 0 and "
			"up to 1; use 1 to set no limit to false positives",
			fp_target);

	t = raise_to_target(least_errors(lambda_empty, lambda_occ), lambda_empty, fp_target);
	if (t > max_k)
		return dip_fail(err, EINVAL,
			"pois.max_k: found %" PRIu64
			", expected at least the threshold T = %" PRIu64
			" that pois.lambda_empty = %.12g, pois.lambda_occ = %.12g and "
			"pois.fp_target = %.12g ask for; raise pois.max_k to %" PRIu64 " or more",
			max_k, t, lambda_empty, lambda_occ, fp_target, t);
	out->t = (uint32_t)t;
	out->false_positive = dip_poisson_at_least(t, lambda_empty);
	out->false_negative = dip_poisson_below(t, lambda_occ);
	return 0;
}
