/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to dma_replay: an archived run as a source.
 *
 *	index.c     finds every record of the run
 *	timeline.c  its numbers and moments, over and over when it loops
 *	reads.c     reads records straight into the slabs
 */

#include "dma/source.h"
#include "reader/reader.h"

/* In order of seq. */
struct replay_record {
	uint64_t seq;
	uint64_t timestamp_ns; /* 0: not known */
	uint64_t due_ns;       /* after the first one, at speed 1 */
	uint32_t segment, slot;
};

struct replay_segment {
	struct dip_reader *reader;
	int fd;      /* opened with O_DIRECT, or the reader's */
	bool direct; /* and every record may be read so */
};

struct replay_queue;

extern int replay_log; /* the log type, for rte_log */

struct replay {
	/* arguments */
	char *path;
	int64_t width, height; /* of a raw run */
	double speed;
	int64_t depth;
	bool direct, verify;

	bool npy;
	struct dip_shape shape;
	size_t image_bytes;
	struct replay_segment *segment;
	uint32_t segments;
	struct replay_record *record;
	uint64_t records, room;
	/* From one pass to the next. */
	uint64_t span;      /* numbers */
	uint64_t period_ns; /* at speed 1 */
	/* Reads by io_uring: those of each queue; NULL: it is not to be had, or not configured. */
	struct dip_mover mover;
	struct replay_queue **queue;
	unsigned int queues;
};

/* Open the first segment and say what its frames are like. Returns 0; -ENOTSUP when there is no run
 * at the path; or another negative errno with *err. */
int replay_look(struct replay *r, struct dip_error *err);

/* Open all segments and find all records. Returns 0 or a negative errno with *err. */
int replay_index(struct replay *r, struct dip_error *err);

/* Lay out numbers and moments of the records found. */
int replay_lay_out(struct replay *r, struct dip_error *err);

uint64_t replay_number(const void *priv, uint64_t index);
uint64_t replay_count_below(const void *priv, uint64_t seq);
double replay_due_ns(const void *priv, uint64_t seq);
uint64_t replay_due_by(const void *priv, double ns);
uint64_t replay_timestamp(const void *priv, uint64_t seq);

/* The record of a number that there is. */
static inline const struct replay_record *replay_record_of(const struct replay *r, uint64_t seq)
{
	return &r->record[replay_count_below(r, seq) % r->records];
}

/* Whether image and trailer are as they were archived, as far as the trailer tells. */
bool replay_intact(const struct replay *r, const struct replay_record *record, const void *image,
	const struct dip_trailer *trailer);

/* Set up reads by io_uring into a pool's slabs, and the mover for them; *mover stays NULL when
 * io_uring is not to be had. Returns 0 or -ENOMEM. */
int replay_reads_create(
	struct replay *r, const struct dip_dma_conf *conf, const struct dip_mover **mover);
void replay_reads_free(struct replay *r);
