/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the files of the "avx2" kernel share. */

#include <immintrin.h>

#include "patch.h"

/* Tuned as well as compiled for it: tuning for older processors splits unaligned loads in two. */
#define AVX2 __attribute__((target("avx2,popcnt,tune=haswell")))
#define INLINE static inline __attribute__((always_inline))

#define LANES 16  /* pixels of a vector */
#define VECTORS 4 /* columns of vectors held in registers at once */

void patch_boxes_avx2(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step);
void patch_strips_avx2(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step);
void patch_singles_avx2(
	const struct patch *patch, const struct patch_job *job, const uint16_t *pixels, void *sums);

/* Lanes 0..count - 1 on, as 16 bits each or, for count <= 8, 32 bits each. */
AVX2 INLINE __m256i first16(uint32_t count)
{
	const __m256i lane =
		_mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	return _mm256_cmpgt_epi16(_mm256_set1_epi16((short)count), lane);
}

AVX2 INLINE __m256i first32(uint32_t count)
{
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

/* The `count` <= LANES pixels at p, 0 in the other lanes. A function of its own, so that what it
 * needs stays out of the loops that hardly ever call it. */
AVX2 static __attribute__((noinline, cold, unused)) __m256i load_tail(
	const uint16_t *p, uint32_t count)
{
	uint16_t tail[LANES] = {0};

	for (uint32_t i = 0; i < count; i++)
		tail[i] = p[i];
	return _mm256_loadu_si256((const __m256i *)tail);
}

/* The same, reading a whole vector where the frame goes on for so long, as it does but for the end
 * of its last rows. */
AVX2 INLINE __m256i load_some(const uint16_t *p, const uint16_t *end, uint32_t count, __m256i mask)
{
	if (__builtin_expect(end - p < LANES, 0))
		return load_tail(p, count);
	return _mm256_and_si256(_mm256_loadu_si256((const __m256i *)p), mask);
}

/* The last vector of a strip of w columns. It ends with the strip and overlaps the one before; beyond
 * the strip is often another line of the cache. That needs two vectors, and pairs of columns where they
 * are in the others; else its `count` pixels are read as the frame allows. */
struct tail {
	uint32_t col; /* its first column, even */
	uint32_t count;
	__m256i mask;
};

AVX2 INLINE struct tail tail_of(uint32_t w, uint32_t vectors)
{
	uint32_t col = (vectors - 1) * LANES;

	if (vectors > 1 && w % 2 == 0)
		return (struct tail){.col = w - LANES, .count = LANES, .mask = first16(LANES)};
	return (struct tail){.col = col, .count = w - col, .mask = first16(w - col)};
}

AVX2 INLINE __m256i load_last(const uint16_t *row, const struct tail *tail, const uint16_t *end)
{
	if (tail->count == LANES)
		return _mm256_loadu_si256((const __m256i *)(row + tail->col));
	return load_some(row + tail->col, end, tail->count, tail->mask);
}

/* Columns to add at once, whole vectors: as few blocks as there must be, all about as wide. */
AVX2 INLINE uint32_t block_of(uint32_t width, uint32_t vectors)
{
	uint32_t all = (width + LANES - 1) / LANES, blocks = (all + vectors - 1) / vectors;

	return (all + blocks - 1) / blocks * LANES;
}

/* All eight lanes. */
AVX2 INLINE int32_t add_lanes(__m256i v)
{
	__m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
	return _mm_cvtsi128_si32(x);
}

/* The lanes of eight vectors, each vector's added. */
AVX2 INLINE __m256i add_eight(const __m256i b[8])
{
	__m256i x = _mm256_hadd_epi32(_mm256_hadd_epi32(b[0], b[1]), _mm256_hadd_epi32(b[2], b[3]));
	__m256i y = _mm256_hadd_epi32(_mm256_hadd_epi32(b[4], b[5]), _mm256_hadd_epi32(b[6], b[7]));

	return _mm256_add_epi32(
		_mm256_permute2x128_si256(x, y, 0x20), _mm256_permute2x128_si256(x, y, 0x31));
}

/* What pixels add to the weights: see enum patch_counts. least: of the same pixels. */
AVX2 INLINE __m256i value_of(__m256i v, __m256i least, enum patch_counts counts)
{
	if (counts == PATCH_AS_IT_IS)
		return _mm256_xor_si256(v, _mm256_set1_epi16((short)PATCH_BIAS));
	/* There is no unsigned comparison: v >= least iff v is the greater of the two. */
	return _mm256_srli_epi16(_mm256_cmpeq_epi16(_mm256_max_epu16(v, least), v), 15);
}
