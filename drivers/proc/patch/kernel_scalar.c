/* SPDX-License-Identifier: BSD-3-Clause */
#include "patch.h"

/* The kernel that the others are compared with: site by site, row by row, by the definition. */

static bool scalar_supported(void)
{
	return true;
}

static int64_t value_of(const struct patch *patch, const uint16_t *pixels, size_t at)
{
	if (!patch->counting)
		return pixels[at];
	return pixels[at] >= (patch->least_map != NULL ? patch->least_map[at] : patch->least);
}

int64_t patch_sum_site(
	const struct patch *patch, const struct patch_site *site, const uint16_t *pixels)
{
	uint32_t row_weights = patch_row(site->w);
	const int16_t *weights = site->weights;
	int64_t sum = site->constant;

	for (uint32_t row = 0; row < site->h; row++) {
		size_t at = site->offset + row * patch->stride;

		for (uint32_t col = 0; col < site->w; col++)
			sum += value_of(patch, pixels, at + col) *
			       (weights != NULL ? weights[row * row_weights + col] : 1);
	}
	return sum;
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

static unsigned int scalar_compare_wide(
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

const struct patch_kernel patch_kernel_scalar = {
	.name = "scalar",
	.needs = "any CPU",
	.supported = scalar_supported,
	.compare = scalar_compare,
	.compare_wide = scalar_compare_wide,
};
