/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "patch.h"
#include "store.h"

/* Put the sites in the order in which they are visited: by row of the frame, those of one size
 * together, from left to right. Needs offset, h, w of each site and room in place. */
void patch_sort(struct patch *patch);

/* Divide them into jobs; all else of the patch is there. Returns 0 or -ENOMEM. */
int patch_plan(struct patch *patch, struct patch_store *store);
