/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "random/random.h"

#define INVERSION_BELOW 10

/* Add up the probabilities until they exceed a uniform number. */
static uint64_t by_inversion(struct dip_random *r, double mean)
{
	double u = dip_random_uniform(r), p;
	uint64_t k = 0;

	/* exp(-mean) > 1 - mean: mostly there is nothing to be computed for a small mean. */
	if (u < 1 - mean)
		return 0;
	for (p = exp(-mean); u > p && p > 0; k++) {
		u -= p;
		p *= mean / (k + 1);
	}
	return k;
}

/* The names are the paper's. */
static uint64_t by_rejection(struct dip_random *r, double mean)
{
	double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b, log_mean = log(mean),
	       inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);

	for (;;) {
		double u = dip_random_uniform(r) - 0.5, v = dip_random_uniform(r),
		       us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + mean + 0.43);
		int sign;

		if (us >= 0.07 && v <= v_r)
			return k;
		if (k < 0 || (us < 0.013 && v > us))
			continue;
		if (log(v * inverse_alpha / (a / (us * us) + b)) <=
			k * log_mean - mean - lgamma_r(k + 1, &sign))
			return k;
	}
}

uint64_t dip_random_poisson(struct dip_random *r, double mean)
{
	return mean < INVERSION_BELOW ? by_inversion(r, mean) : by_rejection(r, mean);
}
