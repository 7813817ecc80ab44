/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the files of the "avx512" kernel share. */

#include <immintrin.h>

#include "patch.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,popcnt")))
#define INLINE static inline __attribute__((always_inline))

#define LANES 32  /* pixels of a vector */
#define VECTORS 8 /* columns of vectors held in registers at once */

void patch_boxes_avx512(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step);
void patch_strips_avx512(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step);
void patch_singles_avx512(
	const struct patch *patch, const struct patch_job *job, const uint16_t *pixels, void *sums);

/* Lanes 0..3 and 8..11 of the result: the sums of boxes 0 2 4 6 and 1 3 5 7, each box being 8
 * lanes, two boxes a vector. */
AVX512 INLINE __m512i add_eight_lanes(__m512i b01, __m512i b23, __m512i b45, __m512i b67)
{
	__m512i x =
		_mm512_add_epi32(_mm512_unpacklo_epi64(b01, b23), _mm512_unpackhi_epi64(b01, b23));
	__m512i y =
		_mm512_add_epi32(_mm512_unpacklo_epi64(b45, b67), _mm512_unpackhi_epi64(b45, b67));
	__m512 xf = _mm512_castsi512_ps(x), yf = _mm512_castsi512_ps(y);

	x = _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(xf, yf, 0x88)),
		_mm512_castps_si512(_mm512_shuffle_ps(xf, yf, 0xdd)));
	return _mm512_add_epi32(x, _mm512_alignr_epi64(x, x, 2));
}

/* The sums of boxes 0 to 7. */
AVX512 INLINE __m256i add_eight(__m512i b01, __m512i b23, __m512i b45, __m512i b67)
{
	const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0);

	return _mm512_castsi512_si256(
		_mm512_permutexvar_epi32(order, add_eight_lanes(b01, b23, b45, b67)));
}

/* The first `left` lanes of eight. */
AVX512 INLINE __mmask8 first_of_8(unsigned int left)
{
	/* Without a jump, which is mispredicted at the end of each strip. */
	return (__mmask8)(0xffu >> (8 - (left < 8 ? left : 8)));
}

/* The first `count` lanes of sixteen. */
AVX512 INLINE __mmask16 first_of_16(unsigned int count)
{
	return (__mmask16)(0xffffu >> (16 - (count < 16 ? count : 16)));
}

/* The last vector of a strip of w columns. */
struct tail {
	uint32_t col;   /* its first column, even */
	__mmask32 read; /* of its pixels; the others count 0 */
};

/* It ends with the strip and overlaps the one before: beyond the strip is often another line of the
 * cache, whose reading took a fifth of all time. That needs two vectors, and pairs of columns where
 * they are in the others. */
AVX512 INLINE struct tail tail_of(uint32_t w, uint32_t vectors)
{
	uint32_t col = (vectors - 1) * LANES;

	if (vectors > 1 && w % 2 == 0)
		return (struct tail){.col = w - LANES, .read = UINT32_MAX};
	return (struct tail){.col = col, .read = UINT32_MAX >> (vectors * LANES - w)};
}

/* Which lanes of column sums, two columns a lane, two sites `pitch` columns apart have: in lanes 0
 * to 7 those of the first, in lanes 8 to 15 those of the second, and in *valid those that there are.
 * split: there are sums of even columns and, with `odd`, of odd ones. */
AVX512 INLINE __m512i lanes_of_two(
	uint32_t pitch, uint32_t w, bool split, bool odd, __mmask16 *valid)
{
	uint32_t up = split && !odd ? 1 : 0, down = odd ? 0 : 1;
	uint32_t from = (pitch + up) / 2, first = (w + down) / 2;
	uint32_t second = (pitch + w + down) / 2 - from;
	__m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);

	*valid = (__mmask16)(first_of_16(first) | first_of_16(second) << 8);
	return _mm512_mask_add_epi32(lane, 0xff00, lane, _mm512_set1_epi32((int)from));
}

/* How to take the lanes of sites that are equally far apart, not more than 16 columns. The same for
 * all strips that are alike: it takes longer to work out than to use. */
struct regular {
	__m512i even, odd; /* of two sites */
	__mmask16 even_valid, odd_valid;
	uint32_t pitch;
	unsigned int count;
};

AVX512 INLINE struct regular regular_of(const struct patch_job *job, bool split)
{
	struct regular r = {.pitch = job->pitch, .count = job->count};

	r.even = lanes_of_two(job->pitch, job->w, split, false, &r.even_valid);
	r.odd = lanes_of_two(job->pitch, job->w, split, true, &r.odd_valid);
	return r;
}

/* Divide column sums among them, two at a time, and add the bias, unless it is NULL. Reads, and throws
 * away, up to seven sites beyond the last. */
AVX512 INLINE void fold_regular(const struct regular *r, bool split, const uint32_t *even,
	const uint32_t *odd, const int32_t *bias, int32_t *sums)
{
	const __m512i even_lanes = r->even, odd_lanes = r->odd;
	const __mmask16 even_valid = r->even_valid, odd_valid = r->odd_valid;
	const unsigned int count = r->count;
	const size_t pitch = r->pitch;
	__m512i b[4];
	__m256i v;

	for (unsigned int i = 0; i < count; i += 8) {
		__mmask8 valid = first_of_8(count - i);

		PATCH_UNROLL
		for (int k = 0; k < 4; k++, even += pitch, odd += pitch) {
			b[k] = _mm512_maskz_permutexvar_epi32(
				even_valid, even_lanes, _mm512_loadu_si512(even));
			if (split)
				b[k] = _mm512_add_epi32(
					b[k], _mm512_maskz_permutexvar_epi32(odd_valid, odd_lanes,
						      _mm512_loadu_si512(odd)));
		}
		v = add_eight(b[0], b[1], b[2], b[3]);
		if (bias != NULL)
			v = _mm256_add_epi32(v, _mm256_maskz_loadu_epi32(valid, bias + i));
		_mm256_mask_storeu_epi32(sums + i, valid, v);
	}
}
