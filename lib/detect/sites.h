/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "util/error.h"

/* A site: a box of pixels whose sum is compared with a threshold. */
struct dip_site {
	uint16_t row, col; /* top left pixel */
	uint16_t h, w;     /* pixels */
};

struct dip_sites {
	unsigned int count;
	struct dip_site *site; /* row-major over the grid; owned */
};

/* The original's grid: boxes of roi_h x roi_w whose top left corners are at row_start,
 * row_start + roi_h, ... < row_end and likewise for columns; ends are exclusive. */
struct dip_grid {
	int64_t row_start, col_start, row_end, col_end;
	int64_t roi_h, roi_w;
};

/* Lay out the grid on a frame of width x height pixels. Refused with -EINVAL and one line naming
 * the pois.* key: an ROI of zero size, no ROI at all, a box that leaves the frame, more than
 * 100,000 sites, a box whose sum could exceed 32 bits. On success the caller frees
 * out with dip_sites_free. */
int dip_sites_grid(const struct dip_grid *grid, uint32_t width, uint32_t height,
	struct dip_sites *out, struct dip_error *err);

void dip_sites_free(struct dip_sites *sites);
