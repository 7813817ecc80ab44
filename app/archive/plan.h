/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "tool.h"

/* What recover makes of a segment: which records are kept, and at which place.
 *
 *	before  | 0 good | 1 bad | 2 good | 3 good | 4 torn | zeros ...
 *	after   | 0      | 2     | 3      |          the bytes of 1 and 4 are in <segment>.cut
 */

struct keep {
	uint64_t slot; /* where it is */
	uint64_t seq, run_id, timestamp_ns;
	bool checksum, pad_damaged;
};

struct plan {
	struct keep *keep; /* in order of the file; the i-th goes to slot i */
	uint64_t count, room;
	uint64_t *cut; /* slots of what is not kept, not all zeros, and nowhere else */
	uint64_t cut_count, cut_room;
	uint64_t copies;    /* left by a recover that was interrupted: kept at a lower place */
	uint64_t pads;      /* of what is kept, records with a damaged padding */
	uint64_t newest_ns; /* of what is kept and has a checksum; 0: nothing has */
};

/* Read all of the segment. run_id: the only one whose records are kept; NULL: not known, then that
 * of the newest record with a checksum, since what may lie in blocks that were used before is
 * older, or without checksums that of most. Returns 0, or a negative errno with *err. Free with
 * plan_free, also on failure. Leaves reader->run_id at the id taken. */
int plan_make(struct dip_reader *reader, const uint64_t *run_id, struct plan *plan,
	struct dip_error *err);
void plan_free(struct plan *plan);

/* Records that are not yet at their place. */
uint64_t plan_moves(const struct plan *plan);

/* Carry it out, in an order in which it can stop anywhere and be done again. Returns 0, or a
 * negative errno with *err. cut_bytes: what went to the side file. */
int plan_execute(struct dip_reader *reader, const struct plan *plan, uint64_t *cut_bytes,
	struct dip_error *err);
