/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "archive/segment.h"

/* Everything about segments that takes as long as it takes, on threads of their own, so that the
 * archiver only writes records. The maker (archive/maker.h) has the next segment ready; the keeper's
 * thread makes records durable and indexes them every sync interval, in one round for all segments
 * that are open, notices files removed behind our back, closes the full ones, keeps run.h5.
 *
 *	maker --> archiver: take --> ... full --> retire --> cut, sync, index, sync, close
 *	                                   |
 *	                  sync, index, every sync_interval_ms
 *
 * A segment belongs to the keeper; between take and retire the archiver writes its records. */

struct dip_archive_counters;

struct dip_keeper_conf {
	const struct dip_segment_conf *segment; /* must stay */
	struct dip_archive_counters *counters;  /* the keeper's own */
	unsigned int sync_interval_ms;          /* 0: records are made durable at a rotation only */
	bool sidecar;                           /* keep run.h5 up to date with what is closed */
};

struct dip_keeper;

/* Makes the first segment, ready to be taken. Returns 0 or a negative errno with *err and nothing
 * left behind. Main lcore. */
int dip_keeper_create(
	const struct dip_keeper_conf *conf, struct dip_keeper **keeper, struct dip_error *err);

/* As those of archive/maker.h. */
void dip_keeper_request(struct dip_keeper *keeper);
int dip_keeper_take(struct dip_keeper *keeper, struct dip_segment **segment, struct dip_error *err);
void dip_keeper_untake(struct dip_keeper *keeper, struct dip_segment *segment);

/* Have the segment closed that was taken first of those not yet retired; all its writes have ended.
 * False: there are too many already, try later. What fails is logged and counted. The archiver's
 * thread. */
bool dip_keeper_retire(struct dip_keeper *keeper);

/* Wait for everything retired, remove what was made and not taken. NULL is allowed. */
void dip_keeper_free(struct dip_keeper *keeper);
