/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detector.h"
#include "util/error.h"

/* How results keep the order of seq whatever the number of processors: each lane (one ingest queue
 * and its processors) has a window of slots. Ingest numbers the frames that it queues with tickets
 * 0, 1, 2, ...; the processor of a frame writes its result straight into slot ticket % size; the
 * results poller takes the slots in order of ticket.
 *
 *	ingest: issue --> ring --> processor: publish (result or hole) --> results: peek, consume
 *	   ^                                                                        |
 *	   +----- a ticket only while issued - consumed < size --------------------+
 *
 * The room is claimed before the frame is queued, so a processor never waits for the writer of the
 * results and never loses one: when results are not written fast enough, it is ingest that drops
 * the frame (drops_results_queue) or waits. */

enum dip_result_kind {
	DIP_RESULT_FRAME,
	DIP_RESULT_HOLE, /* the ticket's frame was refused as stale, or discarded at a stop */
};

struct dip_result {
	uint64_t ready; /* atomic: ticket + 1 once published */
	uint64_t seq;
	uint64_t timestamp_ns; /* the frame's arrival, UTC */
	uint64_t latency_ns;   /* arrival to decision */
	uint32_t occupied;     /* sites */
	uint32_t kind;
	uint8_t bits[]; /* dip_occupancy_bytes(sites); the sums, if wanted: dip_result_sums */
};

/* From the begin of a slot to its sums. */
static inline size_t dip_result_sums_at(unsigned int sites)
{
	return (sizeof(struct dip_result) + dip_occupancy_bytes(sites) + 63) & ~(size_t)63;
}

/* The sums of a result, 64-byte aligned, where the window has room for them. */
static inline void *dip_result_sums(const struct dip_result *result, unsigned int sites)
{
	return (uint8_t *)result + dip_result_sums_at(sites);
}

struct dip_window {
	/* written once */
	uint8_t *slots;
	size_t slot_bytes; /* a multiple of the cache line */
	uint64_t size;     /* slots, a power of two */
	/* written by ingest */
	uint64_t issued __attribute__((aligned(64))); /* atomic: tickets given out */
	uint64_t consumed_seen;                       /* its last look at consumed */
	uint64_t seq_floor; /* atomic: frames queued from now on have seq >= this */
	/* written by the results poller */
	uint64_t consumed __attribute__((aligned(64))); /* atomic: tickets written */
};

/* A window nobody has chosen the size of: DIP_WINDOW_SLOTS results, or as many as find room in
 * DIP_WINDOW_BYTES, which holds DIP_WINDOW_LEAST of the largest results. A power of two. */
#define DIP_WINDOW_SLOTS 16384
#define DIP_WINDOW_LEAST 64
#define DIP_WINDOW_BYTES ((size_t)64 << 20)

uint64_t dip_window_slots(unsigned int sites, size_t sums_bytes);

/* Bytes of a window's slots; arguments as of dip_window_create. */
size_t dip_window_bytes(uint64_t size, unsigned int sites, size_t sums_bytes);

/* size: slots, rounded up to a power of two; 0: dip_window_slots. sums_bytes: of a result's sums, 0 without them. Returns
 * 0 or -ENOMEM with *err. Main lcore. */
int dip_window_create(uint64_t size, unsigned int sites, size_t sums_bytes,
	struct dip_window **window, struct dip_error *err);
void dip_window_free(struct dip_window *window); /* NULL is allowed */

static inline struct dip_result *dip_window_slot(const struct dip_window *w, uint64_t ticket)
{
	return (struct dip_result *)(w->slots + (ticket & (w->size - 1)) * w->slot_bytes);
}

/* Ingest: is there room for one more ticket? The next ticket is w->issued. */
static inline bool dip_window_has_room(struct dip_window *w)
{
	if (w->issued - w->consumed_seen < w->size)
		return true;
	w->consumed_seen = __atomic_load_n(&w->consumed, __ATOMIC_ACQUIRE);
	return w->issued - w->consumed_seen < w->size;
}

/* Ingest: the ticket w->issued has been queued. */
static inline void dip_window_issue(struct dip_window *w)
{
	__atomic_store_n(&w->issued, w->issued + 1, __ATOMIC_RELEASE);
}

/* Processor: everything in the slot is written. */
static inline void dip_window_publish(struct dip_result *slot, uint64_t ticket)
{
	__atomic_store_n(&slot->ready, ticket + 1, __ATOMIC_RELEASE);
}

/* Whoever refuses the ticket's frame: there will be no result. */
static inline void dip_window_leave_hole(const struct dip_window *w, uint64_t ticket)
{
	struct dip_result *slot = dip_window_slot(w, ticket);

	slot->kind = DIP_RESULT_HOLE;
	dip_window_publish(slot, ticket);
}

/* Results poller: the result of a ticket not consumed yet, or NULL when it is not there yet. */
static inline const struct dip_result *dip_window_peek(const struct dip_window *w, uint64_t ticket)
{
	const struct dip_result *slot = dip_window_slot(w, ticket);

	return __atomic_load_n(&slot->ready, __ATOMIC_ACQUIRE) == ticket + 1 ? slot : NULL;
}

/* Results poller: the next n tickets are done with. */
static inline void dip_window_consume(struct dip_window *w, uint64_t n)
{
	__atomic_store_n(&w->consumed, w->consumed + n, __ATOMIC_RELEASE);
}
