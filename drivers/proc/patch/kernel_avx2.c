/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx2.h"

static bool avx2_supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

AVX2 static unsigned int avx2_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0, i = 0;

	for (; i + 8 <= count; i += 8) {
		__m256i s = _mm256_loadu_si256((const __m256i *)(sums + i));
		__m256i t = _mm256_loadu_si256((const __m256i *)(limits + i));
		int unset = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(t, s)));

		bits[i / 8] = (uint8_t)~unset;
		occupied += 8 - (unsigned int)__builtin_popcount((unsigned int)unset);
	}
	if (i < count) {
		__m256i valid = first32(count - i);
		__m256i s = _mm256_maskload_epi32(sums + i, valid);
		__m256i t = _mm256_maskload_epi32(limits + i, valid);
		__m256i lt = _mm256_cmpgt_epi32(t, s);
		int set = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_andnot_si256(lt, valid)));

		bits[i / 8] = (uint8_t)set;
		occupied += (unsigned int)__builtin_popcount((unsigned int)set);
	}
	return occupied;
}

AVX2 static unsigned int avx2_compare_wide(
	const int64_t *sums, const int64_t *limits, unsigned int count, uint8_t *bits)
{
	const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i += 4) {
		__m256i valid = _mm256_cmpgt_epi64(_mm256_set1_epi64x(count - i), lane);
		__m256i s = _mm256_maskload_epi64((const long long *)sums + i, valid);
		__m256i t = _mm256_maskload_epi64((const long long *)limits + i, valid);
		__m256i ge = _mm256_andnot_si256(_mm256_cmpgt_epi64(t, s), valid);
		int set = _mm256_movemask_pd(_mm256_castsi256_pd(ge));

		bits[i / 8] |= (uint8_t)(set << i % 8);
		occupied += (unsigned int)__builtin_popcount((unsigned int)set);
	}
	return occupied;
}

static void avx2_strips(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step)
{
	if (job->kind == PATCH_BOXES)
		patch_boxes_avx2(patch, job, jobs, next, pixels, sums, step);
	else
		patch_strips_avx2(patch, job, jobs, next, pixels, sums, step);
}

const struct patch_kernel patch_kernel_avx2 = {
	.name = "avx2",
	.needs = "AVX2",
	.supported = avx2_supported,
	.strips = avx2_strips,
	.singles = patch_singles_avx2,
	.compare = avx2_compare,
	.compare_wide = avx2_compare_wide,
};
#endif
