/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Who may touch a frame, in one atomic word:
 *
 *	63          32 31    16 15      0
 *	+-------------+--------+---------+
 *	| generation  | queued |  held   |
 *	+-------------+--------+---------+
 *
 *	generation  changes whenever the slab is given up by its frame
 *	queued      references in queues, of a frame that may be overwritten there
 *	held        all other references: of who reads the pixels, or, as the source, writes them
 *
 *	take    held = 1                                       out of the pool
 *	add     held + 1, queued + 1, or one for the other     by who holds a reference
 *	claim   queued - 1, held + 1                           by who dequeues a descriptor; not when
 *	                                                       the generation has moved on
 *	recall  queued = 0, held = 1, generation + 1           by the source, for a newer frame; only
 *	                                                       while held is 0
 *	release held - 1; the last: generation + 1             and back to the pool
 *
 * claim and recall are one compare-and-swap each on the same word, so of a queued frame one of them
 * alone succeeds. Where nothing is overwritten queued stays 0: queues have references of the kind
 * held, and neither claim nor release needs a locked instruction more than a plain count would. */

#define DIP_STATE_HELD UINT64_C(1)
#define DIP_STATE_QUEUED (UINT64_C(1) << 16)
#define DIP_STATE_GENERATION (UINT64_C(1) << 32)

static inline uint32_t dip_state_generation(uint64_t state)
{
	return state / DIP_STATE_GENERATION;
}

static inline uint32_t dip_state_queued(uint64_t state)
{
	return state % DIP_STATE_GENERATION / DIP_STATE_QUEUED;
}

static inline uint32_t dip_state_held(uint64_t state)
{
	return state % DIP_STATE_QUEUED;
}

/* No reference of any kind; the same generation. */
static inline uint64_t dip_state_bare(uint64_t state)
{
	return state - state % DIP_STATE_GENERATION;
}

static inline uint64_t dip_state_load(const uint64_t *state)
{
	return __atomic_load_n(state, __ATOMIC_ACQUIRE);
}

/* Of a frame that nobody else can reach. */
static inline void dip_state_take(uint64_t *state)
{
	uint64_t s = __atomic_load_n(state, __ATOMIC_RELAXED);

	__atomic_store_n(state, dip_state_bare(s) + DIP_STATE_HELD, __ATOMIC_RELAXED);
}

/* more: DIP_STATE_HELD, DIP_STATE_QUEUED, their multiples, sums and differences. */
static inline void dip_state_add(uint64_t *state, uint64_t more)
{
	__atomic_fetch_add(state, more, __ATOMIC_RELEASE);
}

/* Turn the reference that a descriptor of that generation stands for into one that is held. False:
 * the frame was recalled, or has gone back to the pool. */
static inline bool dip_state_claim(uint64_t *state, uint32_t generation)
{
	uint64_t s = dip_state_load(state);

	while (dip_state_generation(s) == generation) {
		if (dip_state_queued(s) == 0) /* it is held already */
			return true;
		if (__atomic_compare_exchange_n(state, &s, s - DIP_STATE_QUEUED + DIP_STATE_HELD,
			    true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
			return true;
	}
	return false;
}

/* Is the frame of that generation queued, and no more? */
static inline bool dip_state_recallable(uint64_t state, uint32_t generation)
{
	return dip_state_generation(state) == generation && dip_state_queued(state) > 0 &&
	       dip_state_held(state) == 0;
}

/* Take the slab away from a frame of that generation that is queued, and no more: it is the caller's
 * then, for another frame, as if it came from the pool. */
static inline bool dip_state_recall(uint64_t *state, uint32_t generation)
{
	uint64_t s = dip_state_load(state);

	while (dip_state_recallable(s, generation))
		if (__atomic_compare_exchange_n(state, &s,
			    dip_state_bare(s) + DIP_STATE_GENERATION + DIP_STATE_HELD, true,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

/* Give up a held reference. Returns whether it was the last one of all: the slab is no frame's then. */
static inline bool dip_state_release(uint64_t *state)
{
	uint64_t s = dip_state_load(state);

	/* A sole holder needs no locked instruction: nobody else can take a reference. */
	if (s % DIP_STATE_GENERATION != DIP_STATE_HELD) {
		s = __atomic_fetch_sub(state, DIP_STATE_HELD, __ATOMIC_ACQ_REL);
		if (s % DIP_STATE_GENERATION != DIP_STATE_HELD)
			return false;
	}
	__atomic_store_n(state, dip_state_bare(s) + DIP_STATE_GENERATION, __ATOMIC_RELEASE);
	return true;
}
