/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "results/text.h"

/* The characters of a byte's eight bits, lowest first, as one little-endian word: bit i of the byte
 * moved to the lowest bit of byte i. */
static uint64_t bits_to_text(uint8_t bits)
{
	uint64_t spread = (bits * 0x0101010101010101ULL) & 0x8040201008040201ULL;
	uint64_t ones = ((spread + 0x7f7f7f7f7f7f7f7fULL) >> 7) & 0x0101010101010101ULL;

	/* The addition carries out of no byte: the top byte is at most 0x80 + 0x7f. */
	return ones | 0x3030303030303030ULL;
}

size_t dip_text_bytes(unsigned int sites)
{
	return sizeof("[frame 18446744073709551615] rois=4294967295\n\n") + sites + 8;
}

static char *put_number(char *at, uint64_t value)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = '0' + value % 10;
		value /= 10;
	} while (value > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

static char *put_text(char *at, const char *text, size_t bytes)
{
	memcpy(at, text, bytes);
	return at + bytes;
}

size_t dip_text_format(char *text, const struct dip_result *result, unsigned int sites)
{
	char *at = put_text(text, "[frame ", 7);

	at = put_number(at, result->seq);
	at = put_text(at, "] rois=", 7);
	at = put_number(at, sites);
	*at++ = '\n';
	for (unsigned int i = 0; i < sites; i += 8) {
		uint64_t word = bits_to_text(result->bits[i / 8]);

		memcpy(at + i, &word, sizeof(word));
	}
	at += sites;
	*at++ = '\n';
	return at - text;
}
