/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx512.h"

/* Weighted patches side by side, with or without gaps: weighted column sums of the strip, two
 * columns a lane, divided among the sites in the end. */

struct strip {
	const uint16_t *pixels;
	const uint16_t *least; /* of the same pixels; PATCH_FROM_MAP only */
	const int16_t *weights;
	size_t stride, row; /* from one row to the next: of pixels, of weights */
	ptrdiff_t ahead;
	uint32_t h;
	uint16_t least_all;
};

/* Column sums of so many vectors. vectors, counts and split are
 * constants at each call. split: even[] gets the even columns and odd[] the odd ones; otherwise
 * even[] gets both. */
AVX512 INLINE void add_rows(const struct strip *s, int vectors, enum patch_counts counts,
	bool split, struct tail tail, uint32_t *even, uint32_t *odd)
{
	const __m512i flip = _mm512_set1_epi16((short)PATCH_BIAS), one = _mm512_set1_epi16(1);
	const __m512i low = _mm512_set1_epi32(0xffff),
		      least_all = _mm512_set1_epi16((short)s->least_all);
	const uint16_t *pixels = s->pixels, *least = s->least;
	const int16_t *weights = s->weights;
	__m512i e[VECTORS], o[VECTORS], v, w;

	PATCH_UNROLL
	for (int i = 0; i < vectors; i++)
		e[i] = o[i] = _mm512_setzero_si512();
	for (uint32_t row = 0; row < s->h; row++) {
		PATCH_UNROLL
		for (int i = 0; i < vectors; i++) {
			__mmask32 valid = i < vectors - 1 ? UINT32_MAX : tail.read;
			uint32_t col = i < vectors - 1 ? (uint32_t)(i * LANES) : tail.col;

			_mm_prefetch((const char *)(pixels + s->ahead + i * LANES), _MM_HINT_T0);
			v = _mm512_maskz_loadu_epi16(valid, pixels + col);
			w = _mm512_loadu_si512(weights + col);
			if (counts == PATCH_AS_IT_IS)
				v = _mm512_xor_si512(v, flip);
			else if (counts == PATCH_FROM_LEAST)
				v = _mm512_maskz_mov_epi16(
					_mm512_cmpge_epu16_mask(v, least_all), one);
			else
				v = _mm512_maskz_mov_epi16(
					_mm512_cmpge_epu16_mask(
						v, _mm512_maskz_loadu_epi16(valid, least + col)),
					one);
			if (split) {
				o[i] = _mm512_dpwssd_epi32(o[i], v, _mm512_andnot_si512(low, w));
				w = _mm512_and_si512(low, w);
			}
			e[i] = _mm512_dpwssd_epi32(e[i], v, w);
		}
		pixels += s->stride;
		weights += s->row;
		if (counts == PATCH_FROM_MAP)
			least += s->stride;
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors - 1; i++) {
		_mm512_store_si512(even + i * LANES / 2, e[i]);
		if (split)
			_mm512_store_si512(odd + i * LANES / 2, o[i]);
	}
	_mm512_storeu_si512(even + tail.col / 2, e[vectors - 1]);
	if (split)
		_mm512_storeu_si512(odd + tail.col / 2, o[vectors - 1]);
}

AVX512 INLINE void add_columns(const struct strip *s, uint32_t width, enum patch_counts counts,
	bool split, uint32_t *even, uint32_t *odd)
{
	unsigned int vectors = (width + LANES - 1) / LANES;
	struct tail tail = tail_of(width, vectors);

	switch (vectors) {
	case 1:
		add_rows(s, 1, counts, split, tail, even, odd);
		break;
	case 2:
		add_rows(s, 2, counts, split, tail, even, odd);
		break;
	case 3:
		add_rows(s, 3, counts, split, tail, even, odd);
		break;
	case 4:
		add_rows(s, 4, counts, split, tail, even, odd);
		break;
	case 5:
		add_rows(s, 5, counts, split, tail, even, odd);
		break;
	case 6:
		add_rows(s, 6, counts, split, tail, even, odd);
		break;
	case 7:
		add_rows(s, 7, counts, split, tail, even, odd);
		break;
	default:
		add_rows(s, 8, counts, split, tail, even, odd);
	}
}

