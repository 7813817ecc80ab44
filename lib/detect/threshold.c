/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

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

/* ceil((l1 - l0 + ln((1 - f) / f)) / ln(l1 / l0)), or 0 when that is negative, with the logarithm
 * right for neighbours and for any ratio. */
static uint64_t least_errors(double l0, double l1, double fill)
{
	double diff = l1 - l0;
	double ratio_ln = diff < l0 ? log1p(diff / l0) : log(l1) - log(l0);
	double t = ceil((diff + log1p(-fill) - log(fill)) / ratio_ln);

	return t > 0 ? (uint64_t)fmin(t, 0x1p62) : 0;
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

static int check_lambda(
	const char *group, const char *key, const char *what, double lambda, struct dip_error *err)
{
	/* Written so that NaN fails. */
	if (lambda > 0.0 && lambda <= LAMBDA_MAX)
		return 0;
	return dip_fail(err, EINVAL,
		"%s%s: found %.12g, expected a number above 0 and up to %g; "
		"set it to the mean count of %s site",
		group, key, lambda, LAMBDA_MAX, what);
}

/* What a message calls the other keys by: those of a site need not say once more where they are. */
static const char *also(const char *group)
{
	return strcmp(group, "pois.") == 0 ? group : "";
}

static int check_prior(const struct dip_prior *p, const char *group, struct dip_error *err)
{
	if (check_lambda(group, "lambda_empty", "an empty", p->lambda_empty, err) < 0 ||
		check_lambda(group, "lambda_occ", "an occupied", p->lambda_occ, err) < 0)
		return -EINVAL;
	if (p->lambda_occ <= p->lambda_empty)
		return dip_fail(err, EINVAL,
			"%slambda_occ: found %.12g, expected more than "
			"%slambda_empty = %.12g; an occupied site is the brighter one, "
			"check whether the two are swapped",
			group, p->lambda_occ, also(group), p->lambda_empty);
	if (!(p->fill > 0.0 && p->fill < 1.0))
		return dip_fail(err, EINVAL,
			"%sfill: found %.12g, expected a fraction above 0 and below 1; set it to "
			"the "
			"part of the sites that is occupied on average, 0.5 if that is not known",
			group, p->fill);
	if (!(p->fp_target > 0.0 && p->fp_target <= 1.0))
		return dip_fail(err, EINVAL,
			"%sfp_target: found %.12g, expected a probability above 0 and "
			"up to 1; use 1 to set no limit to false positives",
			group, p->fp_target);
	return 0;
}

int dip_threshold_poisson(const struct dip_prior *p, const char *group, struct dip_threshold *out,
	struct dip_error *err)
{
	uint64_t t;

	if (check_prior(p, group, err) < 0)
		return -EINVAL;
	t = raise_to_target(least_errors(p->lambda_empty, p->lambda_occ, p->fill), p->lambda_empty,
		p->fp_target);
	if (t == 0)
		return dip_fail(err, EINVAL,
			"%sfill: found %.12g, which with %slambda_empty = %.12g and %slambda_occ = "
			"%.12g gives T = 0, so that every site is occupied whatever it counts; "
			"expected less, or a %sfp_target below 1",
			group, p->fill, also(group), p->lambda_empty, also(group), p->lambda_occ,
			also(group));
	if (t > p->max_k)
		return dip_fail(err, EINVAL,
			"%spois.max_k: found %" PRIu64
			", expected at least the threshold T = %" PRIu64
			" that %slambda_empty = %.12g, %slambda_occ = %.12g, %sfill = %.12g and "
			"%sfp_target = %.12g ask for; raise pois.max_k to %" PRIu64 " or more",
			also(group)[0] != '\0' ? "" : group, p->max_k, t, also(group),
			p->lambda_empty, also(group), p->lambda_occ, also(group), p->fill,
			also(group), p->fp_target, t);
	out->t = t;
	out->false_positive = dip_poisson_at_least(t, p->lambda_empty);
	out->false_negative = dip_poisson_below(t, p->lambda_occ);
	return 0;
}
