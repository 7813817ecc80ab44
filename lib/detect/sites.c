/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "detect/sites.h"

#define FRAME_MAX 65535
/* One direction of the grid: its numbers and what they are called. */
struct axis {
	const char *start_key, *end_key, *roi_key, *frame_key;
	int64_t start, end, roi, frame;
};

/* 0 when every number of the axis makes sense by itself; whether the boxes fit comes after. */
static int check_axis(const struct axis *a, struct dip_error *err)
{
	if (a->frame < 1 || a->frame > FRAME_MAX)
		return dip_fail(err, EINVAL,
			"%s: found %" PRId64
			", expected 1 to %d pixels; the frame has no such size",
			a->frame_key, a->frame, FRAME_MAX);
	if (a->roi < 1 || a->roi > a->frame)
		return dip_fail(err, EINVAL,
			"%s: found %" PRId64 ", expected 1 to %" PRId64
			" pixels, the size of the frame; set it to the size of one site",
			a->roi_key, a->roi, a->frame);
	if (a->start < 0 || a->start >= a->frame)
		return dip_fail(err, EINVAL,
			"%s: found %" PRId64 ", expected 0 to %" PRId64
			"; the first ROI must begin inside the frame",
			a->start_key, a->start, a->frame - 1);
	if (a->end <= a->start)
		return dip_fail(err, EINVAL,
			"%s: found %" PRId64 ", expected more than %s = %" PRId64
			"; the end is exclusive, so that there is no ROI at all",
			a->end_key, a->end, a->start_key, a->start);
	return 0;
}

/* Where along the axis the first box that leaves the frame begins, -1 when all stay inside. Found
 * without counting boxes, so that no end, however far, overflows. */
static int64_t first_outside(const struct axis *a)
{
	int64_t begin = a->start + (a->frame - a->start) / a->roi * a->roi;

	return begin < a->end ? begin : -1;
}

/* The box that begins at `outside` on axis a leaves the frame; on the other axis the first one
 * stands for all. */
static int fail_outside(const struct axis *a, int64_t outside, const struct axis *rows,
	const struct axis *cols, struct dip_error *err)
{
	int64_t row = a == rows ? outside : rows->start;
	int64_t col = a == cols ? outside : cols->start;
	char remedy[128];

	if (outside > a->start)
		snprintf(remedy, sizeof(remedy), "set %s to %" PRId64 " or less", a->end_key,
			outside);
	else
		snprintf(remedy, sizeof(remedy), "lower %s or %s", a->start_key, a->roi_key);
	return dip_fail(err, EINVAL,
		"%s: found %" PRId64 ": box at row %" PRId64 ", col %" PRId64 " of %" PRId64
		"x%" PRId64 " leaves the frame of %" PRId64 " x %" PRId64 "; %s",
		a->end_key, a->end, row, col, rows->roi, cols->roi, rows->frame, cols->frame,
		remedy);
}

static int64_t boxes_along(const struct axis *a)
{
	return (a->end - a->start + a->roi - 1) / a->roi;
}

static int check_grid(const struct axis *rows, const struct axis *cols, struct dip_error *err)
{
	int64_t outside, pixels;

	outside = first_outside(rows);
	if (outside >= 0)
		return fail_outside(rows, outside, rows, cols, err);
	outside = first_outside(cols);
	if (outside >= 0)
		return fail_outside(cols, outside, rows, cols, err);
	pixels = rows->roi * cols->roi;
	if (pixels > DIP_SITE_PIXELS)
		return dip_fail(err, EINVAL,
			"pois.roi_h, pois.roi_w: found %" PRId64 "x%" PRId64 " = %" PRId64
			" pixels, expected at most %d, since the sum of more could exceed "
			"32 bits; make the ROI smaller",
			rows->roi, cols->roi, pixels, DIP_SITE_PIXELS);
	if (boxes_along(rows) * boxes_along(cols) > DIP_SITES_MAX)
		return dip_fail(err, EINVAL,
			"pois.row_end, pois.col_end: found %" PRId64 " rows of %" PRId64
			" sites, expected at most %d sites; bring the ends closer or make the "
			"ROI larger",
			boxes_along(rows), boxes_along(cols), DIP_SITES_MAX);
	return 0;
}