/* `count` lanes, up to eight, or up to sixteen added to eight. */
AVX512 INLINE __m256i load_lanes(const uint32_t *from, uint32_t count, bool broad)
{
	__m512i v;

	if (!broad)
		return _mm256_maskz_loadu_epi32(first_of_8(count), from);
	v = _mm512_maskz_loadu_epi32(first_of_16(count), from);
	return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

/* The lanes of the site whose first column is col, added to eight. */
AVX512 INLINE __m256i lanes_of(
	uint32_t col, uint32_t w, bool broad, bool split, const uint32_t *even, const uint32_t *odd)
{
	uint32_t from = split ? (col + 1) / 2 : col / 2, end = (col + w + 1) / 2;
	__m256i v = load_lanes(even + from, end - from, broad);

	if (split)
		v = _mm256_add_epi32(v, load_lanes(odd + col / 2, (col + w) / 2 - col / 2, broad));
	return v;
}

AVX512 INLINE void fold(const struct patch *patch, const struct patch_job *job, bool broad,
	bool split, const uint32_t *even, const uint32_t *odd, int32_t *sums)
{
	const struct patch_place *place = &patch->place[job->first];
	const int32_t *bias = &patch->bias32[job->first];
	__m512i b[4];

	for (unsigned int i = 0; i < job->count; i += 8, place += 8) {
		unsigned int left = job->count - i;
		__mmask8 valid = first_of_8(left);

		PATCH_UNROLL
		for (int k = 0; k < 4; k++) {
			__m256i x = _mm256_setzero_si256(), y = x;

			if ((unsigned int)(2 * k) < left)
				x = lanes_of(place[2 * k].offset, job->w, broad, split, even, odd);
			if ((unsigned int)(2 * k + 1) < left)
				y = lanes_of(
					place[2 * k + 1].offset, job->w, broad, split, even, odd);
			b[k] = _mm512_inserti64x4(_mm512_castsi256_si512(x), y, 1);
		}
		_mm256_mask_storeu_epi32(sums + i, valid,
			_mm256_add_epi32(add_eight(b[0], b[1], b[2], b[3]),
				_mm256_maskz_loadu_epi32(valid, bias + i)));
	}
}

AVX512 INLINE void add_strip(const struct patch *patch, const struct patch_job *job,
	uint32_t offset, ptrdiff_t ahead, const uint16_t *pixels, enum patch_counts counts,
	bool split, struct patch_columns *columns)
{
	struct strip s = {.stride = patch->stride,
		.row = (job->width + LANES - 1) / LANES * LANES,
		.ahead = ahead,
		.h = job->h,
		.least_all = patch->least};

	for (uint32_t col = 0; col < job->width; col += VECTORS * LANES) {
		uint32_t left = job->width - col;

		s.pixels = pixels + offset + col;
		s.weights = job->weights + col;
		if (counts == PATCH_FROM_MAP)
			s.least = patch->least_map + offset + col;
		add_columns(&s, left < VECTORS * LANES ? left : VECTORS * LANES, counts, split,
			columns->even + col / 2, columns->odd + col / 2);
	}
}

AVX512 INLINE void fold_any(const struct patch *patch, const struct patch_job *shape,
	const struct regular *regular, const struct patch_job *job, bool split,
	const struct patch_columns *columns, int32_t *sums)
{
	if (shape->pitch != 0)
		fold_regular(regular, split, columns->even, columns->odd,
			&patch->bias32[job->first], sums);
	else if (shape->w <= 16)
		fold(patch, job, false, split, columns->even, columns->odd, sums);
	else
		fold(patch, job, true, split, columns->even, columns->odd, sums);
}

/* One strip behind the other, as boxes are. */
AVX512 INLINE void sum_strips(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels,
	enum patch_counts counts, bool split, int32_t *sums, size_t step)
{
	const struct patch_job shape = *job;
	const struct regular regular = regular_of(&shape, split);
	struct patch_columns columns[2];

	for (unsigned int i = 0; i < jobs; i++) {
		uint32_t offset = job[i].offset, then = (i + 1 < jobs ? &job[i + 1] : next)->offset;

		add_strip(patch, &shape, offset, (ptrdiff_t)then - (ptrdiff_t)offset, pixels,
			counts, split, &columns[i % 2]);
		if (i > 0)
			fold_any(patch, &shape, &regular, &job[i - 1], split, &columns[(i - 1) % 2],
				sums + (i - 1) * step);
	}
	fold_any(patch, &shape, &regular, &job[jobs - 1], split, &columns[(jobs - 1) % 2],
		sums + (jobs - 1) * step);
}

AVX512 INLINE void any_split(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels,
	enum patch_counts counts, int32_t *sums, size_t step)
{
	if (job->split)
		sum_strips(patch, job, jobs, next, pixels, counts, true, sums, step);
	else
		sum_strips(patch, job, jobs, next, pixels, counts, false, sums, step);
}

AVX512 void patch_strips_avx512(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels, int32_t *sums,
	size_t step)
{
	if (patch->counting && patch->least_map != NULL)
		any_split(patch, job, jobs, next, pixels, PATCH_FROM_MAP, sums, step);
	else if (patch->counting)
		any_split(patch, job, jobs, next, pixels, PATCH_FROM_LEAST, sums, step);
	else
		any_split(patch, job, jobs, next, pixels, PATCH_AS_IT_IS, sums, step);
}
#endif
