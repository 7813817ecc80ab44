/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "archive/segment.h"

/* Makes the next segment ahead of its need and closes the full ones, on a control thread of its own:
 * reserving a gigabyte and making one durable take as long as they take, and the archiver must not
 * wait for either.
 *
 *	archiver: request --> thread: open --> archiver: take --> ... full --> retire --> thread: close
 */

struct dip_keeper;

/* conf must stay; first: the number of the first segment it will make. Returns 0 or a negative errno
 * with *err. Main lcore. */
int dip_keeper_create(const struct dip_segment_conf *conf, unsigned int first,
	struct dip_keeper **keeper, struct dip_error *err);

/* Ask for the next segment, if it is not being made already. Like the other two: one thread, the
 * archiver's; takes a lock that nobody holds for long. */
void dip_keeper_request(struct dip_keeper *keeper);

/* The next segment. Returns 1 with *segment, 0 when it is not ready yet (and asks for it), or the
 * negative errno with *err of the attempt to make it; the next call asks for another attempt. */
int dip_keeper_take(struct dip_keeper *keeper, struct dip_segment *segment, struct dip_error *err);

/* Give back a segment that was taken last and in which nothing is written; no other has been asked
 * for since. The next call of dip_keeper_take gets it. */
void dip_keeper_untake(struct dip_keeper *keeper, const struct dip_segment *segment);

/* Have a segment closed; all its writes have ended. False: there are too many already, try later.
 * A close that fails is logged and counted as arch_segment_errors. */
bool dip_keeper_retire(struct dip_keeper *keeper, const struct dip_segment *segment);

/* Wait for everything retired, remove what was made and not taken. NULL is allowed. */
void dip_keeper_free(struct dip_keeper *keeper);
