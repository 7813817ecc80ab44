/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* Frames that a source has made or read before it starts: what its camera will see. */

struct dip_store {
	uint8_t *frames; /* NULL: none */
	size_t bytes;
	size_t stride; /* from one frame to the next: each starts on a cache line */
	bool dma;      /* in EAL's memory */
	uint64_t count;
};

/* Bytes from one frame to the next. */
size_t dip_store_stride(size_t frame_bytes);

/* Room for count frames of frame_bytes; dma: in EAL's memory, which a DMA engine can read. Returns 0,
 * or -ENOMEM with *err. */
int dip_store_create(struct dip_store *store, uint64_t count, size_t frame_bytes, bool dma,
	struct dip_error *err);
void dip_store_free(struct dip_store *store);

static inline uint16_t *dip_store_frame(const struct dip_store *store, uint64_t index)
{
	return (uint16_t *)(store->frames + index * store->stride);
}
