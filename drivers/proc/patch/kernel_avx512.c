/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include <string.h>

#include "avx512.h"

static bool avx512_supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
	       __builtin_cpu_supports("popcnt");
}

AVX512 static unsigned int avx512_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i += 16) {
		__mmask16 valid = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
		__m512i s = _mm512_maskz_loadu_epi32(valid, sums + i);
		__m512i t = _mm512_maskz_loadu_epi32(valid, limits + i);
		uint16_t set = _mm512_mask_cmpge_epi32_mask(valid, s, t);

		memcpy(bits + i / 8, &set, sizeof(set));
		occupied += (unsigned int)__builtin_popcount(set);
	}
	return occupied;
}

AVX512 static unsigned int avx512_compare_wide(
	const int64_t *sums, const int64_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i += 8) {
		__mmask8 valid = first_of_8(count - i);
		__m512i s = _mm512_maskz_loadu_epi64(valid, sums + i);
		__m512i t = _mm512_maskz_loadu_epi64(valid, limits + i);
		uint8_t set = _mm512_mask_cmpge_epi64_mask(valid, s, t);

		bits[i / 8] = set;
		occupied += (unsigned int)__builtin_popcount(set);
	}
	return occupied;
}

static void avx512_strips(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step)
{
	if (job->kind == PATCH_BOXES)
		patch_boxes_avx512(patch, job, jobs, next, pixels, sums, step);
	else
		patch_strips_avx512(patch, job, jobs, next, pixels, sums, step);
}

const struct patch_kernel patch_kernel_avx512 = {
	.name = "avx512",
	.needs = "AVX-512 F, BW, VL and VNNI",
	.supported = avx512_supported,
	.strips = avx512_strips,
	.singles = patch_singles_avx512,
	.compare = avx512_compare,
	.compare_wide = avx512_compare_wide,
};
#endif
