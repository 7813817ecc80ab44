/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "options.h"

/* What a run takes from EAL's memory: the one place that says so, for what EAL is started with, for
 * what the pipeline then makes, and for who wants to know beforehand. */
struct memory_plan {
	size_t image_bytes;     /* of a frame's pixels */
	size_t slab_bytes;      /* of a slab; the stride of an archived record as well */
	size_t pool_bytes;      /* of all slabs and their headers */
	size_t window_bytes;    /* of the results of a lane, at most */
	unsigned int lanes;     /* for which this holds */
	unsigned int proc_ring; /* frames, of each lane */
	unsigned int arch_ring, arch_inflight;
	size_t total_bytes; /* of everything, EAL's own with it */
	size_t hugepages;   /* of 2 MiB, for that */
};

/* For frames of image_bytes and so many lanes. The settings are checked. */
void memory_plan(const struct settings *settings, size_t image_bytes, unsigned int lanes,
	struct memory_plan *plan);

/* Print it as comments of a configuration file: "# memory.<name> = <number>". */
void memory_print(const struct memory_plan *plan, FILE *out);
