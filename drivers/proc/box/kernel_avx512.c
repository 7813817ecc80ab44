/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#include "box.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,popcnt")))
#define INLINE static inline __attribute__((always_inline))

#define LANES 32  /* pixels of a vector */
#define VECTORS 8 /* columns of vectors held in registers at once */

/* The multiply-add takes pixels as signed. With its top bit flipped a pixel is the signed number
 * 32,768 below it, which is made good once a sum, modulo 2^32, for all pixels added. */
#define BIAS 32768u

/* Pixels to sum downwards, and how far ahead those are that come next. */
struct strip {
	const uint16_t *pixels;
	size_t stride;
	ptrdiff_t ahead;
	uint32_t h;
};

static bool avx512_supported(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
	       __builtin_cpu_supports("popcnt");
}

/* Sum the columns of a strip of so many vectors. vectors is a constant at each call and `pairs`
 * known, so that the sums stay in registers. pairs: even[] gets the sums of two columns each;
 * otherwise even[] and odd[] get theirs. Lanes that are off in `last` are not read and count 0.
 *
 * The prefetch is for the next strip: its rows come from the second-level cache at the pace at
 * which these are summed, where the processor by itself would not look beyond the fold. */
AVX512 INLINE void add_rows(const struct strip *s, int vectors, bool pairs, __mmask32 last,
	uint32_t *even, uint32_t *odd)
{
	const __m512i flip = _mm512_set1_epi16((short)BIAS);
	const __m512i low = _mm512_set1_epi32(pairs ? 0x00010001 : 1);
	const __m512i high = _mm512_set1_epi32(0x00010000);
	const __m512i bias = _mm512_set1_epi32((int)(s->h * BIAS * (pairs ? 2 : 1)));
	const uint16_t *pixels = s->pixels;
	__m512i e[VECTORS], o[VECTORS], v;

	BOX_UNROLL
	for (int i = 0; i < vectors; i++)
		e[i] = o[i] = bias;
	for (uint32_t row = 0; row < s->h; row++, pixels += s->stride) {
		BOX_UNROLL
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
	BOX_UNROLL
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

/* Divide column sums among boxes up to 16 wide, eight at a time. Two boxes are w lanes of even[]
 * and w of odd[] whether w is even or not; they are spread to 8 lanes a box on loading. */
AVX512 INLINE void fold_narrow(const struct box_run *run, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0);
	uint32_t few = (1u << run->w / 2) - 1, many = (1u << (run->w + 1) / 2) - 1;
	__mmask16 even_lanes = (__mmask16)(many | few << 8);
	__mmask16 odd_lanes = (__mmask16)(few | many << 8);
	__m512i b[4];

	for (unsigned int i = 0; i < run->count; i += 8) {
		unsigned int left = run->count - i;
		__mmask8 valid = left >= 8 ? 0xff : (__mmask8)((1u << left) - 1);

		BOX_UNROLL
		for (int k = 0; k < 4; k++, even += run->w, odd += run->w) {
			b[k] = _mm512_maskz_expandloadu_epi32(even_lanes, even);
			if (!pairs)
				b[k] = _mm512_add_epi32(
					b[k], _mm512_maskz_expandloadu_epi32(odd_lanes, odd));
		}
		b[0] = _mm512_permutexvar_epi32(order, add_eight_lanes(b[0], b[1], b[2], b[3]));
		_mm256_mask_storeu_epi32(sums + i, valid, _mm512_castsi512_si256(b[0]));
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

/* The same for boxes of any width, one at a time. */
AVX512 INLINE void fold_wide(const struct box_run *run, bool pairs, const uint32_t *even,
	const uint32_t *odd, uint32_t *sums)
{
	for (unsigned int i = 0; i < run->count; i++) {
		uint32_t first = i * run->w, end = first + run->w;
		__m512i sum = _mm512_setzero_si512();

		sum = add_lanes(sum, even + (first + 1) / 2, (end + 1) / 2 - (first + 1) / 2);
		if (!pairs)
			sum = add_lanes(sum, odd + first / 2, end / 2 - first / 2);
		sums[i] = (uint32_t)_mm512_reduce_add_epi32(sum);
	}
}

AVX512 INLINE void sum_run(const struct box *box, const struct box_run *run, ptrdiff_t ahead,
	const uint16_t *pixels, bool pairs, uint32_t *sums)
{
	/* fold_narrow reads, and throws away, up to seven boxes beyond the last. */
	uint32_t even[BOX_RUN_PIXELS / 2 + 64] __attribute__((aligned(64)));
	uint32_t odd[BOX_RUN_PIXELS / 2 + 64] __attribute__((aligned(64)));
	struct strip s = {.stride = box->stride, .ahead = ahead, .h = run->h};
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

/* A box by itself, 32 columns at a time. */
AVX512 INLINE uint32_t sum_one(
	const struct box *box, const struct box_run *run, const uint16_t *pixels)
{
	const __m512i flip = _mm512_set1_epi16((short)BIAS);
	const __m512i ones = _mm512_set1_epi16(1);
	__m512i sum = _mm512_setzero_si512(), v;
	uint32_t total = 0;

	for (uint32_t col = 0; col < run->w; col += LANES) {
		__mmask32 valid = run->w - col >= LANES ? UINT32_MAX : (1u << (run->w - col)) - 1;
		const uint16_t *p = pixels + run->offset + col;

		for (uint32_t row = 0; row < run->h; row++, p += box->stride) {
			v = _mm512_xor_si512(_mm512_maskz_loadu_epi16(valid, p), flip);
			sum = _mm512_dpwssd_epi32(sum, v, ones);
		}
		total += run->h * LANES * BIAS;
	}
	return total + (uint32_t)_mm512_reduce_add_epi32(sum);
}

AVX512 static void avx512_sums(const struct box *box, const uint16_t *pixels, uint32_t *sums)
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

AVX512 static unsigned int avx512_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	unsigned int occupied = 0;

	for (unsigned int i = 0; i < count; i += 16) {
		__mmask16 valid = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
		__m512i s = _mm512_maskz_loadu_epi32(valid, sums + i);
		__m512i t = _mm512_maskz_loadu_epi32(valid, limits + i);
		uint16_t set = _mm512_mask_cmpge_epi32_mask(valid, s, t);

		memcpy(bits + i / 8, &set, sizeof(set));
		occupied += (unsigned int)__builtin_popcount(set);
	}
	return occupied;
}

const struct box_kernel box_kernel_avx512 = {
	.name = "avx512",
	.needs = "AVX-512 F, BW, VL and VNNI",
	.supported = avx512_supported,
	.sums = avx512_sums,
	.compare = avx512_compare,
};
#endif
