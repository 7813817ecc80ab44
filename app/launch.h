/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* Start EAL: with the user's arguments, or with ones that run anywhere: a worker lcore for each
 * CPU that we may use, one that floats for the archive, the main lcore floating too; hugepages
 * when enough are free, else ordinary memory. Says on stderr what it chose.
 *
 * slab_bytes: of one slab; sizes the memory. Returns 0, or a negative errno with
 * *err. */
int launch_eal(const struct command *command, const struct settings *settings, size_t slab_bytes,
	struct dip_error *err);
