/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "metrics/peak.h"

/* A log-bucketed histogram of nanoseconds: 16 buckets an octave (relative error under 1/16), from
 * 0 to 2^40 ns (18 minutes), one writer, merged when read. */

#define DIP_HISTOGRAM_SUB 16
#define DIP_HISTOGRAM_OCTAVES 37
#define DIP_HISTOGRAM_BUCKETS (DIP_HISTOGRAM_OCTAVES * DIP_HISTOGRAM_SUB)

struct dip_histogram {
	uint64_t bucket[DIP_HISTOGRAM_BUCKETS];
	uint64_t sum;
	struct dip_peak max;
	uint64_t
		count; /* raised last: a copy with as many values in its buckets is of one moment */
} __attribute__((aligned(64)));

static inline unsigned int dip_histogram_index(uint64_t ns)
{
	unsigned int octave, index;

	if (ns < DIP_HISTOGRAM_SUB)
		return ns;
	octave = 63 - __builtin_clzll(ns); /* >= 4 */
	index = (octave - 3) * DIP_HISTOGRAM_SUB + ((ns >> (octave - 4)) & (DIP_HISTOGRAM_SUB - 1));
	return index < DIP_HISTOGRAM_BUCKETS ? index : DIP_HISTOGRAM_BUCKETS - 1;
}

/* The writer's thread only. */
static inline void dip_histogram_record(struct dip_histogram *h, uint64_t ns)
{
	dip_count(&h->bucket[dip_histogram_index(ns)], 1);
	__atomic_store_n(&h->sum, h->sum + ns, __ATOMIC_RELEASE);
	dip_peak_record(&h->max, ns);
	__atomic_store_n(&h->count, h->count + 1, __ATOMIC_RELEASE);
}

struct dip_histogram_summary {
	uint64_t count;
	/* ns; percentiles are upper bucket bounds */
	uint64_t mean, p50, p90, p99, p999, p9999, max;
};

/* Copy a histogram that may be written meanwhile. All in it is of one moment, but when its writer
 * makes no pause, or has stopped within a record, for 10 ms: then the last value may be in a part of
 * it only. Any thread. */
void dip_histogram_copy(const struct dip_histogram *h, struct dip_histogram *copy);

/* Merge n histograms that may be written meanwhile. before: copies of them from the begin of the
 * present window, to be taken off; NULL: all that they ever held. Any thread. */
void dip_histogram_summarise(const struct dip_histogram *h, const struct dip_histogram *before,
	unsigned int n, struct dip_histogram_summary *out);

/* Two steps an octave, from 127 ns to 137 s: as coarse as a monitoring system wants it. Each is a
 * bucket's upper end, so the numbers are exact. */
#define DIP_HISTOGRAM_STEPS 61

struct dip_histogram_steps {
	uint64_t count;                        /* values */
	uint64_t sum;                          /* of them, ns */
	uint64_t at_most[DIP_HISTOGRAM_STEPS]; /* values up to this step and equal to it */
};

/* The value at a step (0..DIP_HISTOGRAM_STEPS - 1), ns. */
static inline uint64_t dip_histogram_step(unsigned int step)
{
	return (2ULL + step % 2) * (64ULL << step / 2) - 1;
}

/* Add what n histograms hold, copies when they are written meanwhile (dip_histogram_copy), to out. */
void dip_histogram_add_steps(
	const struct dip_histogram *h, unsigned int n, struct dip_histogram_steps *out);
