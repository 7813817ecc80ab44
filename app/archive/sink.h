/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "tool.h"

/* Where extracted frames go: a file for each, or one for all that is there, under its own name,
 * only when it is complete. */

struct sink {
	const struct arguments *args;
	struct dip_shape shape;
	uint64_t frames;
	int fd;           /* the one file, as <name>.part; -1 for a file each */
	const char *path; /* of the one file */
	uint64_t end;     /* bytes written to it */
	uint64_t *seq;    /* of the stack */
	uint64_t room;
};

/* Make what is needed before the first frame. Returns 0, or a negative errno with *err. */
int sink_open(struct sink *sink, const struct arguments *args, struct dip_error *err);

/* Write a frame. All must have one shape. */
int sink_put(struct sink *sink, const struct dip_reader *reader, const struct dip_record *record,
	struct dip_error *err);

/* Complete the files and give them their names, or, unless good, remove them. */
int sink_close(struct sink *sink, bool good, struct dip_error *err);
