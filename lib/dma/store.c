/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>

#include "dma/store.h"

#define HUGEPAGE ((size_t)2 << 20)

size_t dip_store_stride(size_t frame_bytes)
{
	return RTE_ALIGN_CEIL(frame_bytes, (size_t)RTE_CACHE_LINE_SIZE);
}

/* Ordinary memory in large pages where the kernel has them: what the "camera" sees costs no
 * hugepage of the pool. */
int dip_store_create(
	struct dip_store *store, uint64_t count, size_t frame_bytes, struct dip_error *err)
{
	size_t stride = dip_store_stride(frame_bytes), bytes;
	void *frames = MAP_FAILED;

	if (!__builtin_mul_overflow(count, stride, &bytes) && bytes <= SIZE_MAX - HUGEPAGE) {
		bytes = RTE_ALIGN_CEIL(bytes, HUGEPAGE);
		frames = mmap(
			NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	if (frames == MAP_FAILED)
		return dip_fail(err, ENOMEM,
			"no memory for %" PRIu64
			" frames of %zu bytes; expected fewer or smaller ones",
			count, frame_bytes);
	madvise(frames, bytes, MADV_HUGEPAGE);
	*store = (struct dip_store){
		.frames = frames, .bytes = bytes, .stride = stride, .count = count};
	return 0;
}

void dip_store_free(struct dip_store *store)
{
	if (store->frames != NULL)
		munmap(store->frames, store->bytes);
	*store = (struct dip_store){0};
}