int dip_sites_grid(const struct dip_grid *grid, uint32_t width, uint32_t height,
	struct dip_sites *out, struct dip_error *err)
{
	const struct axis rows = {"pois.row_start", "pois.row_end", "pois.roi_h", "main.image_h",
		grid->row_start, grid->row_end, grid->roi_h, height};
	const struct axis cols = {"pois.col_start", "pois.col_end", "pois.roi_w", "main.image_w",
		grid->col_start, grid->col_end, grid->roi_w, width};
	struct dip_site *site;
	unsigned int count, i = 0;
	int rc;

	rc = check_axis(&rows, err);
	if (rc == 0)
		rc = check_axis(&cols, err);
	if (rc == 0)
		rc = check_grid(&rows, &cols, err);
	if (rc != 0)
		return rc;

	count = (unsigned int)(boxes_along(&rows) * boxes_along(&cols));
	site = calloc(count, sizeof(*site));
	if (site == NULL)
		return dip_fail(err, ENOMEM, "sites: no memory for %u of them", count);
	for (int64_t row = rows.start; row < rows.end; row += rows.roi) {
		for (int64_t col = cols.start; col < cols.end; col += cols.roi)
			site[i++] = (struct dip_site){.row = (uint16_t)row,
				.col = (uint16_t)col,
				.h = (uint16_t)rows.roi,
				.w = (uint16_t)cols.roi,
				.name = "",
				.lambda_empty = NAN,
				.lambda_occ = NAN,
				.false_positive = NAN,
				.false_negative = NAN};
	}
	*out = (struct dip_sites){.count = count, .site = site};
	return 0;
}

void dip_sites_poisson(struct dip_sites *sites, double lambda_empty, double lambda_occ,
	const struct dip_threshold *threshold)
{
	for (unsigned int i = 0; i < sites->count; i++) {
		struct dip_site *s = &sites->site[i];

		s->threshold = threshold->t;
		s->lambda_empty = lambda_empty;
		s->lambda_occ = lambda_occ;
		s->false_positive = threshold->false_positive;
		s->false_negative = threshold->false_negative;
	}
}

/* The number at that offset when it is the same in every site, else the mean. */
static double all_same(const struct dip_sites *sites, size_t offset, double mean)
{
	const double *first = (const double *)((const char *)&sites->site[0] + offset);

	for (unsigned int i = 1; i < sites->count; i++)
		if (*(const double *)((const char *)&sites->site[i] + offset) != *first)
			return mean;
	return *first;
}

void dip_sites_span(const struct dip_sites *sites, struct dip_sites_span *span)
{
	struct dip_sites_span s = {INT64_MAX, INT64_MIN, 0, 0};

	for (unsigned int i = 0; i < sites->count; i++) {
		int64_t t = sites->site[i].threshold;

		s.threshold_min = t < s.threshold_min ? t : s.threshold_min;
		s.threshold_max = t > s.threshold_max ? t : s.threshold_max;
		s.false_positive += sites->site[i].false_positive / sites->count;
		s.false_negative += sites->site[i].false_negative / sites->count;
	}
	if (s.threshold_min == s.threshold_max) { /* most often all the same: without rounding */
		s.false_positive = all_same(
			sites, offsetof(struct dip_site, false_positive), s.false_positive);
		s.false_negative = all_same(
			sites, offsetof(struct dip_site, false_negative), s.false_negative);
	}
	*span = s;
}

struct dip_sites_block {
	struct dip_sites_block *next;
	uint8_t bytes[] __attribute__((aligned(64)));
};

void *dip_sites_store(struct dip_sites *sites, size_t bytes)
{
	struct dip_sites_block *b = aligned_alloc(64, (sizeof(*b) + bytes + 63) / 64 * 64);

	if (b == NULL)
		return NULL;
	b->next = sites->store;
	sites->store = b;
	return b->bytes;
}

void dip_sites_free(struct dip_sites *sites)
{
	struct dip_sites_block *next;

	for (struct dip_sites_block *b = sites->store; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(sites->site);
	*sites = (struct dip_sites){0};
}
