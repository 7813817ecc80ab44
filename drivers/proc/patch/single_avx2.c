/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx2.h"

/* Weighted patches, each by itself. Weights are 0 beyond the patch, so that what is read there does
 * not matter, as long as it is in the frame. */

struct source {
	const struct patch *patch;
	const uint16_t *pixels;
	uint32_t h, w;
	uint32_t flush;
};

/* `lanes` numbers, 8 or 16, read only as far as the frame goes. */
AVX2 INLINE __m256i load(
	const struct source *s, const uint16_t *from, size_t at, uint32_t lanes, bool inside)
{
	size_t left = s->patch->pixels - at;

	if (!inside && left < lanes)
		return load_tail(from + at, (uint32_t)left);
	if (lanes == 8)
		return _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(from + at)));
	return _mm256_loadu_si256((const __m256i *)(from + at));
}

AVX2 INLINE __m256i load_weights(const int16_t *weights, uint32_t lanes)
{
	if (lanes == 8)
		return _mm256_zextsi128_si256(_mm_load_si128((const __m128i *)weights));
	return _mm256_load_si256((const __m256i *)weights);
}

AVX2 INLINE __m256i take(
	const struct source *s, size_t at, uint32_t lanes, bool inside, enum patch_counts counts)
{
	__m256i v = load(s, s->pixels, at, lanes, inside), least = _mm256_setzero_si256();

	if (counts == PATCH_FROM_LEAST)
		least = _mm256_set1_epi16((short)s->patch->least);
	else if (counts == PATCH_FROM_MAP)
		least = load(s, s->patch->least_map, at, lanes, inside);
	return value_of(v, least, counts);
}

/* A site up to 16 wide. */
AVX2 INLINE __m256i lanes_narrow(const struct source *s, const struct patch_place *place,
	uint32_t lanes, bool inside, enum patch_counts counts)
{
	const int16_t *weights = place->weights;
	__m256i sum = _mm256_setzero_si256(), w;
	size_t at = place->offset;

	for (uint32_t r = 0; r < s->h; r++, at += s->patch->stride, weights += lanes) {
		w = load_weights(weights, lanes);
		sum = _mm256_add_epi32(
			sum, _mm256_madd_epi16(take(s, at, lanes, inside, counts), w));
	}
	return sum;
}

AVX2 INLINE void sum_narrow(const struct source *s, const struct patch_job *job, uint32_t lanes,
	bool inside, enum patch_counts counts, int32_t *sums)
{
	const struct patch_place *place = &s->patch->place[job->first];
	const int32_t *bias = &s->patch->bias32[job->first];
	int32_t own[8] __attribute__((aligned(32)));
	__m256i b[8];

	for (unsigned int i = 0; i < job->count; i += 8, place += 8) {
		unsigned int left = job->count - i;
		__m256i valid = first32(left < 8 ? left : 8);

		for (unsigned int k = 0; k < 8; k++) /* beyond the last, the first again */
			b[k] = lanes_narrow(s, &place[k < left ? k : 0], lanes, inside, counts);
		b[0] = _mm256_add_epi32(add_eight(b), _mm256_maskload_epi32(bias + i, valid));
		if (job->in_order) {
			_mm256_maskstore_epi32(sums + place[0].site, valid, b[0]);
			continue;
		}
		_mm256_store_si256((__m256i *)own, b[0]);
		for (unsigned int k = 0; k < 8 && k < left; k++)
			sums[place[k].site] = own[k];
	}
}

/* One row of one vector of a wider one. */
AVX2 INLINE __m256i add_row(const struct source *s, __m256i sum, size_t at, const int16_t *weights,
	ptrdiff_t ahead, bool inside, enum patch_counts counts)
{
	_mm_prefetch((const char *)(s->pixels + at + ahead), _MM_HINT_T0);
	return _mm256_add_epi32(sum, _mm256_madd_epi16(take(s, at, LANES, inside, counts),
					     _mm256_load_si256((const __m256i *)weights)));
}

