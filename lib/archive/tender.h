/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "archive/segment.h"
#include "archive/sidecar.h"

/* What the keeper's thread does to the segments of a run, counted and logged. */

struct dip_archive_counters;

struct dip_tender {
	struct dip_archive_counters *counters; /* its own */
	bool with_sidecar;
	struct dip_sidecar sidecar;
	bool index_failing; /* inside an episode */
};

/* End the segment if it has been removed behind our back (arch_segment_errors). */
void dip_tend_look(struct dip_tender *tender, struct dip_segment *segment);

/* One round for all: cut those that are retired (the first ones), make durable and index what is
 * written (arch_durable, or arch_condemned). Returns how many were condemned. */
unsigned int dip_tend_sync(struct dip_tender *tender, struct dip_segment **segments,
	unsigned int count, unsigned int retired);

/* Close the retired ones that are finished, note them for run.h5, put them into closed. give_up: all
 * of them, whatever cannot be made durable (arch_segment_errors). Returns how many. */
unsigned int dip_tend_close(struct dip_tender *tender, struct dip_segment **segments,
	unsigned int retired, bool give_up, struct dip_segment **closed);

/* Bring run.h5 up to date when that is due, or now. */
void dip_tend_sidecar(struct dip_tender *tender, bool now);
