/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <sys/types.h>

#include "reader/reader.h"

/* Private to lib/reader. */

#define NO_SEQ UINT64_MAX /* raw: no line names this frame */

struct dip_reader_private {
	char path[4400];
	uint8_t *batch; /* of dip_reader_next */
	uint64_t batch_records, first, count, next;
	uint8_t *one;  /* of dip_reader_read */
	size_t one_bytes;
	uint64_t *seq; /* raw: by slot */
};

/* Read len bytes at offset. Returns how many there were before the end of the file, or a negative
 * errno. */
ssize_t dip_read_at(int fd, void *buf, size_t len, uint64_t offset);

/* Fill in shape, stride and promised from an npy segment's header. */
int dip_reader_header(struct dip_reader *reader, struct dip_error *err);

/* Judge the record of a slot: size bytes from image on, and the trailer; image NULL and size 0: only the
 * trailer is there. The padding is what is behind the two. */
void dip_reader_judge(struct dip_reader *reader, uint64_t slot, const uint8_t *image,
	const uint8_t *trailer, size_t size, struct dip_record *record);

/* raw: the numbers from the index. */
int dip_reader_number(struct dip_reader *reader, struct dip_error *err);
