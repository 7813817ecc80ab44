/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "options.h"

#define PLACEMENT_MAX 128

/* Which poller of a source runs on which lcore. A lane is a queue of the source with its ring and its
 * processors; when a lane's ingest and its processor share an lcore ("fused"), a frame is decided
 * while it is still in that core's cache.
 *
 *	workers          1             2              3 and more
 *	fused (auto)     all on it     I+P | I+P+A    I+P | I+P | ... | A
 *	split            all on it     I | P+A        I | P | ... | A
 *
 * Two lcores decide before one archives alone: a frame that comes while one of them is kept from running
 * is taken by the other. Where one is enough (proc.worker_threads = 1, a source of one queue), or the
 * archive waits for each write (pwrite), the second one only archives. Without archiving the last lcore is
 * one more I+P or P. Results are written by the main lcore; when that is the only one, it does everything.
 *
 * Frames that are archived in order are all taken by one lcore, whatever the others do, unless the
 * configuration names them.
 *
 * Several sources: each gets its part of the workers, laid out like that, and its own lcore for the
 * archive as far as there are lcores beyond those that decide first. With fewer workers than sources
 * they take turns on them. Lcores that the configuration names are dealt out in the same way. */
struct placement {
	unsigned int lanes;
	unsigned int ingest[PLACEMENT_MAX]; /* lcore of each lane */
	unsigned int processors;
	unsigned int process[PLACEMENT_MAX];      /* lcore of each processor */
	unsigned int process_lane[PLACEMENT_MAX]; /* and the lane that it serves */
	unsigned int archive;                     /* lcore */
	unsigned int results;                     /* lcore */
};

struct placement_request {
	const struct settings *settings;
	unsigned int main_lcore;
	const unsigned int *workers; /* lcore ids, in the order in which they are to be used */
	unsigned int worker_count;
	unsigned int sources;           /* 1 and more */
	const unsigned int *max_queues; /* of each source */
	int archiving;
	int in_order;          /* nothing but the order tells which frame is which in the archive */
	int archive_waits;     /* for the disk, and so is better off alone */
	unsigned int archives; /* the last so many workers only archive, when none is named */
};

/* Place everything, out[i] of source i. Errors name the lcores.* key: an lcore that does not exist, one named twice
 * for a role, two roles on an exclusive lcore, more lanes than processors or queues. */
int place(const struct placement_request *request, struct placement *out, struct dip_error *err);
