/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "npy/npy.h"
#include "util/file.h"

/* The number of records in the header, two words of eight characters, filled up with spaces on the
 * left. A header is read while it is changed; but a write of one aligned word is seen whole or not
 * at all (the kernel copies it by one instruction), and every state in between promises less. */
#define WORD 8
#define HALF 100000000 /* 10^8: what the lower word counts to */

static const char shape_key[] = "'shape': (";

/* Both words of a number: a leading zero is no number to Python. */
static void put_words(uint64_t records, char words[2 * WORD + 1])
{
	snprintf(words, 2 * WORD + 1, "%16" PRIu64, records);
}

int dip_npy_growing_header(void *buf, size_t size, const char *descr, size_t *at)
{
	char shape[64], words[2 * WORD + 1];

	put_words(0, words);
	for (int indent = 0; indent < 2 * WORD; indent++) {
		int ret;

		snprintf(shape, sizeof(shape), "(%*s%s,)", indent, "", words);
		ret = dip_npy_header_write(buf, size, descr, shape);
		if (ret < 0)
			return ret;
		*at = (const char *)memmem(buf, size, shape_key, strlen(shape_key)) -
		      (const char *)buf + strlen(shape_key) + indent;
		if (*at % (2 * WORD) == 0)
			return 0;
	}
	return -EINVAL;
}

int dip_npy_grow(int fd, size_t at, uint64_t from, uint64_t to)
{
	char words[2 * WORD + 1];
	int ret;

	if (to >= (uint64_t)HALF * HALF)
		return -EFBIG;
	put_words(to, words);
	if (from / HALF != to / HALF) {
		/* Between the two words changing, the lower one is 0. */
		ret = dip_write_at(fd, "00000000", WORD, at + WORD);
		if (ret == 0)
			ret = dip_write_at(fd, words, WORD, at);
		if (ret < 0)
			return ret;
	}
	return dip_write_at(fd, words + WORD, WORD, at + WORD);
}
