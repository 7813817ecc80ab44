/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "archive/segment.h"

/* Makes the next segment ahead of its need, on a control thread of its own: the archiver only
 * writes records, and no sync that is under way delays a rotation.
 *
 *	archiver: request --> thread: open --> archiver: take */

struct dip_maker;

/* Makes the first segment, ready to be taken; it can be synced. conf must stay. Returns 0 or a
 * negative errno with *err and nothing left behind. Main lcore. */
int dip_maker_create(
	const struct dip_segment_conf *conf, struct dip_maker **maker, struct dip_error *err);

/* Ask for the next segment, if it is not being made already. Like the next two: one thread, the
 * archiver's; takes a lock that nobody holds for long. */
void dip_maker_request(struct dip_maker *maker);

/* The next segment. Returns 1 with *segment, 0 when it is not ready yet (and asks for it), or the
 * negative errno with *err of the attempt to make it; the next call asks for another attempt. */
int dip_maker_take(struct dip_maker *maker, struct dip_segment **segment, struct dip_error *err);

/* Give back a segment that was taken last and in which nothing is written; no other has been asked
 * for since. The next call of dip_maker_take gets it. */
void dip_maker_untake(struct dip_maker *maker, struct dip_segment *segment);

/* The disk could not sync a segment: until it can sync a new one, none is handed out, so that a disk
 * that cannot makes no heap of files. Any thread. */
void dip_maker_doubt(struct dip_maker *maker);

/* Segments have been removed behind our back: if the next one is among them, make another. Any
 * thread. */
void dip_maker_check(struct dip_maker *maker);

/* Removes what was made and not taken. NULL is allowed. */
void dip_maker_free(struct dip_maker *maker);
