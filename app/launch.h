/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* How many lcores that ingest and process for so many sources are chosen when the user gives no EAL
 * arguments: one for each CPU that we may use, up to a limit and to proc.worker_threads for each
 * source. At least 1. */
unsigned int launch_workers(const struct settings *settings, unsigned int sources);

/* Start EAL: with the user's arguments, or with ones that run anywhere: a worker lcore for each
 * CPU that we may use, one that floats for the archive of each source, the main lcore floating too;
 * hugepages when enough are free, else ordinary memory. Says on stderr what it chose. image_bytes: of
 * a frame of each source.
 *
 * Returns 0, or a negative errno with *err. */
int launch_eal(const struct command *command, const struct settings *settings,
	const size_t *image_bytes, unsigned int sources, struct dip_error *err);
