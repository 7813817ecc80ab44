/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include "avx2.h"

/* All-ones patches side by side: column sums of the strip, divided among the boxes in the end. */

#define BOX_VECTORS 13 /* as VECTORS, when columns are added in pairs */

/* Pixels to sum downwards, and how far ahead those are that come next. */
struct strip {
	const uint16_t *pixels;
	const uint16_t *end; /* of the frame: nothing is read from here on */
	size_t stride;
	ptrdiff_t ahead;
	uint32_t h;
};

/* Sum the columns of a strip of so many vectors. vectors is a constant at each call and `pairs` known, so
 * that the sums stay in registers. pairs: even[] gets the sums of two columns each; otherwise even[]
 * and odd[] get theirs. Lanes beyond the last pixel are whatever; nothing takes them. */
AVX2 INLINE void add_rows(const struct strip *s, int vectors, bool pairs, struct tail tail,
	uint32_t *even, uint32_t *odd)
{
	const __m256i low = _mm256_set1_epi32(pairs ? 0x00010001 : 1);
	const __m256i high = _mm256_set1_epi32(0x00010000);
	const __m256i bias = _mm256_set1_epi32((int)(s->h * PATCH_BIAS * (pairs ? 2 : 1)));
	const uint16_t *pixels = s->pixels;
	__m256i e[BOX_VECTORS], o[BOX_VECTORS], v;

	PATCH_UNROLL
	for (int i = 0; i < vectors; i++)
		e[i] = o[i] = bias;
	for (uint32_t row = 0; row < s->h; row++, pixels += s->stride) {
		PATCH_UNROLL
		for (int i = 0; i < vectors; i++) {
			const uint16_t *p = pixels + i * LANES;

			if (i % 2 == 0 || i == vectors - 1) /* once a line */
				_mm_prefetch((const char *)(p + s->ahead), _MM_HINT_T0);
			if (i < vectors - 1)
				v = _mm256_loadu_si256((const __m256i *)p);
			else
				v = load_last(pixels, &tail, s->end);
			v = value_of(v, v, PATCH_AS_IT_IS);
			e[i] = _mm256_add_epi32(e[i], _mm256_madd_epi16(v, low));
			if (!pairs)
				o[i] = _mm256_add_epi32(o[i], _mm256_madd_epi16(v, high));
		}
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors - 1; i++) {
		_mm256_store_si256((__m256i *)(even + i * LANES / 2), e[i]);
		if (!pairs)
			_mm256_store_si256((__m256i *)(odd + i * LANES / 2), o[i]);
	}
	/* The columns that it shares with the vector before have the same sums in both. */
	_mm256_storeu_si256((__m256i *)(even + tail.col / 2), e[vectors - 1]);
	if (!pairs)
		_mm256_storeu_si256((__m256i *)(odd + tail.col / 2), o[vectors - 1]);
}

/* Up to four vectors, or up to thirteen of pairs: of sixteen registers, three are for other things. */
AVX2 INLINE void add_columns(
	const struct strip *s, uint32_t w, bool pairs, uint32_t *even, uint32_t *odd)
{
	uint32_t vectors = (w + LANES - 1) / LANES;
	struct tail tail = tail_of(w, vectors);

	switch (vectors) {
	case 1:
		add_rows(s, 1, pairs, tail, even, odd);
		break;
	case 2:
		add_rows(s, 2, pairs, tail, even, odd);
		break;
	case 3:
		add_rows(s, 3, pairs, tail, even, odd);
		break;
	case 5:
		add_rows(s, pairs ? 5 : 4, pairs, tail, even, odd);
		break;
	case 6:
		add_rows(s, pairs ? 6 : 4, pairs, tail, even, odd);
		break;
	case 7:
		add_rows(s, pairs ? 7 : 4, pairs, tail, even, odd);
		break;
	case 8:
		add_rows(s, pairs ? 8 : 4, pairs, tail, even, odd);
		break;
	case 9:
		add_rows(s, pairs ? 9 : 4, pairs, tail, even, odd);
		break;
	case 10:
		add_rows(s, pairs ? 10 : 4, pairs, tail, even, odd);
		break;
	case 11:
		add_rows(s, pairs ? 11 : 4, pairs, tail, even, odd);
		break;
	case 12:
		add_rows(s, pairs ? 12 : 4, pairs, tail, even, odd);
		break;
	case 13:
		add_rows(s, pairs ? 13 : 4, pairs, tail, even, odd);
		break;
	default:
		add_rows(s, 4, pairs, tail, even, odd);
	}
}

