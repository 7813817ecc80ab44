/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* A segment of an archive run: <dir>/<prefix>_000000.npy (or .bin) and, beside it, its index
 * <prefix>_000000.idx with a line "seq offset" for each record.
 *
 *	open (preallocated, the header promises all) -> records are written from outside, committed in
 *	order -> close (header and size cut to the records committed)
 */

struct dip_segment_conf {
	char dir[4096]; /* the run's folder */
	char prefix[256];
	bool npy; /* NumPy records; else bare frames */
	uint32_t width, height;
	uint64_t segment_bytes;
	size_t block_bytes; /* npy: records are padded to a multiple of it */
	bool direct;        /* O_DIRECT where the file system and the record size allow it */
	bool make_index;
};

struct dip_segment {
	const struct dip_segment_conf *conf;
	char path[4400];
	int fd, idx_fd;
	bool named;         /* made whole, and under its name */
	bool gone;          /* removed behind our back: a close only gives up */
	bool made_dir;      /* the run's folder was made for this segment */
	bool direct;        /* opened with O_DIRECT */
	size_t stride;      /* bytes from one record to the next, and of one write */
	uint64_t capacity;  /* records */
	uint64_t committed; /* records known to be written, all of them in a row */
	char *idx;          /* index lines not yet written */
	size_t idx_used;    /* bytes */
	uint64_t idx_lost;  /* lines for which there was no room while the file failed */
	off_t idx_end;      /* bytes of whole lines in the file */
};

/* The stride and the number of records of a segment under this configuration. */
size_t dip_segment_stride(const struct dip_segment_conf *conf);
uint64_t dip_segment_capacity(const struct dip_segment_conf *conf);

/* Create segment number. conf must stay. The run's folder is made when it is not there (but not
 * its parent). Returns 0, or a negative errno with *err and nothing left behind. */
int dip_segment_open(const struct dip_segment_conf *conf, unsigned int number,
	struct dip_segment *segment, struct dip_error *err);

/* Offset of record slot in the file, bytes. */
uint64_t dip_segment_offset(const struct dip_segment *segment, uint64_t slot);

/* The next record is written: count it and note it for the index. */
void dip_segment_commit(struct dip_segment *segment, uint64_t seq);

/* Write the noted index lines. Returns 0, or a negative errno: the lines, up to 1 MiB of them, are
 * kept for the next time, and the file holds whole lines only. */
int dip_segment_write_index(struct dip_segment *segment);

/* False when the file has been removed behind our back. */
bool dip_segment_linked(const struct dip_segment *segment);

/* Cut header and file to the records committed, make them durable, close. A segment without a
 * record is removed. Returns 0, or the first negative errno with *err. */
int dip_segment_close(struct dip_segment *segment, struct dip_error *err);

/* Close the descriptors only: the file is gone. */
void dip_segment_abandon(struct dip_segment *segment);
