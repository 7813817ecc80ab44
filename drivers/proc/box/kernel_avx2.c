/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include <immintrin.h>

#include "box.h"

/* Tuned as well as compiled for it: tuning for older processors splits unaligned loads in two. */
#define AVX2 __attribute__((target("avx2,popcnt,tune=haswell")))
#define INLINE static inline __attribute__((always_inline))

#define LANES 16  /* pixels of a vector */
#define VECTORS 4 /* columns of vectors held in registers at once */

/* Pixels to sum downwards, and how far ahead those are that come next. */
struct strip {
	const uint16_t *pixels;
	const uint16_t *end; /* of the frame: nothing is read from here on */
	size_t stride;
	ptrdiff_t ahead;
	uint32_t h;
};

static bool avx2_supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

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
AVX2 static __attribute__((noinline, cold)) __m256i load_tail(const uint16_t *p, uint32_t count)
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

/* Sum the columns of a strip of so many vectors, `last` pixels in the last one. A vector is added
 * as 32-bit lanes of two pixels: `both` collects odd * 65536 + even modulo 2^32 and `high` the
 * upper halves, so that the even sum is both - high * 65536. vectors is a constant at each call and
 * `pairs` known, so that the sums stay in registers. pairs: even[] gets the sums of two columns
 * each; otherwise even[] and odd[] get theirs. */
AVX2 INLINE void add_rows(const struct strip *s, int vectors, bool pairs, uint32_t last,
	uint32_t *even, uint32_t *odd)
{
	const uint16_t *pixels = s->pixels;
	const __m256i mask = first16(last);
	__m256i both[VECTORS], high[VECTORS], v;

	BOX_UNROLL
	for (int i = 0; i < vectors; i++)
		both[i] = high[i] = _mm256_setzero_si256();
	for (uint32_t row = 0; row < s->h; row++, pixels += s->stride) {
		BOX_UNROLL
		for (int i = 0; i < vectors; i++) {
			const uint16_t *p = pixels + i * LANES;

			_mm_prefetch((const char *)(p + s->ahead), _MM_HINT_T0);
			if (i < vectors - 1)
				v = _mm256_loadu_si256((const __m256i *)p);
			else
				v = load_some(p, s->end, last, mask);
			both[i] = _mm256_add_epi32(both[i], v);
			high[i] = _mm256_add_epi32(high[i], _mm256_srli_epi32(v, 16));
		}
	}
	BOX_UNROLL
	for (int i = 0; i < vectors; i++) {
		v = _mm256_sub_epi32(both[i], _mm256_slli_epi32(high[i], 16));
		if (pairs)
			v = _mm256_add_epi32(v, high[i]);
		else
			_mm256_store_si256((__m256i *)(odd + i * LANES / 2), high[i]);
		_mm256_store_si256((__m256i *)(even + i * LANES / 2), v);
	}
}

AVX2 INLINE void add_columns(
	const struct strip *s, uint32_t w, bool pairs, uint32_t *even, uint32_t *odd)
{
	uint32_t vectors = (w + LANES - 1) / LANES;
	uint32_t last = w - (vectors - 1) * LANES;

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
	default:
		add_rows(s, 4, pairs, last, even, odd);
	}
}

/* Divide column sums among boxes up to 16 wide, eight at a time, each box up to 8 lanes of even[]
 * and of odd[]. Of odd boxes side by side the first has its extra column in even[], the second in
 * odd[], and so on. */
AVX2 INLINE void fold_narrow(const struct box_run *run, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	uint32_t few = run->w / 2, many = (run->w + 1) / 2;
	__m256i few_lanes = first32(few), many_lanes = first32(many);
	__m256i b[8], x, y;

	for (unsigned int i = 0; i < run->count; i += 8) {
		BOX_UNROLL
		for (int k = 0; k < 8; k++) {
			b[k] = _mm256_maskload_epi32(
				(const int *)even, k % 2 == 0 ? many_lanes : few_lanes);
			even += k % 2 == 0 ? many : few;
			if (pairs)
				continue;
			x = _mm256_maskload_epi32(
				(const int *)odd, k % 2 == 0 ? few_lanes : many_lanes);
			odd += k % 2 == 0 ? few : many;
			b[k] = _mm256_add_epi32(b[k], x);
		}
		x = _mm256_hadd_epi32(_mm256_hadd_epi32(b[0], b[1]), _mm256_hadd_epi32(b[2], b[3]));
		y = _mm256_hadd_epi32(_mm256_hadd_epi32(b[4], b[5]), _mm256_hadd_epi32(b[6], b[7]));
		x = _mm256_add_epi32(_mm256_permute2x128_si256(x, y, 0x20),
			_mm256_permute2x128_si256(x, y, 0x31));
		_mm256_maskstore_epi32((int *)sums + i, first32(run->count - i), x);
	}
}