/* Divide column sums among boxes up to 16 wide, eight at a time, each box up to 8 lanes of even[]
 * and of odd[]. Of odd boxes side by side the first has its extra column in even[], the second in
 * odd[], and so on. */
AVX2 INLINE void fold_narrow(const struct patch_job *job, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	uint32_t few = job->w / 2, many = (job->w + 1) / 2;
	__m256i few_lanes = first32(few), many_lanes = first32(many);
	__m256i b[8], x;

	for (unsigned int i = 0; i < job->count; i += 8) {
		PATCH_UNROLL
		for (int k = 0; k < 8; k++) {
			b[k] = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)even),
				k % 2 == 0 ? many_lanes : few_lanes);
			even += k % 2 == 0 ? many : few;
			if (pairs)
				continue;
			x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)odd),
				k % 2 == 0 ? few_lanes : many_lanes);
			odd += k % 2 == 0 ? few : many;
			b[k] = _mm256_add_epi32(b[k], x);
		}
		x = add_eight(b);
		if (job->count - i >= 8)
			_mm256_storeu_si256((__m256i *)(sums + i), x);
		else
			_mm256_maskstore_epi32((int *)sums + i, first32(job->count - i), x);
	}
}

AVX2 INLINE __m256i add_some(__m256i sum, const uint32_t *from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += 8) {
		__m256i valid = first32(count - i < 8 ? count - i : 8);

		sum = _mm256_add_epi32(sum, _mm256_maskload_epi32((const int *)from + i, valid));
	}
	return sum;
}

/* The same for boxes of any width, one at a time. */
AVX2 INLINE void fold_wide(const struct patch_job *job, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	for (unsigned int i = 0; i < job->count; i++) {
		uint32_t first = i * job->w, end = first + job->w;
		__m256i sum = _mm256_setzero_si256();

		sum = add_some(sum, even + (first + 1) / 2, (end + 1) / 2 - (first + 1) / 2);
		if (!pairs)
			sum = add_some(sum, odd + first / 2, end / 2 - first / 2);
		sums[i] = (uint32_t)add_lanes(sum);
	}
}

AVX2 INLINE void add_boxes(const struct patch *patch, const struct patch_job *job, uint32_t block,
	uint32_t offset, ptrdiff_t ahead, const uint16_t *pixels, bool pairs,
	struct patch_columns *columns)
{
	struct strip s = {.end = pixels + patch->pixels,
		.stride = patch->stride,
		.ahead = ahead,
		.h = job->h};

	for (uint32_t col = 0; col < job->width; col += block) {
		uint32_t left = job->width - col;

		s.pixels = pixels + offset + col;
		add_columns(&s, left < block ? left : block, pairs, columns->even + col / 2,
			columns->odd + col / 2);
	}
}

AVX2 INLINE void fold(const struct patch_job *shape, bool pairs,
	const struct patch_columns *columns, int32_t *sums)
{
	if (shape->w <= 16)
		fold_narrow(shape, pairs, columns->even, columns->odd, (uint32_t *)sums);
	else
		fold_wide(shape, pairs, columns->even, columns->odd, (uint32_t *)sums);
}

/* A strip is divided among its boxes only when the next one has been read: loading its column sums,
 * each across two of the stores just done, would wait for these, and the reading of pixels for them.
 * What is the same for all strips is in `shape`, which nothing that is stored can change, so that it
 * is worked out once. */
AVX2 INLINE void sum_boxes(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels, bool pairs,
	int32_t *sums, size_t step)
{
	const struct patch_job shape = *job;
	const uint32_t block = block_of(shape.width, pairs ? BOX_VECTORS : VECTORS);
	struct patch_columns columns[2];

	for (unsigned int i = 0; i < jobs; i++) {
		uint32_t offset = job[i].offset, then = (i + 1 < jobs ? &job[i + 1] : next)->offset;
		ptrdiff_t ahead = patch->fetch_ahead ? (ptrdiff_t)then - (ptrdiff_t)offset : 0;

		add_boxes(patch, &shape, block, offset, ahead, pixels, pairs, &columns[i % 2]);
		if (i > 0)
			fold(&shape, pairs, &columns[(i - 1) % 2], sums + (i - 1) * step);
	}
	fold(&shape, pairs, &columns[(jobs - 1) % 2], sums + (jobs - 1) * step);
}

AVX2 void patch_boxes_avx2(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels, int32_t *sums,
	size_t step)
{
	if (job->split)
		sum_boxes(patch, job, jobs, next, pixels, false, sums, step);
	else
		sum_boxes(patch, job, jobs, next, pixels, true, sums, step);
}
#endif
