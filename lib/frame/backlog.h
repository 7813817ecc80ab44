/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "frame/frame.h"

/* The frames that a source's lanes have queued, oldest first, so that the newest one can take the slab
 * of the oldest one that is still queued (main.overrun = "overwrite").
 *
 *	ingest of each lane: add --> [ oldest ... newest ] --> recall: any thread that needs a slab
 *
 * An entry is a descriptor, without a reference of its own: that of a frame that is done with, or was
 * recalled, means nothing any more, and is forgotten in time. Live ones are as many as there are slabs
 * at most, so there is always room. */

struct dip_backlog;

/* Bytes of EAL's memory that it takes. */
size_t dip_backlog_bytes(unsigned int lanes, uint32_t slabs);

/* For as many lanes and a pool of that many slabs. Returns 0 or -ENOMEM. Main lcore. */
int dip_backlog_create(unsigned int lanes, uint32_t slabs, struct dip_backlog **backlog);
void dip_backlog_free(struct dip_backlog *backlog); /* NULL is allowed */

/* The lane has queued a frame; seq ascends. desc need not be of a live frame any more. By one thread
 * a lane. */
void dip_backlog_add(struct dip_backlog *backlog, unsigned int lane, const struct dip_desc *desc);

/* Take the slabs of up to n frames that are queued and that nobody holds, those of the lowest seq first,
 * each with one reference held by the caller. Returns how many (0..n). Any thread. */
unsigned int dip_backlog_recall(
	struct dip_backlog *backlog, struct dip_frame **frames, unsigned int n);
