/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/segment.h"
#include "nexus/nexus.h"

/* Keeps run.h5 (nexus/nexus.h) up to date with the segments of a run that have been closed and are still
 * there. One thread, the keeper's. */

struct dip_sidecar {
	const struct dip_segment_conf *conf;
	struct dip_nexus_segment *segment; /* names and numbers are owned */
	size_t segments, room;
	uint64_t next_ns; /* not to be written before */
	bool dirty;       /* there is a segment that is not in the file */
	bool failing;     /* inside an episode */
};

/* Note a segment that is about to be closed; how many of its records are durable is known after
 * that. Returns its place for dip_sidecar_closed, or -1 without memory: it will be missing. */
int dip_sidecar_closing(struct dip_sidecar *sidecar, const struct dip_segment *segment);
void dip_sidecar_closed(struct dip_sidecar *sidecar, int place, const struct dip_segment *segment);

/* Write it when that is due; now: whenever something is missing in it. The time between two is at
 * least ten times what one takes. Returns 0, or a negative errno with *err. */
int dip_sidecar_write(struct dip_sidecar *sidecar, bool now, struct dip_error *err);

void dip_sidecar_free(struct dip_sidecar *sidecar);
