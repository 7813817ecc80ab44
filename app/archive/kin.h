/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "tool.h"

/* What the segments of a run tell each other, for recover. */

struct kin {
	struct dip_shape shape; /* that most have */
	size_t stride;          /* 0: not known */
	uint64_t run_id;
	bool has_run_id;
};

/* Ask all segments. kin: all zeros. */
void kin_ask(const struct dip_run *run, const struct arguments *args, struct kin *kin);

/* Open a segment; a damaged header is made up for by the command line, or by the others. Returns
 * as dip_reader_open. */
int kin_open(const char *path, const struct arguments *args, const struct kin *kin,
	struct dip_reader **reader, struct dip_error *err);

/* Open it again as the command line or the others say. False: they say nothing else. */
bool kin_open_as(const struct dip_reader *reader, const struct arguments *args,
	const struct kin *kin, struct dip_reader **again);

/* Whether a segment that has lost its header, and was opened as it was told, has the shape of the
 * run: other segments say so, by their headers or by a record. */
bool kin_vouch(const struct kin *kin, const struct dip_reader *reader);

/* The run of a record that a line of the index names: such a record had become durable, so it is
 * of the run that the segment belongs to. False: none does. */
bool index_tells(struct dip_reader *reader, uint64_t *run_id);
