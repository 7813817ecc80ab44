/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx2.h"

/* Weighted patches side by side, with or without gaps: weighted column sums of the strip, two
 * columns a lane, divided among the sites in the end. Weights are 0 beyond the strip, so that what is
 * read there does not matter, as long as it is in the frame. */

struct strip {
	const uint16_t *pixels;
	const uint16_t *least; /* of the same pixels; PATCH_FROM_MAP only */
	const uint16_t *end;   /* of the frame: nothing is read from here on */
	const int16_t *weights;
	size_t stride, row; /* from one row to the next: of pixels, of weights */
	ptrdiff_t ahead;
	uint32_t h;
	uint16_t least_all;
};

/* A vector, read only as far as the frame goes. */
AVX2 INLINE __m256i load(const uint16_t *p, const uint16_t *pixels, const uint16_t *end)
{
	if (__builtin_expect(end - pixels < LANES, 0))
		return load_tail(p, (uint32_t)(end - pixels));
	return _mm256_loadu_si256((const __m256i *)p);
}

/* Column sums of so many vectors. vectors, counts and split are constants at each call. split: even[]
 * gets the even columns and odd[] the odd ones; otherwise even[] gets both. */
AVX2 INLINE void add_rows(const struct strip *s, int vectors, enum patch_counts counts, bool split,
	uint32_t *even, uint32_t *odd)
{
	const __m256i low = _mm256_set1_epi32(0xffff);
	__m256i least = _mm256_set1_epi16((short)s->least_all), e[VECTORS], o[VECTORS], v, w;
	const uint16_t *pixels = s->pixels, *map = s->least;
	const int16_t *weights = s->weights;

	PATCH_UNROLL
	for (int i = 0; i < vectors; i++)
		e[i] = o[i] = _mm256_setzero_si256();
	for (uint32_t row = 0; row < s->h; row++) {
		PATCH_UNROLL
		for (int i = 0; i < vectors; i++) {
			const uint16_t *p = pixels + i * LANES;

			_mm_prefetch((const char *)(p + s->ahead), _MM_HINT_T0);
			v = i < vectors - 1 ? _mm256_loadu_si256((const __m256i *)p)
					    : load(p, p, s->end);
			if (counts == PATCH_FROM_MAP)
				least = load(map + i * LANES, p, s->end);
			v = value_of(v, least, counts);
			w = _mm256_load_si256((const __m256i *)(weights + i * LANES));
			if (split) {
				o[i] = _mm256_add_epi32(
					o[i], _mm256_madd_epi16(v, _mm256_andnot_si256(low, w)));
				w = _mm256_and_si256(low, w);
			}
			e[i] = _mm256_add_epi32(e[i], _mm256_madd_epi16(v, w));
		}
		pixels += s->stride;
		weights += s->row;
		if (counts == PATCH_FROM_MAP)
			map += s->stride;
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors; i++) {
		_mm256_store_si256((__m256i *)(even + i * LANES / 2), e[i]);
		if (split)
			_mm256_store_si256((__m256i *)(odd + i * LANES / 2), o[i]);
	}
}

AVX2 INLINE void add_columns(const struct strip *s, uint32_t width, enum patch_counts counts,
	bool split, uint32_t *even, uint32_t *odd)
{
	switch ((width + LANES - 1) / LANES) {
	case 1:
		add_rows(s, 1, counts, split, even, odd);
		break;
	case 2:
		add_rows(s, 2, counts, split, even, odd);
		break;
	case 3:
		add_rows(s, 3, counts, split, even, odd);
		break;
	default:
		add_rows(s, 4, counts, split, even, odd);
	}
}

/* Lanes of a site: where they begin and which of sixteen there are, by the parity of its column. */
struct span {
	uint32_t from; /* to add to column / 2 */
	__m256i valid[2];
};

AVX2 INLINE struct span span_of(uint32_t parity, uint32_t w, bool split, bool odd)
{
	uint32_t from = (parity + (split && !odd ? 1 : 0)) / 2;
	uint32_t count = (parity + w + (odd ? 0 : 1)) / 2 - from;

	return (struct span){.from = from,
		.valid = {first32(count < 8 ? count : 8), first32(count < 8 ? 0 : count - 8)}};
}

/* broad: there may be more than eight lanes; those beyond are added to the first ones. */
AVX2 INLINE __m256i take(const uint32_t *sums, uint32_t col, const struct span span[2], bool broad)
{
	const struct span *s = &span[col % 2];
	const __m256i *at = (const __m256i *)(sums + col / 2 + s->from);
	__m256i v = _mm256_and_si256(_mm256_loadu_si256(at), s->valid[0]);

	if (broad)
		v = _mm256_add_epi32(v, _mm256_and_si256(_mm256_loadu_si256(at + 1), s->valid[1]));
	return v;
}

