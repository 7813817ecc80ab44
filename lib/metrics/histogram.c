/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <unistd.h>

#include "metrics/histogram.h"

/* How often a copy is tried, at once, and then so far apart. */
#define ATTEMPTS_AT_ONCE 50
#define ATTEMPTS 150
#define ATTEMPT_US 100

uint64_t dip_peak_window, dip_peak_ahead[DIP_SOURCES + 1];

/* The largest value that falls into the bucket. */
static uint64_t upper_bound(unsigned int index)
{
	unsigned int octave = index / DIP_HISTOGRAM_SUB + 3, sub = index % DIP_HISTOGRAM_SUB;

	if (index < DIP_HISTOGRAM_SUB)
		return index;
	return ((uint64_t)(DIP_HISTOGRAM_SUB + sub + 1) << (octave - 4)) - 1;
}

static uint64_t percentile(const uint64_t *bucket, uint64_t count, double share, uint64_t max)
{
	uint64_t rank = (uint64_t)(share * count), seen = 0;

	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++) {
		seen += bucket[i];
		if (seen > rank)
			return upper_bound(i) < max ? upper_bound(i) : max;
	}
	return max;
}

/* Copy it; was nothing recorded meanwhile? The sum comes first: a value that is in it is in its bucket
 * by then, and so shows as one bucket too many until it is counted. It comes last as well: a maximum
 * is in the sum by the time that it is seen. */
static bool try_copy(const struct dip_histogram *h, struct dip_histogram *copy)
{
	uint64_t values = 0;

	copy->count = __atomic_load_n(&h->count, __ATOMIC_ACQUIRE);
	copy->sum = __atomic_load_n(&h->sum, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++) {
		copy->bucket[i] = dip_read(&h->bucket[i]);
		values += copy->bucket[i];
	}
	copy->max.source = h->max.source;
	copy->max.ever = __atomic_load_n(&h->max.ever, __ATOMIC_ACQUIRE);
	copy->max.window = __atomic_load_n(&h->max.window, __ATOMIC_ACQUIRE);
	copy->max.value = dip_read(&h->max.value);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return values == copy->count && copy->sum == dip_read(&h->sum) &&
	       copy->count == dip_read(&h->count);
}

void dip_histogram_copy(const struct dip_histogram *h, struct dip_histogram *copy)
{
	for (int attempt = 0; attempt < ATTEMPTS && !try_copy(h, copy); attempt++)
		if (attempt >= ATTEMPTS_AT_ONCE) /* the writer may have lost its CPU in between */
			usleep(ATTEMPT_US);
}

/* Add what h holds, without what it held before. */
static void add(uint64_t *merged, uint64_t *sum, const struct dip_histogram *h,
	const struct dip_histogram *before)
{
	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++)
		merged[i] += dip_read(&h->bucket[i]) - (before != NULL ? before->bucket[i] : 0);
	*sum += dip_read(&h->sum) - (before != NULL ? before->sum : 0);
}

/* A value that came while a window began may be counted in it and not be its maximum. */
static uint64_t at_least(const uint64_t *merged, uint64_t max)
{
	unsigned int i = DIP_HISTOGRAM_BUCKETS - 1;

	while (i > 0 && merged[i] == 0)
		i--;
	return dip_histogram_index(max) < i ? upper_bound(i) : max;
}

void dip_histogram_summarise(const struct dip_histogram *h, const struct dip_histogram *before,
	unsigned int n, struct dip_histogram_summary *out)
{
	uint64_t merged[DIP_HISTOGRAM_BUCKETS] = {0}, sum = 0;

	memset(out, 0, sizeof(*out));
	for (unsigned int j = 0; j < n; j++) {
		uint64_t max = before != NULL ? dip_peak_read(&h[j].max) : dip_read(&h[j].max.ever);

		add(merged, &sum, &h[j], before != NULL ? &before[j] : NULL);
		out->max = max > out->max ? max : out->max;
	}
	for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++)
		out->count += merged[i];
	if (out->count == 0) {
		out->max = 0;
		return;
	}
	out->max = at_least(merged, out->max);
	out->mean = sum / out->count < out->max ? sum / out->count : out->max;
	out->p50 = percentile(merged, out->count, 0.50, out->max);
	out->p90 = percentile(merged, out->count, 0.90, out->max);
	out->p99 = percentile(merged, out->count, 0.99, out->max);
	out->p999 = percentile(merged, out->count, 0.999, out->max);
	out->p9999 = percentile(merged, out->count, 0.9999, out->max);
}

void dip_histogram_add_steps(
	const struct dip_histogram *h, unsigned int n, struct dip_histogram_steps *out)
{
	for (unsigned int j = 0; j < n; j++) {
		uint64_t values = 0;
		unsigned int i = 0;

		for (unsigned int step = 0; step < DIP_HISTOGRAM_STEPS; step++) {
			while (i <= dip_histogram_index(dip_histogram_step(step)))
				values += h[j].bucket[i++];
			out->at_most[step] += values;
		}
		while (i < DIP_HISTOGRAM_BUCKETS)
			values += h[j].bucket[i++];
		out->count += values;
		out->sum += h[j].sum;
	}
}
