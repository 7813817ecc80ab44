/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "util/error.h"

/* The Poisson decision: an empty site counts N ~ Poisson(lambda_empty), an occupied one
 * N ~ Poisson(lambda_occ); occupied iff N >= T. */
struct dip_threshold {
	uint32_t t;            /* counts */
	double false_positive; /* P(N >= t | lambda_empty) */
	double false_negative; /* P(N < t | lambda_occ) */
};

/* T = max(ceil((l1 - l0) / ln(l1 / l0)), min{T : P(N >= T | l0) <= fp_target}): the first is the
 * T that makes FP + FN least, since its step from T to T + 1 is pmf1(T) - pmf0(T), the second
 * keeps the false positives down. Lambdas in 1e-3..1e6 mean counts; 0 < fp_target <= 1. Refused
 * with -EINVAL and a line naming the pois.* key: NaN, negative or zero lambda, lambda_occ <=
 * lambda_empty, fp_target out of range, T beyond max_k. */
int dip_threshold_poisson(double lambda_empty, double lambda_occ, double fp_target, uint64_t max_k,
	struct dip_threshold *out, struct dip_error *err);

/* Exact tails, relative error below 1e-10 down to 1e-300 for lambda in 1e-3..1e6: sums of
 * positive terms from a probability mass accurate to rounding (C. Loader, "Fast and accurate
 * computation of binomial probabilities", 2000: saddle-point expansion). */
double dip_poisson_at_least(uint64_t t, double lambda); /* P(N >= t) */
double dip_poisson_below(uint64_t t, double lambda);    /* P(N < t) */
