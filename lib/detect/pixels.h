/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* What a pixel counts, before any weight:
 *
 *	value = (pixel - offset) / gain         without maps: the pixel itself
 *	value = value >= least ? 1 : 0          when least > 0
 *	value = 0                               where hot
 */
struct dip_pixels {
	uint32_t width, height;
	double *offset; /* pixel value without light; NULL: 0 everywhere */
	double *gain;   /* pixel value for each count; NULL: 1 everywhere */
	uint8_t *hot;   /* not 0: counts nothing; NULL: none */
	double least;   /* 0: pixels count what they are */
};

static inline bool dip_pixels_plain(const struct dip_pixels *p)
{
	return p == NULL ||
	       (p->offset == NULL && p->gain == NULL && p->hot == NULL && p->least == 0);
}

struct dip_pixels_conf {
	uint32_t width, height; /* of the frame */
	/* .npy files of two dimensions, the frame's; "": none */
	const char *offset_map, *gain_map;
	/* The same, where not 0 is hot; or of shape (N, 2): row and column of each hot pixel; or a list
	 * in the text itself, as "12:40, 13:41"; "": none */
	const char *hot_pixels;
	double least;
};

/* Read the maps. Returns 0 and *out, to be freed with dip_pixels_free, or a negative errno with *err
 * naming the pois.* key; *out is untouched then. Control thread only. */
int dip_pixels_load(
	const struct dip_pixels_conf *conf, struct dip_pixels *out, struct dip_error *err);
void dip_pixels_free(struct dip_pixels *pixels);
