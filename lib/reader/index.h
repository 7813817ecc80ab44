/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* The index beside a segment, <name>.idx: a line "seq offset" for each record. */

struct dip_index_line {
	uint64_t seq, offset;
	const char *text; /* as found; not ended */
	int length;       /* bytes of text, without the newline */
	bool malformed; /* not two decimal numbers below 2^64 and a newline; seq and offset are 0 */
};

struct dip_index {
	char *bytes;
	struct dip_index_line *lines;
	uint64_t count;
};

/* The path of a segment's index; cut at size. */
void dip_index_path(const char *segment, char *path, size_t size);

/* Read the index of a segment: 1 with *index (free with dip_index_free), 0 when there is none, or
 * a negative errno with *err. */
int dip_index_read(const char *segment, struct dip_index *index, struct dip_error *err);
void dip_index_free(struct dip_index *index);

/* The text of an index, as a clean run writes it. */
struct dip_index_text {
	char *bytes;
	size_t used, room;
};

/* Append a line. 0 or -ENOMEM. Free bytes at the end. */
int dip_index_append(struct dip_index_text *text, uint64_t seq, uint64_t offset);

/* Make text the index of the segment, durably, and at once: a reader sees the old one or the new
 * one. Returns 1 when it was written, 0 when it was there already, byte for byte, or a negative
 * errno with *err. */
int dip_index_replace(
	const char *segment, const struct dip_index_text *text, struct dip_error *err);

/* Make the entries of the folder that path lies in durable. 0 or a negative errno. */
int dip_sync_folder(const char *path);
