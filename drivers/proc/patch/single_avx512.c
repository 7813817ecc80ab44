/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx512.h"

/* Weighted patches, each by itself, eight at a time. */

struct source {
	const struct patch *patch;
	const uint16_t *pixels;
	uint32_t h, w;
	uint32_t flush;
	ptrdiff_t ahead;
};

AVX512 INLINE __m512i load32(const uint16_t *p, bool whole, __mmask32 valid)
{
	return whole ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(valid, p);
}

AVX512 INLINE __m512i take32(
	const struct source *s, size_t at, bool whole, __mmask32 valid, enum patch_counts counts)
{
	__m512i v = load32(s->pixels + at, whole, valid), least;

	if (counts == PATCH_AS_IT_IS)
		return _mm512_xor_si512(v, _mm512_set1_epi16((short)PATCH_BIAS));
	if (counts == PATCH_FROM_LEAST)
		least = _mm512_set1_epi16((short)s->patch->least);
	else
		least = load32(s->patch->least_map + at, whole, valid);
	return _mm512_maskz_mov_epi16(_mm512_cmpge_epu16_mask(v, least), _mm512_set1_epi16(1));
}

AVX512 INLINE __m256i take16(
	const struct source *s, size_t at, __mmask16 valid, enum patch_counts counts)
{
	__m256i v = _mm256_maskz_loadu_epi16(valid, s->pixels + at), least;

	if (counts == PATCH_AS_IT_IS)
		return _mm256_xor_si256(v, _mm256_set1_epi16((short)PATCH_BIAS));
	if (counts == PATCH_FROM_LEAST)
		least = _mm256_set1_epi16((short)s->patch->least);
	else
		least = _mm256_maskz_loadu_epi16(valid, s->patch->least_map + at);
	return _mm256_maskz_mov_epi16(_mm256_cmpge_epu16_mask(v, least), _mm256_set1_epi16(1));
}

/* The lanes of a site up to 16 wide: eight of 32 bits. */
AVX512 INLINE __m256i lanes_narrow(
	const struct source *s, const struct patch_place *place, enum patch_counts counts)
{
	uint32_t row = s->w <= 8 ? 8 : 16;
	__mmask16 valid = first_of_16(s->w);
	const int16_t *weights = place->weights;
	__m256i sum = _mm256_setzero_si256(), w;
	size_t at = place->offset;

	for (uint32_t r = 0; r < s->h; r++, at += s->patch->stride, weights += row) {
		if (row == 16)
			w = _mm256_load_si256((const __m256i *)weights);
		else
			w = _mm256_castsi128_si256(_mm_load_si128((const __m128i *)weights));
		sum = _mm256_dpwssd_epi32(sum, take16(s, at, valid, counts), w);
	}
	return sum;
}

/* One or two columns of vectors, two rows at a time, so that no multiply-add waits for the last.
 * whole: all lanes are of the site. */
AVX512 INLINE __m512i add_columns(const struct source *s, size_t at, const int16_t *weights,
	int columns, bool whole, __mmask32 last, enum patch_counts counts)
{
	size_t stride = s->patch->stride, row = patch_row(s->w);
	__m512i sum[4] = {0};
	uint32_t r = 0;

	for (; r + 2 <= s->h; r += 2, at += 2 * stride, weights += 2 * row) {
		PATCH_UNROLL
		for (int k = 0; k < 2 * columns; k++) {
			size_t from = at + (k & 1 ? stride : 0) + (k & 2 ? LANES : 0);

			_mm_prefetch((const char *)(s->pixels + from + s->ahead), _MM_HINT_T0);
			sum[k] = _mm512_dpwssd_epi32(sum[k], take32(s, from, whole, last, counts),
				_mm512_load_si512(
					weights + (k & 1 ? row : 0) + (k & 2 ? LANES : 0)));
		}
	}
	for (int k = 0; r < s->h && k < columns; k++)
		sum[k] = _mm512_dpwssd_epi32(sum[k], take32(s, at + k * LANES, whole, last, counts),
			_mm512_load_si512(weights + k * LANES));
	return _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]));
}

/* The lanes of a wider one: sixteen, added to one. */
AVX512 INLINE int32_t sum_broad(
	const struct source *s, const struct patch_place *place, enum patch_counts counts)
{
	__m512i sum = _mm512_setzero_si512();
	uint32_t col = 0;

	for (; col + 2 * LANES <= s->w; col += 2 * LANES)
		sum = _mm512_add_epi32(sum, add_columns(s, place->offset + col,
						    place->weights + col, 2, true, 0, counts));
	for (; col + LANES <= s->w; col += LANES)
		sum = _mm512_add_epi32(sum, add_columns(s, place->offset + col,
						    place->weights + col, 1, true, 0, counts));
	if (col < s->w)
		sum = _mm512_add_epi32(
			sum, add_columns(s, place->offset + col, place->weights + col, 1, false,
				     UINT32_MAX >> (LANES - (s->w - col)), counts));
	return _mm512_reduce_add_epi32(sum);
}

