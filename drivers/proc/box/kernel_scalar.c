/* SPDX-License-Identifier: BSD-3-Clause */
#include "box.h"

/* The kernel that the others are compared with: box by box, row by row. */

static bool scalar_supported(void)
{
	return true;
}

static uint32_t sum_box(const uint16_t *pixels, size_t stride, uint32_t h, uint32_t w)
{
	uint32_t sum = 0;

	for (uint32_t row = 0; row < h; row++, pixels += stride) {
		for (uint32_t col = 0; col < w; col++)
			sum += pixels[col];
	}
	return sum;
}

static void scalar_sums(const struct box *box, const uint16_t *pixels, uint32_t *sums)
{
	for (unsigned int r = 0; r < box->runs; r++) {
		const struct box_run *run = &box->run[r];

		for (unsigned int i = 0; i < run->count; i++)
			sums[run->first + i] = sum_box(pixels + run->offset + (size_t)i * run->w,
				box->stride, run->h, run->w);
	}
}

static unsigned int scalar_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int bit = sums[i] >= limits[i];

		bits[i / 8] |= (uint8_t)(bit << i % 8);
		occupied += bit;
	}
	return occupied;
}

const struct box_kernel box_kernel_scalar = {
	.name = "scalar",
	.needs = "any CPU",
	.supported = scalar_supported,
	.sums = scalar_sums,
	.compare = scalar_compare,
};
