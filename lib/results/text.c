/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "results/format.h"

/* proc.results = "text": the original's two lines for each result,
 *
 *	[frame SEQ] rois=N
 *	0110...   (N characters)
 */

#define HEAD "[frame "
#define MIDDLE "] rois="
#define DIGITS 20 /* of a 64-bit number */

/* The characters of a byte's eight bits, lowest first, as one little-endian word: bit i of the byte
 * moved to the lowest bit of byte i. */
static uint64_t bits_to_text(uint8_t bits)
{
	uint64_t spread = (bits * 0x0101010101010101ULL) & 0x8040201008040201ULL;
	uint64_t ones = ((spread + 0x7f7f7f7f7f7f7f7fULL) >> 7) & 0x0101010101010101ULL;

	/* The addition carries out of no byte: the top byte is at most 0x80 + 0x7f. */
	return ones | 0x3030303030303030ULL;
}

static size_t text_most(const struct dip_results_shape *shape)
{
	/* Whole words are written at the end of the bits. */
	return sizeof(HEAD MIDDLE "\n\n") + 2 * DIGITS + shape->sites + 8;
}

static size_t text_least(const struct dip_results_shape *shape)
{
	return sizeof(HEAD MIDDLE "00\n\n") - 1 + shape->sites;
}

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
	char digits[DIGITS];
	unsigned int n = 0;

	do {
		digits[n++] = '0' + value % 10;
		value /= 10;
	} while (value > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
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
	for (unsigned int i = 0; i < shape->sites; i += 8) {
		uint64_t word = bits_to_text(result->bits[i / 8]);

		memcpy(at + i, &word, sizeof(word));
	}
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