AVX512 INLINE void sum_broad_singles(
	struct source *s, const struct patch_job *job, enum patch_counts counts, int32_t *sums)
{
	const struct patch_place *place = &s->patch->place[job->first];

	for (unsigned int i = 0; i < job->count; i++, place++) {
		s->ahead = i + 1 < job->count
				   ? (ptrdiff_t)place[1].offset - (ptrdiff_t)place[0].offset
				   : 0;
		sums[place->site] = (int32_t)((uint32_t)sum_broad(s, place, counts) +
					      (uint32_t)s->patch->bias32[job->first + i]);
	}
}

AVX512 INLINE void sum_singles(
	struct source *s, const struct patch_job *job, enum patch_counts counts, int32_t *sums)
{
	const struct patch_place *place = &s->patch->place[job->first];
	const int32_t *bias = &s->patch->bias32[job->first];
	int32_t own[8] __attribute__((aligned(32)));
	__m512i b[4];
	__m256i v;

	for (unsigned int i = 0; i < job->count; i += 8, place += 8) {
		unsigned int left = job->count - i;
		__mmask8 valid = first_of_8(left);

		PATCH_UNROLL
		for (unsigned int k = 0; k < 4; k++) {
			/* Beyond the last one is the last one again, thrown away. */
			const struct patch_place *x = &place[2 * k < left ? 2 * k : 0];
			const struct patch_place *y = &place[2 * k + 1 < left ? 2 * k + 1 : 0];
			__m256i first = lanes_narrow(s, x, counts);
			__m256i second = lanes_narrow(s, y, counts);

			b[k] = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
		}
		v = _mm256_add_epi32(add_eight(b[0], b[1], b[2], b[3]),
			_mm256_maskz_loadu_epi32(valid, bias + i));
		if (job->in_order) {
			_mm256_mask_storeu_epi32(sums + place[0].site, valid, v);
			continue;
		}
		_mm256_store_si256((__m256i *)own, v);
		for (unsigned int k = 0; k < 8 && k < left; k++)
			sums[place[k].site] = own[k];
	}
}

/* 64 bits wide, exact: a lane is taken over before it may be full. */
AVX512 INLINE int64_t sum_wide(
	const struct source *s, const struct patch_place *place, enum patch_counts counts)
{
	uint32_t row = patch_row(s->w), until = s->flush;
	__m512i lanes = _mm512_setzero_si512(), sum = lanes, w;

	for (uint32_t col = 0; col < s->w; col += LANES) {
		uint32_t left = s->w - col;
		__mmask32 valid = left >= LANES ? UINT32_MAX : UINT32_MAX >> (LANES - left);
		const int16_t *weights = place->weights + col;
		size_t at = place->offset + col;

		for (uint32_t r = 0; r < s->h; r++, at += s->patch->stride, weights += row) {
			w = _mm512_maskz_loadu_epi16(valid, weights);
			lanes = _mm512_dpwssd_epi32(lanes, take32(s, at, false, valid, counts), w);
			if (--until > 0)
				continue;
			until = s->flush;
			sum = _mm512_add_epi64(
				sum, _mm512_add_epi64(
					     _mm512_cvtepi32_epi64(_mm512_castsi512_si256(lanes)),
					     _mm512_cvtepi32_epi64(
						     _mm512_extracti64x4_epi64(lanes, 1))));
			lanes = _mm512_setzero_si512();
		}
	}
	sum = _mm512_add_epi64(
		sum, _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(lanes)),
			     _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(lanes, 1))));
	return _mm512_reduce_add_epi64(sum);
}

AVX512 INLINE void sum_singles_wide(const struct source *s, const struct patch_job *job,
	enum patch_counts counts, int64_t *sums)
{
	const struct patch_place *place = &s->patch->place[job->first];

	for (unsigned int i = 0; i < job->count; i++, place++) {
		const struct patch_site *site = &s->patch->site[place->site];

		if (s->flush == 0)
			sums[place->site] = patch_sum_site(s->patch, site, s->pixels);
		else
			sums[place->site] =
				s->patch->bias[job->first + i] + sum_wide(s, place, counts);
	}
}

AVX512 INLINE void any_width(
	struct source *s, const struct patch_job *job, enum patch_counts counts, void *sums)
{
	if (s->patch->det.wide)
		sum_singles_wide(s, job, counts, sums);
	else if (job->w <= 16)
		sum_singles(s, job, counts, sums);
	else
		sum_broad_singles(s, job, counts, sums);
}

AVX512 void patch_singles_avx512(
	const struct patch *patch, const struct patch_job *job, const uint16_t *pixels, void *sums)
{
	struct source s = {
		.patch = patch, .pixels = pixels, .h = job->h, .w = job->w, .flush = job->flush};

	if (patch->counting && patch->least_map != NULL)
		any_width(&s, job, PATCH_FROM_MAP, sums);
	else if (patch->counting)
		any_width(&s, job, PATCH_FROM_LEAST, sums);
	else
		any_width(&s, job, PATCH_AS_IT_IS, sums);
}
#endif
