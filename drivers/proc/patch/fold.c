/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

/* How many bits of the weights may be given up for sums of 32 bits. */
#define NARROW_BITS 7
#define SCALE_BITS_MAX 30
/* No sum comes near it: 65,537 weights of 16 bits with pixels of 16 bits are below 2^49. */
#define LIMIT_MAX ((int64_t)1 << 60)

struct folder {
	struct patch *patch;
	const struct dip_detector_conf *conf;
	const struct dip_pixels *pixels; /* NULL: they are plain */
	struct patch_store *store;
	int16_t *rows; /* of the site at hand: h rows of patch_row(w) */
	size_t size;   /* numbers that rows has room for */
	struct dip_error *err;
};

static double offset_at(const struct dip_pixels *p, size_t at)
{
	return p->offset != NULL ? p->offset[at] : 0;
}

static double gain_at(const struct dip_pixels *p, size_t at)
{
	return p->gain != NULL ? p->gain[at] : 1;
}

static bool is_hot(const struct dip_pixels *p, size_t at)
{
	return p->hot != NULL && p->hot[at] != 0;
}

/* Pixel (row, col) of the site: where in the frame. */
static size_t at_of(const struct folder *f, const struct dip_site *s, uint32_t row, uint32_t col)
{
	return ((size_t)s->row + row) * f->conf->width + s->col + col;
}

static int weight_of(const struct dip_site *s, uint32_t row, uint32_t col)
{
	return s->weights != NULL ? s->weights[(size_t)row * s->w + col] : 1;
}

static int check_pixel(const struct folder *f, unsigned int site, size_t at)
{
	const struct dip_pixels *p = f->pixels;
	size_t row = at / f->conf->width, col = at % f->conf->width;

	if (!isfinite(offset_at(p, at)) || fabs(offset_at(p, at)) > 1e9)
		return dip_fail(f->err, EINVAL,
			"pois.offset_map: row %zu, column %zu, in site %u (%s): found %g, expected "
			"a "
			"number; mend the map, or mark the pixel in pois.hot_pixels",
			row, col, site, f->conf->sites->site[site].name, offset_at(p, at));
	if (!(gain_at(p, at) > 0) || !isfinite(gain_at(p, at)))
		return dip_fail(f->err, EINVAL,
			"pois.gain_map: row %zu, column %zu, in site %u (%s): found %g, expected a "
			"number above 0; mend the map, or mark the pixel in pois.hot_pixels",
			row, col, site, f->conf->sites->site[site].name, gain_at(p, at));
	return 0;
}

/* The largest |weight / gain|, and whether a scale of 1 is exact; checks the maps on the way. */
static int survey(const struct folder *f, double *largest, bool *whole)
{
	const struct dip_pixels *p = f->pixels;

	*largest = 0;
	*whole = p->gain == NULL;
	for (unsigned int i = 0; i < f->conf->sites->count; i++) {
		const struct dip_site *s = &f->conf->sites->site[i];

		for (uint32_t k = 0; k < (uint32_t)s->h * s->w; k++) {
			size_t at = at_of(f, s, k / s->w, k % s->w);
			double weight;

			if (is_hot(p, at))
				continue;
			if (check_pixel(f, i, at) < 0)
				return -EINVAL;
			weight = fabs(weight_of(s, k / s->w, k % s->w) / gain_at(p, at));
			*largest = weight > *largest ? weight : *largest;
			*whole &= offset_at(p, at) == rint(offset_at(p, at));
		}
	}
	return 0;
}

/* A site's weights and constant under the maps at that scale. Returns whether the limit can be met
 * and missed. least_sum, most_sum: what the sum can be. */
static void fold_site(const struct folder *f, const struct dip_site *s, double scale,
	struct patch_site *out, int64_t *least_sum, int64_t *most_sum)
{
	const struct dip_pixels *p = f->pixels;
	uint32_t row = patch_row(s->w);
	double constant = 0;
	int64_t low = 0, high = 0;

	memset(f->rows, 0, (size_t)s->h * row * sizeof(f->rows[0]));
	for (uint32_t k = 0; k < (uint32_t)s->h * s->w; k++) {
		size_t at = at_of(f, s, k / s->w, k % s->w);
		int weight = weight_of(s, k / s->w, k % s->w);

		if (p != NULL && is_hot(p, at))
			weight = 0;
		else if (p != NULL && p->least > 0)
			weight = ceil(offset_at(p, at) + gain_at(p, at) * p->least) <= UINT16_MAX
					 ? weight
					 : 0;
		else if (p != NULL) {
			weight = (int)lrint(scale * weight / gain_at(p, at));
			constant -= weight * offset_at(p, at);
		}
		f->rows[(size_t)(k / s->w) * row + k % s->w] = (int16_t)weight;
		low += weight < 0 ? weight : 0;
		high += weight > 0 ? weight : 0;
	}
	out->constant = llrint(constant);
	*least_sum = out->constant + low * (f->patch->counting ? 1 : UINT16_MAX);
	*most_sum = out->constant + high * (f->patch->counting ? 1 : UINT16_MAX);
}

/* T S - S / 2. */
static int64_t limit_of(const struct dip_site *s, int64_t scale)
{
	int64_t limit;

	if (__builtin_mul_overflow(s->threshold, scale, &limit))
		return s->threshold < 0 ? -LIMIT_MAX : LIMIT_MAX;
	return limit - scale / 2;
}

/* 32 bits hold every sum and how far it is from the limit. */
static bool fits_narrow(int64_t least_sum, int64_t most_sum, int64_t limit)
{
	return least_sum >= INT32_MIN && most_sum <= INT32_MAX && limit >= INT32_MIN &&
	       limit <= INT32_MAX && most_sum - limit <= INT32_MAX &&
	       least_sum - limit >= INT32_MIN;
}

