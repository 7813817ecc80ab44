/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_mempool.h>

#include "util/error.h"

/* A frame: a small header, an object of an rte_mempool, that owns one slab: record_bytes of
 * page-aligned hugepage memory, the pixels first, then room for the archive's trailer.
 *
 *	free --dip_frame_alloc--> filled by the source --descriptors--> held by sinks --+
 *	  ^                        (refs = 1, the source's)            (refs = holders) |
 *	  +------------------ dip_frame_put, refs 1 -> 0, generation + 1 ---------------+
 *
 * seq, tsc, timestamp_ns and pixels are written by the source before publication and only read
 * after it; the trailer room belongs to the archiver. */
struct dip_frame {
	uint64_t seq;          /* the device's frame number, counting lost ones */
	uint64_t tsc;          /* arrival, TSC ticks */
	uint64_t timestamp_ns; /* arrival, nanoseconds since the epoch, UTC */
	uint16_t *pixels;      /* the slab */
	struct rte_mempool *mempool;
	uint32_t refs;       /* atomic: sinks that hold the frame */
	uint32_t generation; /* atomic: changes whenever the frame goes back to the pool */
	/* With DIP_CHECK_FRAMES only, written by the ingest before publication (check.h). */
	uint32_t image_bytes, image_crc;
} __rte_cache_aligned;

/* What a ring carries. A consumer whose generation is not the frame's refuses it. */
struct dip_desc {
	struct dip_frame *frame;
	uint64_t seq;
	uint64_t ticket; /* place in the lane's results window */
	uint32_t generation;
	uint32_t reserved;
};

struct dip_frame_pool_conf {
	const char *name;
	uint32_t slabs;      /* 2..100,000 */
	size_t record_bytes; /* of one slab, a multiple of 4,096 */
	unsigned int lcores; /* that take and give back frames; sizes the per-lcore caches */
	int socket;          /* NUMA node, SOCKET_ID_ANY for any */
	size_t total_bytes;  /* that the program needs of the same memory, all in all, for the message; 0:
				nothing but the pool */
};

struct dip_frame_chunk {
	void *addr;
	size_t bytes;
};

struct dip_frame_pool {
	struct rte_mempool *mempool; /* of struct dip_frame */
	uint32_t slabs;
	size_t record_bytes;
	/* The slabs' memory, page-aligned, at most 1 GiB each: the size that io_uring can register as
	 * one fixed buffer. */
	unsigned int chunks;
	struct dip_frame_chunk chunk[];
};

/* What a pool takes: slabs and frames. */
size_t dip_frame_pool_bytes(uint32_t slabs, size_t record_bytes);

/* Reserve the slabs and the frames. Returns 0, or a negative errno with *err: for -ENOMEM the bytes
 * needed, the bytes there are and the command that gives more. Main lcore only. */
int dip_frame_pool_create(const struct dip_frame_pool_conf *conf, struct dip_frame_pool **pool,
	struct dip_error *err);

/* All frames must be back. NULL is allowed. */
void dip_frame_pool_free(struct dip_frame_pool *pool);

/* Frames in the pool, the per-lcore caches included. Any thread; a snapshot. */
static inline unsigned int dip_frame_pool_available(const struct dip_frame_pool *pool)
{
	return rte_mempool_avail_count(pool->mempool);
}

/* Take up to n frames, each with one reference held by the caller. Returns how many (0..n). */
static inline unsigned int dip_frame_alloc(
	struct dip_frame_pool *pool, struct dip_frame **frames, unsigned int n)
{
	/* rte_mempool hands out all or nothing; near exhaustion take them one by one. */
	if (rte_mempool_get_bulk(pool->mempool, (void **)frames, n) != 0) {
		unsigned int got = 0;

		while (got + 1 < n && rte_mempool_get(pool->mempool, (void **)&frames[got]) == 0)
			got++;
		n = got;
	}
	for (unsigned int i = 0; i < n; i++)
		__atomic_store_n(&frames[i]->refs, 1, __ATOMIC_RELAXED);
	return n;
}

/* One more holder. The caller must hold a reference itself. */
static inline void dip_frame_hold(struct dip_frame *frame, uint32_t holders)
{
	__atomic_fetch_add(&frame->refs, holders, __ATOMIC_RELAXED);
}

/* Give up one reference; the last one sends the frame back to its pool. The only way back. */
static inline void dip_frame_put(struct dip_frame *frame)
{
	/* A sole holder needs no locked instruction: nobody else can take a reference. */
	if (__atomic_load_n(&frame->refs, __ATOMIC_ACQUIRE) != 1 &&
		__atomic_sub_fetch(&frame->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	__atomic_store_n(&frame->generation, frame->generation + 1, __ATOMIC_RELEASE);
	rte_mempool_put(frame->mempool, frame);
}

static inline struct dip_desc dip_frame_desc(struct dip_frame *frame, uint64_t ticket)
{
	return (struct dip_desc){
		.frame = frame,
		.seq = frame->seq,
		.ticket = ticket,
		.generation = __atomic_load_n(&frame->generation, __ATOMIC_RELAXED),
	};
}

/* The frame of a descriptor, or NULL when the descriptor is stale: its frame has gone back to the
 * pool since. A stale descriptor holds no reference and must not be put. */
static inline struct dip_frame *dip_desc_frame(const struct dip_desc *desc)
{
	return __atomic_load_n(&desc->frame->generation, __ATOMIC_ACQUIRE) == desc->generation
		       ? desc->frame
		       : NULL;
}
