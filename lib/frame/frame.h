/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_mempool.h>

#include "frame/state.h"
#include "util/error.h"

/* A frame: a small header, an object of an rte_mempool, that owns one slab: record_bytes of
 * page-aligned hugepage memory, the pixels first, then room for the archive's trailer.
 *
 *	free --dip_frame_alloc--> filled by the source --descriptors--> held by sinks --+
 *	  ^                        (one reference, the source's)       (one for each)   |
 *	  +------------- dip_frame_put of the last reference, generation + 1 -----------+
 *
 * A frame that is queued, and no more, may be recalled instead, for a newer frame (overwrite):
 * state.h, backlog.h.
 *
 * seq, tsc, timestamp_ns and pixels are written by the source before publication and only read
 * after it; the trailer room belongs to the archiver. */
struct dip_frame {
	uint64_t seq;          /* the device's frame number, counting lost ones */
	uint64_t tsc;          /* arrival, TSC ticks */
	uint64_t timestamp_ns; /* arrival, nanoseconds since the epoch, UTC */
	uint16_t *pixels;      /* the slab */
	struct rte_mempool *mempool;
	uint64_t state; /* atomic: state.h */
	/* With DIP_CHECK_FRAMES only, written by the ingest before publication (check.h). */
	uint32_t image_bytes, image_crc;
} __rte_cache_aligned;

/* What a ring carries. A consumer whose generation is not the frame's refuses it, as stale. */
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
	size_t total_bytes; /* that the program needs of the same memory, all in all, for the message; 0:
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
		dip_state_take(&frames[i]->state);
	return n;
}

/* One more holder. The caller must hold a reference itself. */
static inline void dip_frame_hold(struct dip_frame *frame, uint32_t holders)
{
	dip_state_add(&frame->state, holders * DIP_STATE_HELD);
}

/* Give up one reference; the last one sends the frame back to its pool. The only way back. */
static inline void dip_frame_put(struct dip_frame *frame)
{
	if (dip_state_release(&frame->state))
		rte_mempool_put(frame->mempool, frame);
}

/* Of a frame that the caller holds a reference of. */
static inline uint32_t dip_frame_generation(const struct dip_frame *frame)
{
	return dip_state_generation(__atomic_load_n(&frame->state, __ATOMIC_RELAXED));
}

static inline struct dip_desc dip_frame_desc(struct dip_frame *frame, uint64_t ticket)
{
	return (struct dip_desc){
		.frame = frame,
		.seq = frame->seq,
		.ticket = ticket,
		.generation = dip_frame_generation(frame),
	};
}

/* The frame of a descriptor, and the reference that came with it, or NULL when the descriptor is
 * stale: its frame was recalled, or has gone back to the pool. A stale descriptor holds no reference
 * and must not be put. Once for each descriptor. */
static inline struct dip_frame *dip_desc_frame(const struct dip_desc *desc)
{
	return dip_state_claim(&desc->frame->state, desc->generation) ? desc->frame : NULL;
}

/* The slab of a frame that is queued, and no more, for another frame: with one reference, the
 * caller's; its descriptors are stale from now on. NULL: somebody holds it, or it is gone. */
static inline struct dip_frame *dip_desc_recall(const struct dip_desc *desc)
{
	return dip_state_recall(&desc->frame->state, desc->generation) ? desc->frame : NULL;
}