static bool all_narrow(const struct folder *f, int64_t scale)
{
	for (unsigned int i = 0; i < f->conf->sites->count; i++) {
		const struct dip_site *s = &f->conf->sites->site[i];
		int64_t least_sum, most_sum;
		struct patch_site out;

		fold_site(f, s, scale, &out, &least_sum, &most_sum);
		if (!fits_narrow(least_sum, most_sum, limit_of(s, scale)))
			return false;
	}
	return true;
}

static int choose_scale(const struct folder *f)
{
	double largest;
	int bits = SCALE_BITS_MAX;
	bool whole;

	f->patch->det.scale = 1;
	if (f->pixels == NULL || f->patch->counting) {
		f->patch->det.wide = !all_narrow(f, 1);
		return 0;
	}
	if (survey(f, &largest, &whole) < 0)
		return -EINVAL;
	while (bits > 0 && rint(largest * (double)(1u << bits)) > INT16_MAX)
		bits--;
	if (f->pixels->gain != NULL && rint(largest * (double)(1u << bits)) > INT16_MAX)
		return dip_fail(f->err, EINVAL,
			"pois.gain_map: found a weight divided by its gain of %g, expected at most "
			"%d; "
			"use smaller weights",
			largest, INT16_MAX);
	if (whole)
		bits = 0;
	for (int b = bits; b >= 0 && b >= bits - NARROW_BITS; b--) {
		if (all_narrow(f, (int64_t)1 << b)) {
			f->patch->det.scale = 1u << b;
			return 0;
		}
	}
	f->patch->det.scale = 1u << bits;
	f->patch->det.wide = true;
	return 0;
}

/* A threshold beyond what the pixels can add up to is a mistake that only the maps bring to light:
 * the sites' file was checked without them. */
static int check_reach(
	const struct folder *f, unsigned int i, int64_t least_sum, int64_t most_sum, int64_t limit)
{
	const struct dip_site *s = &f->conf->sites->site[i];
	double scale = f->patch->det.scale;

	if (f->pixels == NULL || (limit > least_sum && limit <= most_sum))
		return 0;
	return dip_fail(f->err, EINVAL,
		"site %u (%s) at row %u, col %u: found threshold %" PRId64 ", expected one that is "
		"reached and missed: with the hot pixels, maps and pixel threshold of the pois "
		"group "
		"its count is %g to %g; change those, or its threshold",
		i, s->name, s->row, s->col, s->threshold, (double)least_sum / scale,
		(double)most_sum / scale);
}

static int fold_all(const struct folder *f)
{
	struct patch *patch = f->patch;

	for (unsigned int k = 0; k < f->conf->sites->count; k++) {
		unsigned int i = patch->place[k].site;
		const struct dip_site *s = &f->conf->sites->site[i];
		struct patch_site *out = &patch->site[i];
		int64_t least_sum, most_sum;

		fold_site(f, s, patch->det.scale, out, &least_sum, &most_sum);
		patch->limit[i] = limit_of(s, patch->det.scale);
		patch->limit32[i] = (int32_t)patch->limit[i];
		if (check_reach(f, i, least_sum, most_sum, patch->limit[i]) < 0)
			return -EINVAL;
		if (s->weights == NULL && f->pixels == NULL)
			continue;
		out->weights = patch_store_keep(f->store, f->rows, (size_t)s->h * patch_row(s->w));
		if (out->weights == NULL)
			return dip_fail(f->err, ENOMEM, "detector: no memory for the weights");
	}
	return 0;
}

/* What each pixel must have to count. */
static int map_least(const struct folder *f)
{
	const struct dip_pixels *p = f->pixels;
	struct patch *patch = f->patch;
	uint16_t *map;

	patch->counting = p != NULL && p->least > 0;
	if (!patch->counting)
		return 0;
	patch->least = (uint16_t)fmin(ceil(p->least), UINT16_MAX);
	if (p->offset == NULL && p->gain == NULL)
		return 0;
	map = malloc(patch->pixels * sizeof(map[0]));
	if (map == NULL)
		return dip_fail(f->err, ENOMEM, "detector: no memory for the pixels' thresholds");
	for (size_t i = 0; i < patch->pixels; i++) {
		double least = ceil(offset_at(p, i) + gain_at(p, i) * p->least);

		/* NaN, where no site is or a hot pixel: whatever. */
		map[i] = least > 0 ? (uint16_t)fmin(least, UINT16_MAX) : 0;
	}
	patch->least_map = map;
	return 0;
}

int patch_fold(struct patch *patch, const struct dip_detector_conf *conf, struct patch_store *store,
	struct dip_error *err)
{
	struct folder f = {.patch = patch,
		.conf = conf,
		.store = store,
		.err = err,
		.pixels = dip_pixels_plain(conf->pixels) ? NULL : conf->pixels,
		.size = 1}; /* a site has a pixel */
	double largest;
	bool whole;
	int ret;

	for (unsigned int i = 0; i < conf->sites->count; i++) {
		const struct dip_site *s = &conf->sites->site[i];
		size_t size = (size_t)s->h * patch_row(s->w);

		f.size = size > f.size ? size : f.size;
	}
	f.rows = malloc(f.size * sizeof(f.rows[0]));
	if (f.rows == NULL)
		return dip_fail(err, ENOMEM, "detector: no memory for a site's weights");
	ret = map_least(&f);
	if (ret == 0 && patch->counting)
		ret = survey(&f, &largest, &whole);
	if (ret == 0)
		ret = choose_scale(&f);
	if (ret == 0)
		ret = fold_all(&f);
	free(f.rows);
	return ret;
}
