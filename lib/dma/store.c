/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>
#include <rte_malloc.h>

#include "dma/store.h"

#define HUGEPAGE ((size_t)2 << 20)

size_t dip_store_stride(size_t frame_bytes)
{
	return RTE_ALIGN_CEIL(frame_bytes, (size_t)RTE_CACHE_LINE_SIZE);
}

/* Ordinary memory in large pages where the kernel has them: what the "camera" sees costs no
 * hugepage of the pool. */
static void *map_ordinary(size_t bytes)
{
	void *frames =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (frames == MAP_FAILED)
		return NULL;
	madvise(frames, bytes, MADV_HUGEPAGE);
	return frames;
}

int dip_store_create(struct dip_store *store, uint64_t count, size_t frame_bytes, bool dma,
	struct dip_error *err)
{
	size_t stride = dip_store_stride(frame_bytes), bytes;
	void *frames = NULL;

	if (!__builtin_mul_overflow(count, stride, &bytes) && bytes <= SIZE_MAX - HUGEPAGE) {
		bytes = RTE_ALIGN_CEIL(bytes, HUGEPAGE);
		frames = dma ? rte_malloc("dip_store", bytes, RTE_CACHE_LINE_SIZE)
			     : map_ordinary(bytes);
	}
	if (frames == NULL)
		return dip_fail(err, ENOMEM,
			"no memory for %" PRIu64 " frames of %zu bytes; expected %s", count,
			frame_bytes,
			dma ? "more hugepages or a larger EAL -m: a DMA engine copies from EAL's "
			      "memory; or fewer frames"
			    : "fewer or smaller ones");
	*store = (struct dip_store){
		.frames = frames, .bytes = bytes, .stride = stride, .dma = dma, .count = count};
	return 0;
}

void dip_store_free(struct dip_store *store)
{
	if (store->dma)
		rte_free(store->frames);
	else if (store->frames != NULL)
		munmap(store->frames, store->bytes);
	*store = (struct dip_store){0};
}
