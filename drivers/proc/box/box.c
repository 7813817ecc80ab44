/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "box.h"

/* The "box" detector: a site's count is the sum of its box of pixels. */

static struct dip_detector_ops box_ops;

/* Best first: "auto" takes the first one that this CPU supports. */
static const struct box_kernel *const kernels[] = {
#ifdef __x86_64__
	&box_kernel_avx512,
	&box_kernel_avx2,
#endif
	&box_kernel_scalar,
};

#define KERNELS (sizeof(kernels) / sizeof(kernels[0]))

static int find_kernel(const char *name, const struct box_kernel **kernel, struct dip_error *err)
{
	char known[128] = "auto";
	size_t len;

	for (size_t i = 0; i < KERNELS; i++) {
		bool any = strcmp(name, "auto") == 0;

		if (any && !kernels[i]->supported())
			continue;
		if (any || strcmp(name, kernels[i]->name) == 0) {
			*kernel = kernels[i];
			break;
		}
		len = strlen(known);
		snprintf(known + len, sizeof(known) - len, ", %s", kernels[i]->name);
	}
	if (*kernel == NULL)
		return dip_fail(err, EINVAL,
			"box detector: found kernel \"%s\", expected one of %s; "
			"use auto to have the best one chosen",
			name, known);
	if (!(*kernel)->supported())
		return dip_fail(err, ENOTSUP,
			"box detector: found kernel \"%s\", which needs %s, and this CPU "
			"lacks it; use auto to have the best one chosen",
			name, (*kernel)->needs);
	return 0;
}

/* The kernels trust the boxes from here on. */
static int check_conf(const struct dip_detector_conf *conf, struct dip_error *err)
{
	const struct dip_sites *sites = conf->sites;

	if (sites->count == 0)
		return dip_fail(err, EINVAL,
			"box detector: found no site, expected at least one; check the pois group");
	for (unsigned int i = 0; i < sites->count; i++) {
		const struct dip_site *s = &sites->site[i];

		if (s->weights != NULL)
			return dip_fail(err, EINVAL,
				"box detector: site %u: found weights, expected none; this "
				"detector sums boxes only",
				i);
		if (s->h == 0 || s->w == 0 || (uint32_t)s->row + s->h > conf->height ||
			(uint32_t)s->col + s->w > conf->width)
			return dip_fail(err, EINVAL,
				"box detector: site %u: found a box at row %u, col %u of %ux%u, "
				"expected one inside the frame of %u x %u; move it or shrink it",
				i, s->row, s->col, s->h, s->w, conf->height, conf->width);
		if ((uint32_t)s->h * s->w > DIP_SITE_PIXELS)
			return dip_fail(err, EINVAL,
				"box detector: site %u: found a box of %ux%u, expected at most %d "
				"pixels, since the sum of more could exceed 32 bits; shrink it",
				i, s->h, s->w, DIP_SITE_PIXELS);
	}
	return 0;
}

/* Does site `next` continue the run, whose last box is `last`? */
static bool continues(
	const struct box_run *run, const struct dip_site *last, const struct dip_site *next)
{
	return next->row == last->row && next->h == last->h && next->w == last->w &&
	       (uint32_t)last->col + last->w == next->col &&
	       (run->count + 1) * run->w <= BOX_RUN_PIXELS;
}

static void lay_runs(struct box *box, const struct dip_sites *sites)
{
	struct box_run *run = NULL;

	for (unsigned int i = 0; i < sites->count; i++) {
		const struct dip_site *s = &sites->site[i];

		if (run != NULL && continues(run, s - 1, s)) {
			run->count++;
			continue;
		}
		run = &box->run[box->runs++];
		run->offset = s->row * box->stride + s->col;
		run->h = s->h;
		run->w = s->w;
		run->first = i;
		run->count = 1;
	}
}

/* 32 bits hold every sum and how far it is from the limit. */
static bool fits_narrow(const struct dip_site *s)
{
	int64_t most = (int64_t)s->h * s->w * UINT16_MAX;

	return most <= INT32_MAX && s->threshold >= most - INT32_MAX && s->threshold <= INT32_MAX;
}

static int set_limits(struct box *box, const struct dip_sites *sites)
{
	box->limit = calloc(sites->count, sizeof(box->limit[0]));
	box->limit32 = calloc(sites->count, sizeof(box->limit32[0]));
	if (box->limit == NULL || box->limit32 == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < sites->count; i++) {
		box->limit[i] = sites->site[i].threshold;
		box->limit32[i] = (int32_t)sites->site[i].threshold;
		box->det.wide |= !fits_narrow(&sites->site[i]);
	}
	box->det.limit = box->limit;
	return 0;
}

static void box_destroy(struct dip_detector *det)
{
	struct box *box = (struct box *)det;

	if (box == NULL)
		return;
	free(box->limit);
	free(box->limit32);
	free(box);
}

static int box_create(
	struct dip_detector **det, const struct dip_detector_conf *conf, struct dip_error *err)
{
	const struct box_kernel *kernel = NULL;
	struct box *box;
	int rc;

	rc = find_kernel(conf->kernel, &kernel, err);
	if (rc == 0)
		rc = check_conf(conf, err);
	if (rc != 0)
		return rc;
	box = calloc(1, sizeof(*box) + conf->sites->count * sizeof(box->run[0]));
	if (box == NULL || set_limits(box, conf->sites) < 0) {
		box_destroy(&box->det);
		return dip_fail(
			err, ENOMEM, "box detector: no memory for %u sites", conf->sites->count);
	}
	box->det.ops = &box_ops;
	box->det.kernel = kernel->name;
	box->det.sites = conf->sites->count;
	box->det.scale = 1;
	box->kernel = kernel;
	box->stride = conf->width;
	box->pixels = (size_t)conf->width * conf->height;
	lay_runs(box, conf->sites);
	*det = &box->det;
	return 0;
}

/* Make 64 bits of each 32, where they stand. */
static void widen(void *sums, unsigned int count)
{
	const uint32_t *from = sums;
	int64_t *to = sums;

	for (unsigned int i = count; i-- > 0;)
		to[i] = from[i];
}

static unsigned int compare_wide(
	const int64_t *sums, const int64_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int bit = sums[i] >= limits[i];

		bits[i / 8] |= (uint8_t)(bit << i % 8);
		occupied += bit;
	}
	return occupied;
}

static void box_sums(const struct dip_detector *det, const uint16_t *pixels, void *sums)
{
	const struct box *box = (const struct box *)det;

	box->kernel->sums(box, pixels, sums);
	if (det->wide)
		widen(sums, det->sites);
}

static unsigned int box_detect(
	const struct dip_detector *det, const uint16_t *pixels, void *sums, uint8_t *bits)
{
	const struct box *box = (const struct box *)det;

	box_sums(det, pixels, sums);
	memset(bits, 0, dip_occupancy_bytes(det->sites));
	if (det->wide)
		return compare_wide(sums, box->limit, det->sites, bits);
	return box->kernel->compare(sums, box->limit32, det->sites, bits);
}

static struct dip_detector_ops box_ops = {
	.name = "box",
	.create = box_create,
	.sums = box_sums,
	.detect = box_detect,
	.destroy = box_destroy,
};

DIP_DETECTOR_REGISTER(box_ops)