AVX2 INLINE uint32_t add_lanes(__m256i v)
{
	__m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(x);
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
AVX2 INLINE void fold_wide(const struct box_run *run, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	for (unsigned int i = 0; i < run->count; i++) {
		uint32_t first = i * run->w, end = first + run->w;
		__m256i sum = _mm256_setzero_si256();

		sum = add_some(sum, even + (first + 1) / 2, (end + 1) / 2 - (first + 1) / 2);
		if (!pairs)
			sum = add_some(sum, odd + first / 2, end / 2 - first / 2);
		sums[i] = add_lanes(sum);
	}
}

AVX2 INLINE void sum_run(const struct box *box, const struct box_run *run, ptrdiff_t ahead,
	const uint16_t *pixels, bool pairs, uint32_t *sums)
{
	/* fold_narrow reads, and throws away, up to seven boxes beyond the last. */
	uint32_t even[BOX_RUN_PIXELS / 2 + 64] __attribute__((aligned(32)));
	uint32_t odd[BOX_RUN_PIXELS / 2 + 64] __attribute__((aligned(32)));
	struct strip s = {
		.end = pixels + box->pixels, .stride = box->stride, .ahead = ahead, .h = run->h};
	uint32_t width = run->w * run->count;

	for (uint32_t col = 0; col < width; col += VECTORS * LANES) {
		uint32_t left = width - col;

		s.pixels = pixels + run->offset + col;
		add_columns(&s, left < VECTORS * LANES ? left : VECTORS * LANES, pairs,
			even + col / 2, odd + col / 2);
	}
	if (run->w <= 16)
		fold_narrow(run, pairs, even, odd, sums);
	else
		fold_wide(run, pairs, even, odd, sums);
}

/* A box by itself, 16 columns at a time. */
AVX2 INLINE uint32_t sum_one(
	const struct box *box, const struct box_run *run, const uint16_t *pixels)
{
	__m256i both = _mm256_setzero_si256(), high = both, v;

	for (uint32_t col = 0; col < run->w; col += LANES) {
		uint32_t count = run->w - col < LANES ? run->w - col : LANES;
		const uint16_t *p = pixels + run->offset + col;
		__m256i mask = first16(count);

		for (uint32_t row = 0; row < run->h; row++, p += box->stride) {
			v = load_some(p, pixels + box->pixels, count, mask);
			both = _mm256_add_epi32(both, v);
			high = _mm256_add_epi32(high, _mm256_srli_epi32(v, 16));
		}
	}
	both = _mm256_sub_epi32(both, _mm256_slli_epi32(high, 16));
	return add_lanes(_mm256_add_epi32(both, high));
}

AVX2 static void avx2_sums(const struct box *box, const uint16_t *pixels, uint32_t *sums)
{
	for (unsigned int r = 0; r < box->runs; r++) {
		const struct box_run *run = &box->run[r], *next = run + (r + 1 < box->runs);
		ptrdiff_t ahead = (ptrdiff_t)next->offset - (ptrdiff_t)run->offset;

		if (run->count == 1)
			sums[run->first] = sum_one(box, run, pixels);
		else if (run->w % 2 == 0)
			sum_run(box, run, ahead, pixels, true, sums + run->first);
		else
			sum_run(box, run, ahead, pixels, false, sums + run->first);
	}
}

AVX2 static unsigned int avx2_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i += 8) {
		__m256i valid = first32(count - i < 8 ? count - i : 8);
		__m256i s = _mm256_maskload_epi32(sums + i, valid);
		__m256i t = _mm256_maskload_epi32(limits + i, valid);
		__m256i lt = _mm256_cmpgt_epi32(t, s);
		int set = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_andnot_si256(lt, valid)));

		bits[i / 8] = (uint8_t)set;
		occupied += (unsigned int)__builtin_popcount((unsigned int)set);
	}
	return occupied;
}

const struct box_kernel box_kernel_avx2 = {
	.name = "avx2",
	.needs = "AVX2",
	.supported = avx2_supported,
	.sums = avx2_sums,
	.compare = avx2_compare,
};
#endif
