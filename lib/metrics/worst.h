/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "metrics/peak.h"

/* The slowest frames of the present window (peak.h), one writer each, merged when read. */

#define DIP_WORST 16

struct dip_worst_frame {
	uint64_t seq;
	uint64_t timestamp_ns; /* its arrival, UTC */
	uint64_t dequeued_ns;  /* from there until a processor took it */
	uint64_t result_ns;    /* and until it was decided */
};

/* A frame stays in its place until a slower one takes it. Its version is odd while that happens: a
 * reader that saw it odd, or changed, reads that place again. */
struct dip_worst_place {
	uint64_t version; /* atomic */
	struct dip_worst_frame frame;
};

struct dip_worst {
	uint64_t source; /* whose windows; set before the first frame */
	uint64_t window; /* atomic: that the frames are of */
	uint64_t count;  /* atomic: places in use */
	uint64_t bar;    /* as slow as the fastest of them, when there are DIP_WORST; else 0 */
	uint64_t last;   /* where that one is, the next to go */
	struct dip_worst_place place[DIP_WORST]; /* in no order */
} __attribute__((aligned(64)));

/* Would a frame be among them? Nearly always not; the writer's thread only. */
static inline bool dip_worst_wants(const struct dip_worst *w, uint64_t result_ns)
{
	return result_ns > w->bar || dip_peak_window_of(w->source) != w->window;
}

/* Note a frame that is wanted. The writer's thread only. */
void dip_worst_note(struct dip_worst *worst, const struct dip_worst_frame *frame);

/* The slowest of all n, slowest first. Returns how many (0..DIP_WORST). Any thread. A place whose
 * writer has been stopped in the middle of it is left out after some milliseconds. */
unsigned int dip_worst_read(
	const struct dip_worst *worst, unsigned int n, struct dip_worst_frame out[DIP_WORST]);
