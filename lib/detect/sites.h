/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "detect/threshold.h"
#include "util/error.h"

#define DIP_SITES_MAX 100000

/* A site's pixels at most: so many of 65,535 add up to 2^32 - 1. */
#define DIP_SITE_PIXELS 65537

/* A site: a patch of pixels whose weighted sum is compared with a threshold. */
struct dip_site {
	uint16_t row, col;      /* top left pixel */
	uint16_t h, w;          /* pixels */
	const int16_t *weights; /* row-major h * w, NULL: all ones; owned by its dip_sites */
	const char *name;       /* "" for none; owned by its dip_sites */
	int64_t threshold;      /* counts: occupied iff the sum >= threshold */
	double lambda_empty, lambda_occ;       /* mean counts; NaN: unknown */
	double false_positive, false_negative; /* predicted; NaN: unknown */
};

struct dip_sites {
	unsigned int count;
	struct dip_site *site;         /* in the order of the results; owned */
	struct dip_sites_block *store; /* what names and weights point into; owned; NULL: none */
};

/* The original's grid: boxes of roi_h x roi_w whose top left corners are at row_start,
 * row_start + roi_h, ... < row_end and likewise for columns; ends are exclusive. */
struct dip_grid {
	int64_t row_start, col_start, row_end, col_end;
	int64_t roi_h, roi_w;
};

/* Lay out the grid on a frame of width x height pixels. Refused with -EINVAL and one line naming
 * the pois.* key: an ROI of zero size, no ROI at all, a box that leaves the frame, more than
 * 100,000 sites, a box of more than 65,537 pixels. Thresholds are 0 and what else is known of a
 * site is NaN until dip_sites_poisson. On success the caller frees out with dip_sites_free. */
int dip_sites_grid(const struct dip_grid *grid, uint32_t width, uint32_t height,
	struct dip_sites *out, struct dip_error *err);

/* Every site gets this threshold, which those mean counts gave. */
void dip_sites_poisson(struct dip_sites *sites, double lambda_empty, double lambda_occ,
	const struct dip_threshold *threshold);

/* What the sites have in common. */
struct dip_sites_span {
	int64_t threshold_min, threshold_max;
	double false_positive,
		false_negative; /* predicted, the mean of all sites; NaN: not known */
};

void dip_sites_span(const struct dip_sites *sites, struct dip_sites_span *span);

/* Memory that lives as long as the sites do, 64-byte aligned; NULL: there is none. */
void *dip_sites_store(struct dip_sites *sites, size_t bytes);

void dip_sites_free(struct dip_sites *sites);
