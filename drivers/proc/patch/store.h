/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Memory for rows of weights: equal ones are kept once, the others stand one behind the other in the
 * order in which they came, so that a kernel that visits them in that order reads straight on. */

struct patch_store;

struct patch_store *patch_store_new(void);        /* NULL: no memory */
void patch_store_free(struct patch_store *store); /* NULL is allowed */

/* Where those numbers are kept, 64-byte aligned, until the store is freed; NULL: no memory. */
const int16_t *patch_store_keep(struct patch_store *store, const int16_t *numbers, size_t count);