/* A wider one: two rows at a time, so that no addition waits for the last. */
AVX2 INLINE int32_t sum_broad(const struct source *s, const struct patch_place *place,
	ptrdiff_t ahead, bool inside, enum patch_counts counts)
{
	size_t stride = s->patch->stride, row = patch_row(s->w);
	__m256i a = _mm256_setzero_si256(), b = a;

	for (uint32_t col = 0; col < s->w; col += LANES) {
		const int16_t *weights = place->weights + col;
		size_t at = place->offset + col;
		uint32_t r = 0;

		for (; r + 2 <= s->h; r += 2, at += 2 * stride, weights += 2 * row) {
			a = add_row(s, a, at, weights, ahead, inside, counts);
			b = add_row(s, b, at + stride, weights + row, ahead, inside, counts);
		}
		if (r < s->h)
			a = add_row(s, a, at, weights, ahead, inside, counts);
	}
	return add_lanes(_mm256_add_epi32(a, b));
}

AVX2 INLINE void sum_broads(const struct source *s, const struct patch_job *job, bool inside,
	enum patch_counts counts, int32_t *sums)
{
	const struct patch_place *place = &s->patch->place[job->first];

	for (unsigned int i = 0; i < job->count; i++, place++) {
		ptrdiff_t ahead = i + 1 < job->count
					  ? (ptrdiff_t)place[1].offset - (ptrdiff_t)place[0].offset
					  : 0;

		sums[place->site] = (int32_t)((uint32_t)sum_broad(s, place, ahead, inside, counts) +
					      (uint32_t)s->patch->bias32[job->first + i]);
	}
}

/* Lanes of 32 bits to those of 64. */
AVX2 INLINE __m256i add_wide(__m256i sum, __m256i lanes)
{
	sum = _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes)));
	return _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes, 1)));
}

/* 64 bits wide, exact: a lane is taken over before it may be full. */
AVX2 INLINE int64_t sum_wide(
	const struct source *s, const struct patch_place *place, enum patch_counts counts)
{
	uint32_t row = patch_row(s->w), lanes = row == 8 ? 8 : LANES, until = s->flush;
	__m256i part = _mm256_setzero_si256(), sum = part, w;
	int64_t four[4];

	for (uint32_t col = 0; col < s->w; col += LANES) {
		const int16_t *weights = place->weights + col;
		size_t at = place->offset + col;

		for (uint32_t r = 0; r < s->h; r++, at += s->patch->stride, weights += row) {
			w = load_weights(weights, lanes);
			part = _mm256_add_epi32(
				part, _mm256_madd_epi16(take(s, at, lanes, false, counts), w));
			if (--until > 0)
				continue;
			until = s->flush;
			sum = add_wide(sum, part);
			part = _mm256_setzero_si256();
		}
	}
	_mm256_storeu_si256((__m256i *)four, add_wide(sum, part));
	return four[0] + four[1] + four[2] + four[3];
}

AVX2 INLINE void sum_wides(const struct source *s, const struct patch_job *job,
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

AVX2 INLINE void any_width(
	const struct source *s, const struct patch_job *job, enum patch_counts counts, void *sums)
{
	if (s->patch->det.wide)
		sum_wides(s, job, counts, sums);
	else if (job->w > 16 && job->inside)
		sum_broads(s, job, true, counts, sums);
	else if (job->w > 16)
		sum_broads(s, job, false, counts, sums);
	else if (job->w > 8 && job->inside)
		sum_narrow(s, job, 16, true, counts, sums);
	else if (job->w > 8)
		sum_narrow(s, job, 16, false, counts, sums);
	else if (job->inside)
		sum_narrow(s, job, 8, true, counts, sums);
	else
		sum_narrow(s, job, 8, false, counts, sums);
}

AVX2 void patch_singles_avx2(
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
