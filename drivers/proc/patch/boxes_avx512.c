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
 * otherwise even[] and odd[] get theirs.
 *
 * The prefetch is for the next strip: its rows come from the second-level cache at the pace at
 * which these are summed, where the processor by itself would not look beyond the fold. With `ahead` 0
 * it does nothing. */
AVX512 INLINE void add_rows(const struct strip *s, int vectors, bool pairs, struct tail tail,
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
				v = _mm512_maskz_loadu_epi16(tail.read, pixels + tail.col);
			v = _mm512_xor_si512(v, flip);
			e[i] = _mm512_dpwssd_epi32(e[i], v, low);
			if (!pairs)
				o[i] = _mm512_dpwssd_epi32(o[i], v, high);
		}
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors - 1; i++) {
		_mm512_store_si512(even + i * LANES / 2, e[i]);
		if (!pairs)
			_mm512_store_si512(odd + i * LANES / 2, o[i]);
	}
	/* The columns that it shares with the vector before have the same sums in both. */
	_mm512_storeu_si512(even + tail.col / 2, e[vectors - 1]);
	if (!pairs)
		_mm512_storeu_si512(odd + tail.col / 2, o[vectors - 1]);
}

/* A strip of more vectors than there are registers for: blocks of eight, the rest one by one. */
AVX512 static __attribute__((noinline)) void add_broad(
	const struct strip *s, uint32_t w, bool pairs, uint32_t *even, uint32_t *odd)
{
	struct strip part = *s;
	uint32_t col = 0;

	for (; w - col > VECTORS * LANES; col += VECTORS * LANES) {
		struct tail tail = tail_of(VECTORS * LANES, VECTORS);

		part.pixels = s->pixels + col;
		if (pairs)
			add_rows(&part, VECTORS, true, tail, even + col / 2, odd + col / 2);
		else
			add_rows(&part, VECTORS, false, tail, even + col / 2, odd + col / 2);
	}
	for (; col < w; col += LANES) {
		struct tail tail = tail_of(w - col < LANES ? w - col : LANES, 1);

		part.pixels = s->pixels + col;
		if (pairs)
			add_rows(&part, 1, true, tail, even + col / 2, odd + col / 2);
		else
			add_rows(&part, 1, false, tail, even + col / 2, odd + col / 2);
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

AVX512 static __attribute__((noinline)) void fold_pairs(
	const struct regular *r, const struct patch_columns *columns, int32_t *sums)
{
	fold_regular(r, false, columns->even, columns->odd, NULL, sums);
}

AVX512 static __attribute__((noinline)) void fold_split(
	const struct regular *r, const struct patch_columns *columns, int32_t *sums)
{
	fold_regular(r, true, columns->even, columns->odd, NULL, sums);
}

/* What strips that are alike have in common, so that it is worked out once. */
struct shape {
	const struct patch *patch;
	const struct patch_job *job, *next; /* the first one, and what comes behind the last */
	unsigned int jobs;
	const uint16_t *pixels;
	int32_t *sums;
	size_t step;
	struct regular regular;
};

AVX512 INLINE void fold(
	const struct shape *s, bool pairs, const struct patch_columns *columns, unsigned int i)
{
	int32_t *sums = s->sums + i * s->step;

	if (s->regular.pitch == 0)
		fold_wide(s->job, pairs, columns->even, columns->odd, (uint32_t *)sums);
	else if (pairs)
		fold_pairs(&s->regular, columns, sums);
	else
		fold_split(&s->regular, columns, sums);
}

/* The strips, vectors of each known, or 0: more than there are registers for. A strip is divided
 * among its boxes only when the next one has been read: loading its column sums, each across two of
 * the stores just done, would wait for these, and the reading of pixels for them. */
AVX512 INLINE void sum_strips(const struct shape *s, int vectors, bool pairs)
{
	const uint32_t width = s->job->width;
	const struct tail tail = tail_of(width, (width + LANES - 1) / LANES);
	struct strip strip = {.stride = s->patch->stride, .h = s->job->h};
	struct patch_columns columns[2];
	unsigned int jobs = s->jobs;

	for (unsigned int i = 0; i < jobs; i++) {
		const struct patch_job *job = &s->job[i], *next = i + 1 < jobs ? job + 1 : s->next;
		struct patch_columns *c = &columns[i % 2];

		if (s->patch->fetch_ahead)
			strip.ahead = (ptrdiff_t)next->offset - (ptrdiff_t)job->offset;
		strip.pixels = s->pixels + job->offset;
		if (vectors > 0)
			add_rows(&strip, vectors, pairs, tail, c->even, c->odd);
		else
			add_broad(&strip, width, pairs, c->even, c->odd);
		if (i > 0)
			fold(s, pairs, &columns[(i - 1) % 2], i - 1);
	}
	fold(s, pairs, &columns[(jobs - 1) % 2], jobs - 1);
}

AVX512 INLINE void any_width(const struct shape *s, bool pairs)
{
	switch ((s->job->width + LANES - 1) / LANES) {
	case 1:
		sum_strips(s, 1, pairs);
		break;
	case 2:
		sum_strips(s, 2, pairs);
		break;
	case 3:
		sum_strips(s, 3, pairs);
		break;
	case 4:
		sum_strips(s, 4, pairs);
		break;
	case 5:
		sum_strips(s, 5, pairs);
		break;
	case 6:
		sum_strips(s, 6, pairs);
		break;
	case 7:
		sum_strips(s, 7, pairs);
		break;
	case 8:
		sum_strips(s, 8, pairs);
		break;
	default:
		sum_strips(s, 0, pairs);
	}
}

AVX512 void patch_boxes_avx512(const struct patch *patch, const struct patch_job *job,
	unsigned int jobs, const struct patch_job *next, const uint16_t *pixels, int32_t *sums,
	size_t step)
{
	struct shape s = {.patch = patch,
		.job = job,
		.next = next,
		.jobs = jobs,
		.pixels = pixels,
		.sums = sums,
		.step = step,
		.regular = regular_of(job, job->split)};

	if (job->split)
		any_width(&s, false);
	else
		any_width(&s, true);
}
#endif
