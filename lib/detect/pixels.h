/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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
