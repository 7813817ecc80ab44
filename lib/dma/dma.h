/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "frame/backlog.h"
#include "metrics/metrics.h"

/* The contract between a DMA source and its user. A source is a DPDK rawdev, and every call is
 * rawdev's own:
 *
 *	rte_rawdev_info_get   with struct dip_dma_info as private info: what the source delivers
 *	rte_rawdev_configure  with struct dip_dma_conf: the pool its frames come from, rate, queues;
 *	                      -EINVAL: the device has logged what is wrong with it
 *	rte_rawdev_start      frame 0 is due now
 *	rte_rawdev_dequeue_buffers(dev, bufs, count, &poll)  never blocks; returns 0..count frames,
 *	                      bufs[i]->buf_addr a struct dip_frame * whose one reference is now the
 *	                      caller's, in ascending order of seq; < 0: the device has failed
 *	rte_rawdev_get_attr(dev, "due_tsc", &tsc)  of a source that knows its next frame's moment, or
 *	                      that it has to be polled all the time, then one that has passed: any
 *	                      queue's thread, after a poll without a frame; < 0: not known
 *	rte_rawdev_stop, rte_rawdev_close
 *
 * Each queue is polled by one thread. A frame belongs to whichever queue asks first: its seq comes
 * from one counter of the device, so queues on idle lcores take over from busy ones. */

#define DIP_DMA_MAX_QUEUES 64
#define DIP_DMA_ENGINE_TEXT 112
#define DIP_DMA_DUE_TSC "due_tsc"

struct dip_dma_info {
	uint32_t width, height; /* pixels */
	uint64_t frames;        /* in one pass of the source; 0: endless */
	uint16_t max_queues;
	/* Frames are due at moments of the source's own: a rate only says that it is to be paced. */
	bool timed;
	/* Once it is configured: what copies frames into slabs, and why; "": nothing does. */
	char engine[DIP_DMA_ENGINE_TEXT];
	/* Likewise: frames are delivered in no cache, since no core has touched their pixels, or stores
	 * went past the caches. */
	bool uncached;
};

struct dip_dma_conf {
	struct dip_frame_pool *pool; /* slabs of at least width * height * 2 bytes */
	double fps;      /* frame k is due at start + k / fps; 0: as fast as slabs come */
	uint64_t limit;  /* end after this many frames, lost ones counted; 0: no limit */
	uint16_t queues; /* 1..max_queues */
	bool loop;       /* start over after the last frame of the source */
	/* A due frame without a free slab waits, instead of being lost. When several came due since
	 * the last poll, the oldest are lost. */
	bool block;
	/* Else, when not NULL: a due frame without a free slab takes that of the oldest frame in it
	 * that is still queued (dip_backlog_recall). Only while all are held it is lost. */
	struct dip_backlog *backlog;
	bool handed_over; /* frames are processed by other lcores than those that poll */
};

/* In and out of each poll: the context of rte_rawdev_dequeue_buffers. */
struct dip_dma_poll {
	uint16_t queue;     /* in */
	/* in: the stop has come. Deliver the frames that are on their way, and what a paced source that
	 * does not wait had when this was first set: what finds no slab is missed, and nothing comes due
	 * any more. Set until ended. */
	bool drain;
	bool ended;         /* out: no frame will ever come from this queue again */
	uint64_t seq_floor; /* out: whatever this queue returns from now on has seq >= this */
};

/* One writer a queue; static storage. xstats of the device are the sums over its queues. */
struct dip_dma_counters {
	uint64_t frames;       /* delivered; due = frames + missed + gaps + in flight */
	uint64_t missed;       /* due and lost, whatever the reason */
	uint64_t pool_exhaust; /* lost because no slab was free */
	uint64_t overwritten;  /* slabs taken from frames that were still queued */
	uint64_t pool_waits;   /* polls that found no slab and lost nothing: unpaced, or block */
	uint64_t bytes;        /* of pixels delivered */
	uint64_t errors;       /* dequeues that failed */
	uint64_t gaps;         /* numbers that the source does not have */
	uint64_t damaged;      /* of those missed, what was recorded is damaged */
	uint64_t copy_errors;  /* of those missed, a DMA engine failed to copy them */
	uint64_t faults;       /* faults on demand that were played */
	uint64_t late_max_ns;  /* paced: the longest from a frame's due time to its poll */
} __attribute__((aligned(64)));

/* The counters of a queue of a device. */
struct dip_dma_counters *dip_dma_counters(uint16_t dev_id, uint16_t queue);

/* From now on a device's counters are those of a source (metrics/metrics.h). Main lcore. */
void dip_dma_own(uint16_t dev_id, unsigned int source);

/* The device's next seq: frames that were due so far, and numbers that it does not have. Atomic,
 * static storage. */
uint64_t *dip_dma_next_seq(uint16_t dev_id);

/* Zero a device's counters and seq: at its start, before any queue is polled. */
void dip_dma_reset_counters(uint16_t dev_id);

/* xstats of any source, for its rte_rawdev_ops. */
struct rte_rawdev;
struct rte_rawdev_xstats_name;
int dip_dma_xstats_get(
	const struct rte_rawdev *dev, const unsigned int ids[], uint64_t values[], unsigned int n);
int dip_dma_xstats_get_names(
	const struct rte_rawdev *dev, struct rte_rawdev_xstats_name *names, unsigned int size);
uint64_t dip_dma_xstats_get_by_name(
	const struct rte_rawdev *dev, const char *name, unsigned int *id);
