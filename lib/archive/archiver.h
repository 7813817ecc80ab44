/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring_elem.h>

#include "archive/segment.h"
#include "archive/io.h"
#include "lcore/lcore.h"
#include "metrics/histogram.h"

/* The archive poller: takes frames from its ring and writes them, straight from their slabs, as
 * records of segments. A frame goes back to the pool when its write has completed, and counts as
 * arch_frames only when every byte of it is written.
 *
 *	ring --> prepare (trailer, CRC) --> writes, in flight --> commit in order --> put
 *	                                          | a write fails
 *	                                          v
 *	             the frame is lost (arch_io_errors); those behind it are written anew at its place
 *
 * From the first failure to the next success is an episode: one log line at its start, one at its
 * end, one attempt every RETRY_MS, and the frames between are counted and let go, so that a dead
 * disk never fills the pool. */

struct dip_archiver_conf {
	unsigned int source; /* whose counters it raises: metrics/metrics.h */
	struct dip_segment_conf segment;
	struct rte_ring *ring;             /* of struct dip_desc */
	const struct dip_frame_pool *pool; /* where the frames come from */
	const char *backend;               /* one that cannot be opened is replaced by "pwrite" */
	struct dip_io_delay delay;         /* of the back end "delay" */
	unsigned int depth;                /* writes in flight, at most */
	unsigned int max_inflight;         /* frames held, at most */
	size_t gather_bytes; /* bytes gathered into one write, at most; one frame at least */
	bool checksum;
	unsigned int sync_interval_ms; /* see archive/keeper.h */
	uint64_t max_rate;             /* bytes written a second, at most; 0: no limit */
	bool sidecar;                  /* see archive/keeper.h */
	uint64_t run_id;
};

struct dip_archiver;

/* The first segment is made here, so that a folder that cannot be written to is found before
 * anything starts. Returns 0, or a negative errno with *err and nothing left behind. Main lcore. */
int dip_archiver_create(const struct dip_archiver_conf *conf, struct dip_archiver **archiver,
	struct dip_error *err);
void dip_archiver_free(struct dip_archiver *archiver); /* NULL is allowed */

/* The poller; its arg is the struct dip_archiver. Its stop waits for the writes in flight. Its due is as
 * of a ring that pollers of its own lcore fill: to be NULL where others do. */
struct dip_poller dip_archiver_poller(struct dip_archiver *archiver);

/* From now on queued frames are given back unwritten, counted as discarded. Any thread. */
void dip_archiver_discard(struct dip_archiver *archiver);

/* Frames taken from the ring and not yet given back. Any thread. */
unsigned int dip_archiver_held(const struct dip_archiver *archiver);

/* How the records are written. */
struct dip_archiver_status {
	const char *backend; /* "" before it has started */
	bool direct;         /* past the page cache */
	bool registered_buffers, registered_files;
};

/* Of a source's archiver. Static storage; any thread. */
const struct dip_archiver_status *dip_archiver_status(unsigned int source);

/* Arrival to completed write: DIP_SOURCES histograms, one for each source. Static storage; any
 * thread. */
const struct dip_histogram *dip_archiver_latency(void);
