/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "reader/index.h"
#include "tool.h"

/* What the index of a segment says against what is in the segment. */

/* What is known of a slot. */
enum slot_state { SLOT_NONE, SLOT_GOOD, SLOT_BAD, SLOT_NAMED /* good, and a line names it */ };

struct slots {
	uint64_t count; /* whole records in the file */
	uint8_t *state; /* enum slot_state */
	uint64_t *seq;
};

/* 0 or -ENOMEM; free with slots_free, also on failure. */
int slots_create(struct slots *slots, uint64_t count);
void slots_free(struct slots *slots);

/* Say each line that is wrong. The index was read before the segment, so that every line of it was
 * written after its record. Returns the good records that no line names. */
uint64_t check_index(const struct dip_reader *reader, const struct dip_index *index,
	struct slots *slots, struct lines *lines);
