/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* The segments of a run: the files <prefix>_<number>.npy or .bin of its folder, in order. */

struct dip_run_segment {
	char *path;
	uint64_t number;
};

struct dip_run {
	struct dip_run_segment *segments;
	size_t count;
	size_t condemned; /* files of the folder that are segments whose sync failed */
};

/* List the folder path, or, when path is no folder, take it as the only segment (number 0).
 * Returns 0 (free with dip_run_free; count may be 0), or a negative errno with *err: -EINVAL when
 * the folder has segments of more than one prefix or format. */
int dip_run_list(const char *path, struct dip_run *run, struct dip_error *err);
void dip_run_free(struct dip_run *run);
