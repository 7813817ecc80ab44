/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_lcore.h>
#include <rte_log.h>

#include "format/format.h"
#include "frame/check.h"
#include "metrics/metrics.h"

RTE_LOG_REGISTER(dip_frame_log, dip.frame, NOTICE);

/* One writer each: an lcore, or any thread that is none, the last. */
static struct counters {
	uint64_t frame_checks;
	uint64_t frame_changes;
} __attribute__((aligned(64))) all_counters[RTE_MAX_LCORE + 1];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, frame_checks, "checks",
		"times the pixels of a frame were compared with those published; 0 but in a build "
		"with -Dcheck_frames=true"),
	DIP_METRIC(
		struct counters, frame_changes, "checks", "of these, with pixels that had changed"),
};

DIP_METRICS_REGISTER(frame_metrics, rows, all_counters)

static struct counters *own_counters(void)
{
	return &all_counters[RTE_MIN(rte_lcore_id(), (unsigned int)RTE_MAX_LCORE)];
}

void dip_frame_checksum(struct dip_frame *frame, uint32_t image_bytes)
{
	frame->image_bytes = image_bytes;
	frame->image_crc = dip_crc32c(0, frame->pixels, image_bytes);
}

void dip_frame_compare(const struct dip_frame *frame)
{
	struct counters *c = own_counters();

	dip_count(&c->frame_checks, 1);
	if (dip_crc32c(0, frame->pixels, frame->image_bytes) == frame->image_crc)
		return;
	if (c->frame_changes == 0)
		rte_log(RTE_LOG_ERR, dip_frame_log,
			"frame %" PRIu64 ": its pixels have changed since it was published\n",
			frame->seq);
	dip_count(&c->frame_changes, 1);
}

bool dip_frames_changed(void)
{
	return dip_metric_value("frame_changes") > 0;
}
