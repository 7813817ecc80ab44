/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader/reader_impl.h"

#define PART_BYTES 65536

/* Of an image in the file and its trailer. */
static int checksum(
	const struct dip_reader *r, uint64_t at, const struct dip_trailer *t, uint32_t *crc)
{
	uint64_t end = at + t->length;
	char part[PART_BYTES];

	*crc = 0;
	while (at < end) {
		size_t size = end - at < PART_BYTES ? end - at : PART_BYTES;
		ssize_t n = dip_read_at(r->fd, part, size, at);

		if (n != (ssize_t)size)
			return n < 0 ? n : -EAGAIN;
		*crc = dip_crc32c(*crc, part, size);
		at += size;
	}
	*crc = dip_trailer_crc32c(*crc, t);
	return 0;
}

/* 1 when the trailer at that byte of the file ends a good record in another place than the header
 * says. */
static int is_stray(const struct dip_reader *r, uint64_t at, const struct dip_trailer *t)
{
	uint64_t first = at - t->length;
	uint32_t crc;
	int ret;

	if (t->length == 0 || t->length > at - r->head)
		return 0;
	if (t->length == (uint32_t)r->image_bytes && (first - r->head) % r->stride == 0)
		return 0;
	if (r->has_run_id && t->run_id != r->run_id)
		return 0;
	if ((t->flags & DIP_TRAILER_CRC) == 0)
		return t->flags == 0 && t->crc32c == 0;
	ret = checksum(r, first, t, &crc);
	return ret < 0 ? ret : crc == t->crc32c;
}

int dip_reader_stray(struct dip_reader *r, uint64_t slot, struct dip_error *err)
{
	const struct dip_trailer like = {
		.magic = DIP_TRAILER_MAGIC, .version = DIP_TRAILER_VERSION};
	const size_t sign = offsetof(struct dip_trailer, flags);
	uint64_t at = dip_reader_offset(r, slot),
		 left = r->file_bytes > at ? r->file_bytes - at : 0;
	size_t size = r->stride + sizeof(like) < left ? r->stride + sizeof(like) : left;
	uint8_t *bytes = malloc(size + 1), *p;
	ssize_t n;
	int ret = 0;

	if (bytes == NULL)
		return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	n = dip_read_at(r->fd, bytes, size, at);
	for (p = bytes; n > 0 && ret == 0; p++) {
		struct dip_trailer t;

		p = memmem(p, n - (p - bytes), &like, sign);
		if (p == NULL || p + sizeof(t) > bytes + n)
			break;
		memcpy(&t, p, sizeof(t));
		ret = is_stray(r, at + (p - bytes), &t);
	}
	free(bytes);
	ret = n < 0 ? n : ret;
	return ret < 0 ? dip_fail(err, -ret, "%s: cannot be read: %s", r->path, strerror(-ret))
		       : ret;
}
