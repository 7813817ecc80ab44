/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <isa-l/crc.h>

#include "format/format.h"
#include "npy/npy.h"

uint32_t dip_crc32c(uint32_t crc, const void *data, size_t bytes)
{
	/* ISA-L takes and gives the register itself, not its complement, and an int for the length;
	 * an image of 65,535 x 65,535 pixels is more than that. */
	uint32_t reg = ~crc;
	unsigned char *p = (unsigned char *)data;

	while (bytes > 0) {
		int part = bytes < (1 << 30) ? (int)bytes : 1 << 30;

		reg = crc32_iscsi(p, part, reg);
		p += part;
		bytes -= part;
	}
	return ~reg;
}

uint32_t dip_trailer_crc32c(uint32_t crc_of_image, const struct dip_trailer *t)
{
	return dip_crc32c(crc_of_image, t, offsetof(struct dip_trailer, crc32c));
}

uint32_t dip_record_crc32c(const void *image, size_t image_bytes, const struct dip_trailer *t)
{
	return dip_trailer_crc32c(dip_crc32c(0, image, image_bytes), t);
}

size_t dip_record_bytes(size_t image_bytes, size_t block_bytes)
{
	size_t bytes = image_bytes + sizeof(struct dip_trailer);

	return (bytes + block_bytes - 1) / block_bytes * block_bytes;
}

void dip_record_seal(void *record, size_t image_bytes, size_t stride,
	const struct dip_trailer *fields, bool checksum)
{
	uint8_t *at = (uint8_t *)record + image_bytes;
	struct dip_trailer t = *fields;

	t.magic = DIP_TRAILER_MAGIC;
	t.version = DIP_TRAILER_VERSION;
	t.flags = checksum ? DIP_TRAILER_CRC : 0;
	t.length = image_bytes;
	t.crc32c = 0;
	if (checksum)
		t.crc32c = dip_record_crc32c(record, image_bytes, &t);
	memcpy(at, &t, sizeof(t));
	memset(at + sizeof(t), 0, stride - image_bytes - sizeof(t));
}

int dip_segment_header(void *buf, uint32_t width, uint32_t height, size_t stride, uint64_t records)
{
	size_t image_bytes = (size_t)width * height * sizeof(uint16_t);
	size_t pad = stride - image_bytes - sizeof(struct dip_trailer);
	char descr[512], shape[32], pad_field[64] = "";

	if (pad > 0)
		snprintf(pad_field, sizeof(pad_field), ", ('pad', '|V%zu')", pad);
	snprintf(descr, sizeof(descr),
		"[('image', '<u2', (%" PRIu32 ", %" PRIu32
		")), ('magic', '<u4'), ('version', '<u2'), "
		"('flags', '<u2'), ('seq', '<u8'), ('timestamp_ns', '<u8'), ('run_id', '<u8'), "
		"('length', '<u4'), ('crc32c', '<u4')%s]",
		height, width, pad_field);
	snprintf(shape, sizeof(shape), "(%" PRIu64 ",)", records);
	return dip_npy_header_write(buf, DIP_HEADER_BYTES, descr, shape);
}
