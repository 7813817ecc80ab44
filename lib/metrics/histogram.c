/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "metrics/histogram.h"

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

void dip_histogram_summarise(
	const struct dip_histogram *h, unsigned int n, struct dip_histogram_summary *out)
{
	uint64_t merged[DIP_HISTOGRAM_BUCKETS] = {0}, sum = 0;

	memset(out, 0, sizeof(*out));
	for (unsigned int j = 0; j < n; j++) {
		for (unsigned int i = 0; i < DIP_HISTOGRAM_BUCKETS; i++) {
			uint64_t value = dip_read(&h[j].bucket[i]);

			merged[i] += value;
			out->count += value;
		}
		sum += dip_read(&h[j].sum);
		if (dip_read(&h[j].max) > out->max)
			out->max = dip_read(&h[j].max);
	}
	if (out->count == 0)
		return;
	out->mean = sum / out->count;
	out->p50 = percentile(merged, out->count, 0.50, out->max);
	out->p90 = percentile(merged, out->count, 0.90, out->max);
	out->p99 = percentile(merged, out->count, 0.99, out->max);
	out->p999 = percentile(merged, out->count, 0.999, out->max);
}
