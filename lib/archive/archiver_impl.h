/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/archive: the archiver's state, shared by its poller (archiver.c), its segments and
 * its error handling (commit.c). Everything runs on the archiver's lcore. */

#include <rte_log.h>

#include "archive/archiver.h"
#include "archive/fifo.h"
#include "archive/keeper.h"
#include "archive/waiting.h"
#include "frame/check.h"

/* The archive poller writes the first, the segment keeper's thread the second. */
struct dip_archive_counters {
	uint64_t arch_frames;
	uint64_t arch_bytes;
	uint64_t arch_rotations;
	uint64_t arch_stale_desc;
	uint64_t arch_io_errors;
	uint64_t arch_discarded;
	uint64_t arch_segments;
	uint64_t arch_short_writes;
	uint64_t arch_segment_errors;
	uint64_t arch_durable;
	uint64_t arch_condemned;
	uint64_t arch_sidecar_errors;
} __attribute__((aligned(64)));

enum { DIP_ARCHIVE_POLLER, DIP_ARCHIVE_KEEPER, DIP_ARCHIVE_WRITERS };

/* A source's counters; from now on they are told as its own. */
struct dip_archive_counters *dip_archive_counters_of(unsigned int source);

extern int dip_archive_log;

struct dip_archiver {
	struct dip_archiver_conf conf;
	struct dip_archive_counters *counters; /* [DIP_ARCHIVE_WRITERS] */
	struct dip_fifo fifo;
	struct dip_keeper *keeper;
	struct dip_segment *segment; /* the one that is filled, or NULL; the keeper's */
	struct dip_segment *before;  /* full, with writes still in flight, or NULL */
	uint64_t next_slot;          /* of segment, for the next write */
	bool asked;                  /* the keeper, for the segment after this one */
	uint64_t pace_ns;            /* no write before it, under max_rate */
	size_t image_bytes, stride;
	unsigned int gather; /* frames in one write, at most */
	unsigned int batch;  /* writes that must have room before some are submitted */
	double ns_per_tsc;
	struct dip_waiting waiting; /* sealed frames, for the next writes */
	/* An episode of failures. */
	bool failing;
	uint64_t failing_from; /* writes from this number on were tried after the failure */
	uint64_t retry_ns, lost_before;
	unsigned int held; /* atomic, read by the control thread */
	bool discard;      /* atomic, written by the control thread */
};

/* Count the frame and give it back. */
static inline void dip_archive_release(
	struct dip_archiver *a, struct dip_frame *frame, uint64_t *counter)
{
	dip_count(counter, 1);
	dip_frame_verify(frame);
	dip_frame_put(frame);
	__atomic_store_n(&a->held, a->held - 1, __ATOMIC_RELEASE);
}

/* By the monotonic clock of the archive's files. */
static inline uint64_t dip_archive_now(const struct dip_archiver *a)
{
	return a->conf.segment.files->now_ns();
}

/* Tell the back end which files it will write to. */
void dip_archive_attach(struct dip_archiver *a, const struct dip_segment *segment);
void dip_archive_detach(struct dip_archiver *a, const struct dip_segment *segment);

/* Once no write to it is left, hand the segment before on to be closed: one more rotation. */
void dip_archive_retire(struct dip_archiver *a);

/* Have a segment with room for one more record. False: not now. */
bool dip_archive_have_room(struct dip_archiver *a);

/* Count and give back, in order, what has been written. Returns the writes handled. */
unsigned int dip_archive_commit(struct dip_archiver *a);
