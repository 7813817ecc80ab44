/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame/check.h"
#include "ingest/sink.h"
#include "metrics/metrics.h"

/* Descriptors taken off for one: more than one where other lanes are as quick, or where a consumer was
 * interrupted in the midst of dequeuing; that must not cost the whole queue. */
#define TRIES 8

/* Refuse the oldest descriptor in its consumer's stead: its frame may have been recalled before. False:
 * there is none, its consumer is about to have it. */
static bool displace(const struct dip_sink *s)
{
	struct dip_frame *frame;
	struct dip_desc desc;

	if (rte_ring_dequeue_elem(s->ring, &desc, sizeof(desc)) != 0)
		return false;
	frame = dip_desc_frame(&desc);
	if (frame != NULL) {
		dip_frame_verify(frame);
		dip_frame_put(frame);
		dip_count(s->overwritten, 1);
	}
	dip_count(s->stale, 1);
	if (s->window != NULL)
		dip_window_leave_hole(s->window, desc.ticket);
	return true;
}

bool dip_sink_overwrite(const struct dip_sink *s, struct dip_desc *desc)
{
	for (unsigned int i = 0; i < TRIES && displace(s); i++)
		if (rte_ring_enqueue_elem(s->ring, desc, sizeof(*desc)) == 0)
			return true;
	return false;
}
