/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "archive/segment.h"

/* Everything about segments that takes as long as it takes, on a control thread of its own, so that
 * the archiver only writes records: makes the next segment ahead of its need, makes records durable
 * and indexes them every sync interval, notices files removed behind our back, closes the full
 * ones, keeps run.h5.
 *
 *	archiver: request --> thread: open --> archiver: take --> ... full --> retire --> thread: close
 *	                                                 |
 *	                          thread: sync, index, every sync_interval_ms
 *
 * A segment belongs to the keeper; between take and retire the archiver writes its records. */

struct dip_keeper_conf {
	const struct dip_segment_conf *segment; /* must stay */
	unsigned int sync_interval_ms;          /* 0: records are made durable at the close only */
	bool sidecar;                           /* keep run.h5 up to date with what is closed */
};

struct dip_keeper;

/* Makes the first segment, ready to be taken. Returns 0 or a negative errno with *err and nothing
 * left behind. Main lcore. */
int dip_keeper_create(
	const struct dip_keeper_conf *conf, struct dip_keeper **keeper, struct dip_error *err);

/* Ask for the next segment, if it is not being made already. Like the other three: one thread, the
 * archiver's; takes a lock that nobody holds for long. */
void dip_keeper_request(struct dip_keeper *keeper);

/* The next segment. Returns 1 with *segment, 0 when it is not ready yet (and asks for it), or the
 * negative errno with *err of the attempt to make it; the next call asks for another attempt. */
int dip_keeper_take(struct dip_keeper *keeper, struct dip_segment **segment, struct dip_error *err);

/* Give back a segment that was taken last and in which nothing is written; no other has been asked
 * for since. The next call of dip_keeper_take gets it. */
void dip_keeper_untake(struct dip_keeper *keeper, struct dip_segment *segment);

/* Have the segment closed that was taken first of those not yet retired; all its writes have ended.
 * False: there are too many already, try later. A close that fails is logged and counted. */
bool dip_keeper_retire(struct dip_keeper *keeper);

/* Wait for everything retired, remove what was made and not taken. NULL is allowed. */
void dip_keeper_free(struct dip_keeper *keeper);
