/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"
#include "util/error.h"

/* Reads a segment of an archive, closed, open or torn, and says of each record whether it is good,
 * by the rules of scripts/dipformat.py. Needs neither DPDK nor root. Plain reads, not mmap: a
 * segment may be cut while it is read. A reader belongs to one thread.
 *
 *	slot      0                 written          records        promised
 *	header | good | bad | good | zeros ... zeros | rest, < stride |
 *
 * A raw segment (.bin) is bare frames: its shape is told from outside, its numbers are in its
 * index, nothing in it can be checked. */

#define DIP_UNKNOWN UINT64_MAX

struct dip_shape {
	uint32_t height, width; /* pixels, 1..65,535 each */
};

enum dip_record_fault {
	DIP_GOOD,
	DIP_NEVER_WRITTEN, /* magic 0 */
	DIP_BAD_MAGIC,
	DIP_BAD_VERSION,
	DIP_BAD_LENGTH,
	DIP_BAD_CRC,
	DIP_BAD_FLAGS,
	DIP_OTHER_RUN,   /* good by itself, but with another run_id than the records before it */
	DIP_CUT,         /* the file ends inside it */
	DIP_NOT_INDEXED, /* raw: no line of the index names it */
};

struct dip_record {
	uint64_t slot;
	uint64_t offset;            /* of its image in the file, bytes */
	const void *image; /* image_bytes of it; the reader's, until its next call */
	size_t bytes; /* from image on, as far as the file has them, stride at most; of an image that
		       * is not all there, no more than these are in memory */
	struct dip_trailer trailer; /* as found; of a raw frame only seq and length are set */
	enum dip_record_fault fault;
	uint32_t crc;     /* as computed; with DIP_BAD_CRC only */
	bool pad_damaged; /* the padding is not all zeros; the frame is good all the same */
};

struct dip_reader {
	const char *path;
	int fd;
	bool npy;
	struct dip_shape shape;
	size_t image_bytes;
	size_t stride;       /* bytes from one record to the next */
	uint64_t head;       /* bytes before the first record */
	uint64_t file_bytes; /* at the open, as all below */
	uint64_t promised;   /* records, by the header */
	uint64_t records;    /* whole ones in the file */
	uint64_t rest;       /* bytes behind them */
	uint64_t written;    /* records up to the last that is there; holes before it are bad */
	bool indexed;        /* raw: an index gives the numbers; else they are the positions */
	bool has_run_id;     /* a good record was read; set it beforehand to ask for a run */
	uint64_t run_id;
	struct dip_reader_private *private;
};

/* Open a segment by its suffix, .npy or .bin. shape: of a raw segment, ignored for others, NULL
 * when unknown. Returns 0 and the reader (close it with dip_reader_close), or with *err: -EINVAL
 * for what is no segment, or a raw one without a shape; -EBADMSG for one that has a damaged header,
 * or a raw one that is not whole frames; else the errno of open or read. */
int dip_reader_open(const char *path, const struct dip_shape *shape, struct dip_reader **reader,
	struct dip_error *err);

/* Open an npy segment by shape and stride as told, whatever is in its header; promised is
 * DIP_UNKNOWN. The stride is at least that of an unpadded record. Returns as dip_reader_open. */
int dip_reader_open_as(const char *path, const struct dip_shape *shape, size_t stride,
	struct dip_reader **reader, struct dip_error *err);
void dip_reader_close(struct dip_reader *reader); /* NULL is allowed */

/* The next record up to `written`, judged; behind the last whole one, when nothing was left
 * unwritten, a rest is a record that is DIP_CUT. Returns 1 with *record, 0 at the end, or a
 * negative errno with *err: -EAGAIN when the file has become shorter since it was opened. */
int dip_reader_next(struct dip_reader *reader, struct dip_record *record, struct dip_error *err);

/* Read and judge one record anew, whatever `written` says. What the file does not have (any more)
 * counts as zeros, so a record that was cut within its padding is good. Does not move
 * dip_reader_next. Returns 0, or a negative errno with *err. */
int dip_reader_read(
	struct dip_reader *reader, uint64_t slot, struct dip_record *record, struct dip_error *err);

/* Read a trailer only, into record->trailer, and judge what can be judged without the image:
 * record->image is NULL, DIP_BAD_CRC is not found. Returns as dip_reader_read. */
int dip_reader_peek(
	struct dip_reader *reader, uint64_t slot, struct dip_record *record, struct dip_error *err);

/* Whether a record of the run (of any, as long as that is not known) lies in the bytes of a slot
 * that is good by itself, but in another place or of another size than the header says: 1, the
 * header is wrong; 0; or a negative errno with *err. npy only. */
int dip_reader_stray(struct dip_reader *reader, uint64_t slot, struct dip_error *err);

/* Look at header and size of an npy segment again: promised, file_bytes, records and rest are
 * brought up to date, written is not. Returns 0, or a negative errno with *err: -EBADMSG also while
 * the header is just being written. */
int dip_reader_refresh(struct dip_reader *reader, struct dip_error *err);

/* Where the image of a record is in the file, bytes. */
uint64_t dip_reader_offset(const struct dip_reader *reader, uint64_t slot);

/* Whether something has the segment open for writing, as far as the file system can tell. */
bool dip_reader_in_use(const struct dip_reader *reader);

/* Say why a record is bad: "found; expected". Empty for a good one. */
void dip_record_describe(
	const struct dip_reader *reader, const struct dip_record *record, char *text, size_t size);
