/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* How many lcores that ingest and process are chosen when the user gives no EAL arguments: one for each
 * CPU that we may use, up to a limit and to proc.worker_threads. At least 1. */
unsigned int launch_workers(const struct settings *settings);

/* Start EAL: with the user's arguments, or with ones that run anywhere: a worker lcore for each
 * CPU that we may use, one that floats for the archive, the main lcore floating too; hugepages
 * when enough are free for frames of image_bytes, else ordinary memory. Says on stderr what it chose.
 *
 * Returns 0, or a negative errno with *err. */
int launch_eal(const struct command *command, const struct settings *settings,
	size_t image_bytes, struct dip_error *err);