AVX2 INLINE void fold(const struct patch *patch, const struct patch_job *job, bool broad,
	bool split, const uint32_t *even, const uint32_t *odd, int32_t *sums)
{
	const struct patch_place *place = &patch->place[job->first];
	const int32_t *bias = &patch->bias32[job->first];
	const struct span evens[2] = {
		span_of(0, job->w, split, false), span_of(1, job->w, split, false)};
	const struct span odds[2] = {
		span_of(0, job->w, split, true), span_of(1, job->w, split, true)};
	__m256i b[8], valid;

	for (unsigned int i = 0; i < job->count; i += 8, place += 8) {
		unsigned int left = job->count - i;

		PATCH_UNROLL
		for (unsigned int k = 0; k < 8; k++) {
			/* Beyond the last one comes the first one again, thrown away. */
			uint32_t col = place[k < left ? k : 0].offset;

			b[k] = take(even, col, evens, broad);
			if (split)
				b[k] = _mm256_add_epi32(b[k], take(odd, col, odds, broad));
		}
		valid = first32(left < 8 ? left : 8);
		_mm256_maskstore_epi32(sums + i, valid,
			_mm256_add_epi32(add_eight(b), _mm256_maskload_epi32(bias + i, valid)));
	}
}

AVX2 INLINE void add_strip(const struct patch *patch, const struct patch_job *job, uint32_t offset,
	ptrdiff_t ahead, const uint16_t *pixels, enum patch_counts counts, bool split,
	struct patch_columns *columns)
{
	struct strip s = {.end = pixels + patch->pixels,
		.stride = patch->stride,
		.row = (job->width + 31) / 32 * 32,
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

/* The same where all sites are equally far apart, not more than 16 columns: two at a time. */
AVX2 INLINE void fold_regular(const struct patch_job *job, const int32_t *bias, bool split,
	const uint32_t *even, const uint32_t *odd, int32_t *sums)
{
	const struct span e[2] = {
		span_of(0, job->w, split, false), span_of(job->pitch % 2, job->w, split, false)};
	const struct span o[2] = {
		span_of(0, job->w, split, true), span_of(job->pitch % 2, job->w, split, true)};
	const uint32_t half = job->pitch / 2;
	__m256i b[8], valid;

	for (unsigned int i = 0; i < job->count; i += 8) {
		PATCH_UNROLL
		for (int k = 0; k < 8; k++) {
			uint32_t at = (k % 2 == 0 ? 0 : half) + e[k % 2].from;

			b[k] = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(even + at)),
				e[k % 2].valid[0]);
			at = (k % 2 == 0 ? 0 : half) + o[k % 2].from;
			if (split)
				b[k] = _mm256_add_epi32(b[k],
					_mm256_and_si256(
						_mm256_loadu_si256((const __m256i *)(odd + at)),
						o[k % 2].valid[0]));
			even += k % 2 * job->pitch;
			odd += k % 2 * job->pitch;
		}
		valid = first32(job->count - i < 8 ? job->count - i : 8);
		_mm256_maskstore_epi32(sums + i, valid,
			_mm256_add_epi32(add_eight(b), _mm256_maskload_epi32(bias + i, valid)));
	}
}

AVX2 INLINE void fold_any(const struct patch *patch, const struct patch_job *shape,
	const struct patch_job *job, bool split, const struct patch_columns *columns, int32_t *sums)
{
	if (shape->pitch != 0)
		fold_regular(shape, &patch->bias32[job->first], split, columns->even, columns->odd,
			sums);
	else if (shape->w <= 16)
		fold(patch, job, false, split, columns->even, columns->odd, sums);
	else
		fold(patch, job, true, split, columns->even, columns->odd, sums);
}

/* One strip behind the other, as boxes are. */
AVX2 INLINE void sum_strips(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels,
	enum patch_counts counts, bool split, int32_t *sums, size_t step)
{
	const struct patch_job shape = *job;
	struct patch_columns columns[2];

	for (unsigned int i = 0; i < jobs; i++) {
		uint32_t offset = job[i].offset, then = (i + 1 < jobs ? &job[i + 1] : next)->offset;

		add_strip(patch, &shape, offset, (ptrdiff_t)then - (ptrdiff_t)offset, pixels,
			counts, split, &columns[i % 2]);
		if (i > 0)
			fold_any(patch, &shape, &job[i - 1], split, &columns[(i - 1) % 2],
				sums + (i - 1) * step);
	}
	fold_any(patch, &shape, &job[jobs - 1], split, &columns[(jobs - 1) % 2],
		sums + (jobs - 1) * step);
}

AVX2 INLINE void any_split(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels,
	enum patch_counts counts, int32_t *sums, size_t step)
{
	if (job->split)
		sum_strips(patch, job, jobs, next, pixels, counts, true, sums, step);
	else
		sum_strips(patch, job, jobs, next, pixels, counts, false, sums, step);
}

AVX2 void patch_strips_avx2(const struct patch *patch, const struct patch_job *job,
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
