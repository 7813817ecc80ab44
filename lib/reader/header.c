/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "reader/reader_impl.h"

#define SIDE_MAX 65535
#define PAD_MAX 9999999
#define REMEDY "; recover makes it anew, of a run, or with --shape HxW"

/* A number of Python: digits without leading zeros. NULL when there is none, or it is too large. */
static const char *number(const char *p, uint64_t max, uint64_t *out)
{
	const char *first = p;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			return NULL;
	if (p == first || (*first == '0' && p > first + 1) || v > max)
		return NULL;
	*out = v;
	return p;
}

/* The number behind a word in text. */
static const char *number_after(const char *text, const char *word, uint64_t max, uint64_t *out)
{
	const char *at = text == NULL ? NULL : strstr(text, word);

	return at == NULL ? NULL : number(at + strlen(word), max, out);
}

/* Take the numbers out of the text, write the header that they make, and compare: nothing but the
 * exact bytes passes, so that no flipped bit of a header does. */
static int parse(struct dip_reader *r, const char *head)
{
	uint64_t height, width, pad = 0, promised;
	const char *text = head + 10, *p;
	char again[DIP_HEADER_BYTES];

	p = number_after(text, "('image', '<u2', (", SIDE_MAX, &height);
	if (p == NULL || strncmp(p, ", ", 2) != 0)
		return -EINVAL;
	p = number(p + 2, SIDE_MAX, &width);
	if (p == NULL)
		return -EINVAL;
	if (number_after(p, "'|V", PAD_MAX, &pad) == NULL)
		pad = 0;
	if (number_after(p, "'shape': (", UINT64_MAX, &promised) == NULL || height == 0 ||
		width == 0)
		return -EINVAL;
	r->shape = (struct dip_shape){.height = height, .width = width};
	r->image_bytes = height * width * sizeof(uint16_t);
	r->stride = r->image_bytes + sizeof(struct dip_trailer) + pad;
	r->promised = promised;
	if (dip_segment_header(again, width, height, r->stride, promised) < 0)
		return -EINVAL;
	return memcmp(head, again, DIP_HEADER_BYTES) == 0 ? 0 : -EINVAL;
}

int dip_reader_header(struct dip_reader *r, struct dip_error *err)
{
	char head[DIP_HEADER_BYTES + 1];
	ssize_t n = dip_read_at(r->fd, head, DIP_HEADER_BYTES, 0);

	if (n < 0)
		return dip_fail(err, -n, "%s: cannot be read: %s", r->path, strerror(-n));
	if (n < 6 || memcmp(head, "\x93NUMPY", 6) != 0)
		return dip_fail(err, EBADMSG,
			"%s: found %s; expected a segment, which starts with \\x93NUMPY" REMEDY,
			r->path, n == 0 ? "an empty file" : "other bytes at its start");
	head[n] = '\0';
	if (n > 21 && strncmp(head + 10, "{'descr': '", 11) == 0)
		return dip_fail(err, EINVAL,
			"%s: found a plain array; expected an archive segment; "
			"it needs no tool, read it with numpy.load",
			r->path);
	if (n < DIP_HEADER_BYTES)
		return dip_fail(err, EBADMSG,
			"%s: found %zd bytes; expected a header of %d; "
			"it is cut and holds no record",
			r->path, n, DIP_HEADER_BYTES);
	/* Text functions must not run past it. */
	if (memchr(head + 10, '\0', DIP_HEADER_BYTES - 10) == NULL && parse(r, head) == 0)
		return 0;
	return dip_fail(err, EBADMSG,
		"%s: found a damaged header; expected exactly the %d bytes that a segment "
		"starts with" REMEDY,
		r->path, DIP_HEADER_BYTES);
}
