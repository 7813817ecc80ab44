/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx512.h"

/* All-ones patches side by side: column sums of the strip, divided among the boxes in the end. */

/* Pixels to sum downwards, and how far ahead those are that come next. */
struct strip {
	const uint16_t *pixels;
	size_t stride;
	ptrdiff_t ahead;
	uint32_t h;
};

/* Sum the columns of a strip of so many vectors. vectors is a constant at each call and `pairs`
 * known, so that the sums stay in registers. pairs: even[] gets the sums of two columns each;
 * otherwise even[] and odd[] get theirs. Lanes that are off in `last` are not read and count 0.
 *
 * The prefetch is for the next strip: its rows come from the second-level cache at the pace at
 * which these are summed, where the processor by itself would not look beyond the fold. */
AVX512 INLINE void add_rows(const struct strip *s, int vectors, bool pairs, __mmask32 last,
	uint32_t *even, uint32_t *odd)
{
	const __m512i flip = _mm512_set1_epi16((short)PATCH_BIAS);
	const __m512i low = _mm512_set1_epi32(pairs ? 0x00010001 : 1);
	const __m512i high = _mm512_set1_epi32(0x00010000);
	const __m512i bias = _mm512_set1_epi32((int)(s->h * PATCH_BIAS * (pairs ? 2 : 1)));
	const uint16_t *pixels = s->pixels;
	__m512i e[VECTORS], o[VECTORS], v;

	PATCH_UNROLL
	for (int i = 0; i < vectors; i++)
		e[i] = o[i] = bias;
	for (uint32_t row = 0; row < s->h; row++, pixels += s->stride) {
		PATCH_UNROLL
		for (int i = 0; i < vectors; i++) {
			_mm_prefetch((const char *)(pixels + s->ahead + i * LANES), _MM_HINT_T0);
			if (i < vectors - 1)
				v = _mm512_loadu_si512(pixels + i * LANES);
			else
				v = _mm512_maskz_loadu_epi16(last, pixels + i * LANES);
			v = _mm512_xor_si512(v, flip);
			e[i] = _mm512_dpwssd_epi32(e[i], v, low);
			if (!pairs)
				o[i] = _mm512_dpwssd_epi32(o[i], v, high);
		}
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors; i++) {
		_mm512_store_si512(even + i * LANES / 2, e[i]);
		if (!pairs)
			_mm512_store_si512(odd + i * LANES / 2, o[i]);
	}
}

AVX512 INLINE void add_columns(
	const struct strip *s, uint32_t w, bool pairs, uint32_t *even, uint32_t *odd)
{
	unsigned int vectors = (w + LANES - 1) / LANES;
	__mmask32 last = UINT32_MAX >> (vectors * LANES - w);

	switch (vectors) {
	case 1:
		add_rows(s, 1, pairs, last, even, odd);
		break;
	case 2:
		add_rows(s, 2, pairs, last, even, odd);
		break;
	case 3:
		add_rows(s, 3, pairs, last, even, odd);
		break;
	case 4:
		add_rows(s, 4, pairs, last, even, odd);
		break;
	case 5:
		add_rows(s, 5, pairs, last, even, odd);
		break;
	case 6:
		add_rows(s, 6, pairs, last, even, odd);
		break;
	case 7:
		add_rows(s, 7, pairs, last, even, odd);
		break;
	default:
		add_rows(s, 8, pairs, last, even, odd);
	}
}

AVX512 INLINE __m512i add_lanes(__m512i sum, const uint32_t *from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += 16) {
		__mmask16 valid = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);

		sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(valid, from + i));
	}
	return sum;
}

/* Divide column sums among boxes of any width, one at a time. */
AVX512 INLINE void fold_wide(const struct patch_job *job, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	for (unsigned int i = 0; i < job->count; i++) {
		uint32_t first = i * job->w, end = first + job->w;
		__m512i sum = _mm512_setzero_si512();

		sum = add_lanes(sum, even + (first + 1) / 2, (end + 1) / 2 - (first + 1) / 2);
		if (!pairs)
			sum = add_lanes(sum, odd + first / 2, end / 2 - first / 2);
		sums[i] = (uint32_t)_mm512_reduce_add_epi32(sum);
	}
}

AVX512 INLINE void add_boxes(const struct patch *patch, const struct patch_job *job,
	ptrdiff_t ahead, const uint16_t *pixels, bool pairs, struct patch_columns *columns)
{
	struct strip s = {.stride = patch->stride, .ahead = ahead, .h = job->h};

	for (uint32_t col = 0; col < job->width; col += VECTORS * LANES) {
		uint32_t left = job->width - col;

		s.pixels = pixels + job->offset + col;
		add_columns(&s, left < VECTORS * LANES ? left : VECTORS * LANES, pairs,
			columns->even + col / 2, columns->odd + col / 2);
	}
}

AVX512 void patch_boxes_add_avx512(const struct patch *patch, const struct patch_job *job,
	ptrdiff_t ahead, const uint16_t *pixels, struct patch_columns *columns)
{
	if (job->split)
		add_boxes(patch, job, ahead, pixels, false, columns);
	else
		add_boxes(patch, job, ahead, pixels, true, columns);
}

AVX512 void patch_boxes_fold_avx512(
	const struct patch_job *job, const struct patch_columns *columns, uint32_t *sums)
{
	if (job->pitch != 0)
		fold_regular(job, job->split, columns->even, columns->odd, NULL, (int32_t *)sums);
	else
		fold_wide(job, !job->split, columns->even, columns->odd, sums);
}
#endif
