/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#ifdef __SSSE3__
#include <immintrin.h>
#endif

#include "results/format.h"

/* proc.results = "text": the original's two lines for each result,
 *
 *	[frame SEQ] rois=N
 *	0110...   (N characters)
 */

#define HEAD "[frame "
#define MIDDLE "] rois="
#define DIGITS 20 /* of a 64-bit number */

/* Sites whose characters are written at once: 16 even where fewer are left. */
#define AT_ONCE 16

#ifdef __SSSE3__

/* The characters of 16 bits, lowest first: each byte of the vector gets the byte of its bit, picks
 * the bit, and '1' or '0' by whether it is set. */
static void put_bits(uint8_t *at, const uint8_t *bits)
{
	const __m128i spread = _mm_set_epi64x(0x0101010101010101, 0);
	const __m128i pick = _mm_set1_epi64x((int64_t)0x8040201008040201);
	uint16_t both;
	__m128i set;

	memcpy(&both, bits, sizeof(both));
	set = _mm_and_si128(_mm_shuffle_epi8(_mm_cvtsi32_si128(both), spread), pick);
	set = _mm_cmpeq_epi8(set, pick); /* -1 where the bit is set */
	_mm_storeu_si128((__m128i *)at, _mm_sub_epi8(_mm_set1_epi8('0'), set));
}

#else

static void put_bits(uint8_t *at, const uint8_t *bits)
{
	for (unsigned int i = 0; i < AT_ONCE; i++)
		at[i] = '0' + (bits[i / 8] >> i % 8 & 1);
}

#endif

static size_t text_most(const struct dip_results_shape *shape)
{
	return sizeof(HEAD MIDDLE "\n\n") + 2 * DIGITS + shape->sites + AT_ONCE;
}

static size_t text_least(const struct dip_results_shape *shape)
{
	return sizeof(HEAD MIDDLE "00\n\n") - 1 + shape->sites;
}

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
	char digits[DIGITS];
	unsigned int n = DIGITS;

	do {
		digits[--n] = '0' + value % 10;
		value /= 10;
	} while (value > 0);
	memcpy(at, digits + n, DIGITS - n);
	return at + DIGITS - n;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t bytes)
{
	memcpy(at, text, bytes);
	return at + bytes;
}

static size_t text_put(
	const struct dip_results_shape *shape, const struct dip_result *result, uint8_t *text)
{
	uint8_t *at = put_text(text, HEAD, sizeof(HEAD) - 1);

	at = put_number(at, result->seq);
	at = put_text(at, MIDDLE, sizeof(MIDDLE) - 1);
	at = put_number(at, shape->sites);
	*at++ = '\n';
	for (unsigned int i = 0; i < shape->sites; i += AT_ONCE)
		put_bits(at + i, result->bits + i / 8);
	at += shape->sites;
	*at++ = '\n';
	return at - text;
}

const struct dip_results_format dip_results_text = {
	.name = "text",
	.suffix = ".txt",
	.most = text_most,
	.least = text_least,
	.put = text_put,
};
