/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/files.h"
#include "util/error.h"

/* A segment of an archive run: <dir>/<prefix>_000000.npy (or .bin) and, beside it, its index
 * <prefix>_000000.idx with a line "seq offset" for each record.
 *
 *	open ----> records are written from outside, committed in order ----> cut ----> close
 *	 |            |            every now and then                           |
 *	 |            +--> sync (the records) --> index (their lines)           |
 *	 |                  | fails                                             v
 *	 v                  v                                          header and size are
 *	preallocated;     condemned: <name>.condemned,                 cut to the records
 *	the header        kept, never called good                      committed
 *	promises all
 *
 * What holds after a loss of power at any moment: an index has lines only of records that are
 * durable, in segments whose header and name are. A segment that has never been synced may be there
 * without its header; there is no durable record in it.
 *
 * A sync makes a disk empty its cache, which takes it long under load: opening a segment makes
 * none, and those of several segments are made together. */

struct dip_segment_conf {
	const struct dip_file_ops *files;
	char dir[4096]; /* the run's folder */
	char prefix[256];
	bool npy; /* NumPy records; else bare frames */
	uint32_t width, height;
	uint64_t segment_bytes;
	size_t block_bytes; /* npy: records are padded to a multiple of it */
	bool direct;        /* O_DIRECT where the file system and the record size allow it */
	bool make_index;
};

#define DIP_SEGMENT_FOLDERS 2 /* its own, and that one's parent */

struct dip_segment {
	const struct dip_segment_conf *conf;
	char path[4400];
	int fd, idx_fd;
	int folder_fd[DIP_SEGMENT_FOLDERS]; /* until its name is durable; -1: none */
	bool named;                         /* made whole, and under its name */
	bool made_dir;                      /* the run's folder was made for this segment */
	bool reserved;                      /* the blocks of all records are set aside */
	bool direct;                        /* opened with O_DIRECT */
	size_t align;                       /* offsets and lengths of writes are multiples of it */
	size_t stride;     /* bytes from one record to the next, and of one write */
	uint64_t capacity; /* records */
	/* written by whoever writes the records */
	uint64_t committed; /* atomic: records known to be written, all of them in a row */
	uint64_t *seq;      /* capacity of them: of each record committed */
	/* written by whoever syncs and closes: one other thread at most */
	uint64_t durable;            /* atomic: records made durable */
	uint64_t syncing;            /* records committed when the present sync began */
	bool cut;                    /* header and size say what is committed, */
	bool cut_durable;            /* and that is durable */
	uint64_t indexed;            /* records with a line in the index */
	off_t idx_end;               /* bytes of whole lines in the index */
	bool idx_unsynced;           /* some of them are not durable */
	int error;                   /* why it is condemned, or cannot be cut, or 0 */
	int idx_error;               /* why the last lines are not in the index, or 0 */
	int idx_sync_error;          /* why the last sync of it failed, or 0 */
	bool in_round, idx_in_round; /* of the present sync */
	bool ended;     /* atomic: condemned, or gone: no record is to be written any more */
	bool condemned; /* a sync failed: what was written since the last one may be lost */
	bool gone;      /* removed behind our back: a close only gives up */
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

/* The next record is written. */
static inline void dip_segment_commit(struct dip_segment *s, uint64_t seq)
{
	s->seq[s->committed] = seq;
	__atomic_store_n(&s->committed, s->committed + 1, __ATOMIC_RELEASE);
}

#define DIP_SYNC_SEGMENTS 16 /* in one call, at most */

/* Make durable what is written so far in each of these segments (of one run): records, cuts, index
 * lines; for one that has never been synced, its header and name too. A failure condemns a segment,
 * since the kernel may have dropped what it could not write and a second sync would not say so: it
 * is ended and gets .condemned to its name; its index keeps what was durable before. Lines that
 * could not be made durable are written anew, all of them, by the next dip_segment_write_index.
 * Returns the segments condemned. */
unsigned int dip_segments_sync(struct dip_segment **segments, unsigned int count);

/* Write index lines for what has become durable; the next sync makes them so. Returns 0, or a
 * negative errno: the file holds whole lines only, and the next call tries again. */
int dip_segment_write_index(struct dip_segment *segment);

/* No record will come any more: cut header and size to what is committed; the next sync makes that
 * durable. Once is enough. Returns 0, or a negative errno with *err. */
int dip_segment_cut(struct dip_segment *segment, struct dip_error *err);

/* Nothing is left to be written or made durable, or to be hoped for. */
bool dip_segment_finished(const struct dip_segment *segment);

/* What has gone wrong with it so far: 0, or a negative errno with *err. */
int dip_segment_failure(const struct dip_segment *segment, struct dip_error *err);

/* False when the file has been removed behind our back. */
bool dip_segment_linked(const struct dip_segment *segment);

/* Finish what is not finished, close. A segment without a record is removed. Returns 0, or the first
 * negative errno with *err. */
int dip_segment_close(struct dip_segment *segment, struct dip_error *err);

/* Close the descriptors and free what is held: the file is as it is. */
void dip_segment_abandon(struct dip_segment *segment);
