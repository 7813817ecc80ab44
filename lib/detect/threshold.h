/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "util/error.h"

/* The Poisson decision: an empty site counts N ~ Poisson(lambda_empty), an occupied one
 * N ~ Poisson(lambda_occ); occupied iff N >= T. */
struct dip_threshold {
	uint64_t t;            /* counts, >= 1 */
	double false_positive; /* P(N >= t | lambda_empty) */
	double false_negative; /* P(N < t | lambda_occ) */
};

/* What is known before a frame is seen. */
struct dip_prior {
	double lambda_empty, lambda_occ; /* mean counts */
	double fill;                     /* expected fraction of occupied sites */
	double fp_target;                /* highest P(N >= T | lambda_empty) accepted; 1: any */
	uint64_t max_k;                  /* highest T accepted */
};

/* T = max(ceil((l1 - l0 + ln((1 - f) / f)) / ln(l1 / l0)), min{T : P(N >= T | l0) <= fp_target}).
 * The first is the T with the fewest errors, (1 - f) FP + f FN, since their step from T to T + 1 is
 * f pmf1(T) - (1 - f) pmf0(T); at f = 1/2 it makes FP + FN least. The second keeps the false
 * positives down. Lambdas up to 1e6 mean counts, right from 1e-3 on; 0 < fill < 1;
 * 0 < fp_target <= 1. Refused with -EINVAL and a line naming the key, `group` before it ("pois.", or
 * where a site's own are found): NaN, negative or zero lambda, lambda_occ <= lambda_empty, fill or
 * fp_target out of range, T beyond max_k, and T = 0, with which every site would be occupied,
 * whatever it counts. */
int dip_threshold_poisson(const struct dip_prior *prior, const char *group,
	struct dip_threshold *out, struct dip_error *err);

/* Exact tails, relative error below 1e-10 down to 1e-300 for lambda in 1e-3..1e6: sums of
 * positive terms from a probability mass accurate to rounding (C. Loader, "Fast and accurate
 * computation of binomial probabilities", 2000: saddle-point expansion). */
double dip_poisson_at_least(uint64_t t, double lambda); /* P(N >= t) */
double dip_poisson_below(uint64_t t, double lambda);    /* P(N < t) */
