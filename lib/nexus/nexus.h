/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* run.h5: a run's segments presented as one HDF5 file in NeXus terms, without a copied pixel.
 *
 *	/entry/data/data[N, H, W]    u2    virtual, over the segments' external datasets
 *	/entry/data/seq[N]           u8    the same; of raw segments a dataset of its own
 *	/entry/data/timestamp_ns[N]  u8    the same; raw segments have none
 *	/entry/segments/<name>/...         external: the bytes of one segment
 *
 * The segments are named relative to the file, so the folder may be moved as a whole. HDF5 looks
 * for such names in the current directory, unless the environment has
 * HDF5_EXTFILE_PREFIX='${ORIGIN}'; absolute names work from anywhere and must not be moved.
 *
 * Needs neither DPDK nor root. HDF5 is not thread-safe: one thread at a time. */

#define DIP_NEXUS_NAME "run.h5"

struct dip_nexus_segment {
	const char *name;    /* of the file, in the run's folder */
	uint64_t records;    /* durable ones: HDF5 reads zeros for what is not there */
	const uint64_t *seq; /* raw: records numbers; NULL: they are not known */
};

struct dip_nexus_run {
	const char *folder;
	bool npy;
	uint32_t width, height; /* pixels */
	size_t stride;          /* bytes from one record to the next */
	bool absolute;          /* names */
	const struct dip_nexus_segment *segment;
	size_t segments;
};

/* Write <folder>/run.h5, replacing an older one in one step: a reader sees the old or the new file,
 * whole. The same run gives the same bytes, and then the old file stays. Without a record there is
 * none. Returns 0, or a negative errno with *err, the old file as
 * it was. */
int dip_nexus_write(const struct dip_nexus_run *run, struct dip_error *err);
