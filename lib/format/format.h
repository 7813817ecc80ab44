/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of an archive. An npy segment is a NumPy file: a version 1 header of DIP_HEADER_BYTES,
 * then records of one fixed stride: the image, the trailer behind it, padding. Needs neither DPDK
 * nor root. */

#define DIP_HEADER_BYTES 4096
#define DIP_TRAILER_MAGIC 0x46504944u /* the bytes "DIPF" */
#define DIP_TRAILER_VERSION 1
#define DIP_TRAILER_CRC 1u /* flags: crc32c is there */

struct dip_trailer {
	uint32_t magic;
	uint16_t version;
	uint16_t flags;
	uint64_t seq;
	uint64_t timestamp_ns; /* arrival, UTC */
	uint64_t run_id;       /* tells this run's records from stale blocks of an earlier one */
	uint32_t length;       /* bytes of the image */
	uint32_t crc32c;       /* over the image and the trailer up to here */
} __attribute__((packed));

_Static_assert(sizeof(struct dip_trailer) == 40, "the trailer is part of the file format");

/* Bytes from one record to the next: image and trailer, rounded up to the block size. */
size_t dip_record_bytes(size_t image_bytes, size_t block_bytes);

/* Write the trailer, and zeros up to the stride, behind the image in record. */
void dip_record_seal(void *record, size_t image_bytes, size_t stride,
	const struct dip_trailer *fields, bool checksum);

/* Write the segment's NumPy header, promising that many records. Returns 0 or -ENOSPC. */
int dip_segment_header(void *buf, uint32_t width, uint32_t height, size_t stride, uint64_t records);

/* CRC32C (Castagnoli), crc = 0 to begin; crc of the bytes before to go on. */
uint32_t dip_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The checksum of a record: of its image and of the trailer up to where the checksum is. trailer:
 * an image that is read in parts has its own checksum first. */
uint32_t dip_record_crc32c(const void *image, size_t image_bytes, const struct dip_trailer *t);
uint32_t dip_trailer_crc32c(uint32_t crc_of_image, const struct dip_trailer *t);
