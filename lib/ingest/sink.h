/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_ring_elem.h>

#include "frame/frame.h"
#include "results/window.h"

/* A sink's queue, as one ingest fills it. */
struct dip_sink {
	struct rte_ring *ring;     /* of struct dip_desc */
	struct dip_window *window; /* whose tickets the descriptors have, or NULL */
	/* What a frame's state gains with the queue's reference, state.h: 0 where it is the caller's own; where
	 * frames are overwritten one of the kind queued, in place of the caller's or beside it. */
	uint64_t reference;
	/* A full queue gives up its oldest descriptor for a new one; the ring must let several threads
	 * dequeue. */
	bool overwrite;
	/* Counters of the ingest: descriptors refused in the sink's stead, and those of them whose frame
	 * was still there. */
	uint64_t *stale, *overwritten;
};

/* Put a descriptor into the place of the oldest ones. Returns false when that fails: the one who
 * dequeues them was interrupted in the midst of it. */
bool dip_sink_overwrite(const struct dip_sink *sink, struct dip_desc *desc);

/* Queue a frame, with a reference of the caller's. Returns false when the queue is full; the frame is as
 * it was then. */
static inline bool dip_sink_put(
	const struct dip_sink *sink, struct dip_frame *frame, uint64_t ticket)
{
	struct dip_desc desc = dip_frame_desc(frame, ticket);

	if (sink->reference != 0)
		dip_state_add(&frame->state, sink->reference);
	if (likely(rte_ring_enqueue_elem(sink->ring, &desc, sizeof(desc)) == 0))
		return true;
	if (sink->overwrite && dip_sink_overwrite(sink, &desc))
		return true;
	if (sink->reference != 0)
		dip_state_add(&frame->state, -sink->reference);
	return false;
}
