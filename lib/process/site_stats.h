/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "detect/detector.h"
#include "metrics/metrics.h"

/* What each site has counted so far, gathered by the processors, each for itself, from every so
 * many-th of its frames; and the last frame decided. Readers are telemetry's threads, which outlive
 * everything else: this memory is never freed.
 *
 *	processor: version odd -> its arrays -> version even      reader: copies, again if it changed
 */

/* One writer each: the processor. */
struct dip_last_frame {
	uint32_t version;
	bool any;
	uint64_t seq, occupied, latency_ns;
} __attribute__((aligned(64)));

struct dip_site_stats {
	struct dip_last_frame last; /* of all its frames */
	uint32_t version __attribute__((aligned(64)));
	uint32_t every, until; /* frames from one gathered to the next, to the next one */
	unsigned int sites;
	uint64_t frames;    /* gathered */
	uint64_t seq;       /* of the last one gathered */
	int64_t *total;     /* of each site: its sums added up, in the detector's units */
	uint64_t *occupied; /* of each site: frames in which it was */
	int64_t *sum;       /* of each site: in the last frame gathered */
};

/* The statistics of processor index, cleared; every: 0 gathers nothing of the sites. NULL: no memory.
 * Main lcore. */
struct dip_site_stats *dip_site_stats_create(
	unsigned int index, const struct dip_detector *det, uint32_t every);

/* Add a frame's sums. The processor only. */
void dip_site_stats_gather(struct dip_site_stats *stats, const struct dip_detector *det,
	const void *sums, uint64_t seq);

/* Note a frame, and gather it if it is its turn. The processor only. */
static inline void dip_site_stats_note(struct dip_site_stats *s, const struct dip_detector *det,
	const void *sums, uint64_t seq, uint64_t occupied, uint64_t latency_ns)
{
	struct dip_last_frame *l = &s->last;

	__atomic_store_n(&l->version, l->version + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	dip_store(&l->seq, seq);
	dip_store(&l->occupied, occupied);
	dip_store(&l->latency_ns, latency_ns);
	__atomic_store_n(&l->any, true, __ATOMIC_RELAXED);
	__atomic_store_n(&l->version, l->version + 1, __ATOMIC_RELEASE);
	if (s->every != 0 && --s->until == 0)
		dip_site_stats_gather(s, det, sums, seq);
}

/* Processors first .. first + n - 1 together. Any thread, also when the run is over. */
struct dip_site_summary {
	uint64_t frames;   /* gathered */
	uint64_t occupied; /* frames of these in which it was */
	int64_t total;     /* its sums added up */
	uint64_t seq;      /* of the last frame gathered, and the sum in it */
	int64_t sum;
};

/* Returns 0; -ENOENT for a site that there is none of; -EAGAIN when the processors wrote all the
 * time. */
int dip_site_stats_read(
	unsigned int first, unsigned int n, unsigned int site, struct dip_site_summary *summary);

/* The frame of the highest seq that they have decided so far. Returns 0, -ENOENT before the first. */
int dip_last_frame_read(unsigned int first, unsigned int n, struct dip_last_frame *last);
