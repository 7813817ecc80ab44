/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* What is needed of it, in bytes. */
struct launch_memory {
	size_t slab_bytes;   /* of a slab */
	size_t window_bytes; /* of the results of a lane */
};

/* Start EAL: with the user's arguments, or with ones that run anywhere: a worker lcore for each
 * CPU that we may use, one that floats for the archive, the main lcore floating too; hugepages
 * when enough are free, else ordinary memory. Says on stderr what it chose.
 *
 * Returns 0, or a negative errno with *err. */
int launch_eal(const struct command *command, const struct settings *settings,
	const struct launch_memory *memory, struct dip_error *err);
