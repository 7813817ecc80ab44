/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_cycles.h>

#include "dma/source_impl.h"
#include "random/random.h"

#define NS_PER_MS 1e6
#define CORRUPT_STREAM 0x70697865u /* apart from those of the faults themselves */

void dip_play_start(struct dip_source *s)
{
	const struct dip_faults *f = s->faults;

	s->played = (struct dip_fault_shared){.dead_seq = UINT64_MAX};
	for (unsigned int i = 0; f != NULL && i < f->count; i++)
		if (f->fault[i].kind == DIP_FAULT_DEAD && f->fault[i].at)
			s->played.dead_seq = RTE_MIN(s->played.dead_seq, f->fault[i].frame);
}

static uint64_t ticks(const struct dip_source *s, double ms)
{
	return ms * NS_PER_MS / s->ns_per_tsc;
}

/* --- bursts --- */

/* The last of the frames that come with frame seq, plus 1. */
static uint64_t end_of_burst(const struct dip_source *s, uint64_t seq, double frames)
{
	return dip_source_number(s, dip_source_index(s, seq) + (uint64_t)frames - 1) + 1;
}

uint64_t dip_play_burst(struct dip_source *s, uint16_t queue, uint64_t due)
{
	struct dip_fault_state *state = &s->queues[queue].faults;
	const struct dip_faults *f = s->faults;
	uint64_t longest = due, last = dip_source_index(s, due);

	if (due == state->burst_due)
		return state->burst_long;
	for (unsigned int i = 0; i < f->count; i++) {
		const struct dip_fault *b = &f->fault[i];
		uint64_t first = last > b->amount ? last - (uint64_t)b->amount : 0;

		if (b->kind != DIP_FAULT_BURST)
			continue;
		if (b->at && b->frame < due)
			longest = RTE_MAX(longest, end_of_burst(s, b->frame, b->amount));
		for (uint64_t at = first; !b->at && at < last; at++) {
			uint64_t seq = dip_source_number(s, at);

			if (dip_fault_hits(f, i, seq))
				longest = RTE_MAX(longest, end_of_burst(s, seq, b->amount));
		}
	}
	state->burst_due = due;
	state->burst_long = longest;
	return longest;
}

/* --- a dead device --- */

static bool is_dead(const struct dip_faults *f, uint64_t seq)
{
	for (unsigned int i = 0; i < f->count; i++)
		if (f->fault[i].kind == DIP_FAULT_DEAD && !f->fault[i].at &&
			dip_fault_hits(f, i, seq))
			return true;
	return false;
}

/* Unpaced sources have everything due: no further than the poll may get. */
uint64_t dip_play_dead(
	struct dip_source *s, uint16_t queue, uint64_t head, uint64_t due, unsigned int count)
{
	struct dip_fault_state *state = &s->queues[queue].faults;
	uint64_t at = dip_source_index(s, RTE_MAX(state->dead_seen, head)), end, dead;

	if (!dip_source_paced(s))
		due = RTE_MIN(due, dip_source_number(s, dip_source_index(s, head) + count));
	end = dip_source_index(s, due);
	for (; at < end; at++)
		if (is_dead(s->faults, dip_source_number(s, at)))
			break;
	dead = __atomic_load_n(&s->played.dead_seq, __ATOMIC_RELAXED);
	state->dead_seen = at < end ? dip_source_number(s, at) : due;
	while (at < end && state->dead_seen < dead &&
		!__atomic_compare_exchange_n(&s->played.dead_seq, &dead, state->dead_seen, false,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return RTE_MIN(due, __atomic_load_n(&s->played.dead_seq, __ATOMIC_RELAXED));
}

/* --- stalls, late frames --- */

/* Unpaced: from when it was first seen to be the next one. Two queues that see it at once may make
 * it a hair longer. */
static uint64_t held_since_seen(struct dip_source *s, uint64_t seq, uint64_t length, uint64_t now)
{
	struct dip_fault_shared *p = &s->played;
	uint64_t until = __atomic_load_n(&p->hold_until, __ATOMIC_RELAXED);

	if (__atomic_load_n(&p->hold_seq, __ATOMIC_ACQUIRE) == seq + 1)
		return __atomic_load_n(&p->hold_until, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(&p->hold_until, &until, now + length, false,
		    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_store_n(&p->hold_seq, seq + 1, __ATOMIC_RELEASE);
	return now + length;
}

/* Whether the frame holds up itself and all behind it. */
static bool is_held(struct dip_source *s, uint64_t seq, bool next, uint64_t now)
{
	const struct dip_faults *f = s->faults;

	for (unsigned int i = 0; i < f->count; i++) {
		const struct dip_fault *h = &f->fault[i];
		uint64_t until;

		if ((h->kind != DIP_FAULT_STALL && h->kind != DIP_FAULT_LATE) ||
			!dip_fault_hits(f, i, seq))
			continue;
		if (dip_source_paced(s))
			until = dip_schedule_tsc(s, seq) + ticks(s, h->amount);
		else if (next)
			until = held_since_seen(s, seq, ticks(s, h->amount), now);
		else
			return true; /* its time begins when it is the next */
		if (now < until)
			return true;
		if (h->kind == DIP_FAULT_LATE) {
			__atomic_store_n(&s->played.late_seq, seq, __ATOMIC_RELAXED);
			__atomic_store_n(&s->played.late_until, until, __ATOMIC_RELAXED);
		}
	}
	return false;
}

uint64_t dip_play_hold(
	struct dip_source *s, uint64_t head, uint64_t due, unsigned int count, uint64_t now)
{
	uint64_t first = dip_source_index(s, head), end = dip_source_index(s, due);

	end = RTE_MIN(end, first + count);
	for (uint64_t at = first; at < end; at++) {
		uint64_t seq = dip_source_number(s, at);

		if (is_held(s, seq, at == first, now))
			return at == first ? head : seq;
	}
	return end > first ? dip_source_number(s, end - 1) + 1 : head;
}

/* --- single frames --- */

uint32_t dip_play_take(struct dip_source *s, uint16_t queue, uint64_t seq)
{
	uint32_t hits = dip_faults_of(s->faults, seq);

	for (unsigned int i = 0; i < s->faults->count; i++)
		if (s->faults->fault[i].kind == DIP_FAULT_REFUSE)
			hits &= ~(1u << i);
	if (hits != 0)
		dip_count(&s->counters[queue].faults, __builtin_popcount(hits));
	return hits;
}

void dip_play_pixels(struct dip_source *s, struct dip_frame *frame, const struct dip_taken *taken)
{
	uint32_t pixels = s->info.width * s->info.height;
	struct dip_random r;
	int i = dip_fault_next(s->faults, taken->faults, DIP_FAULT_CORRUPT, 0);

	for (; i >= 0; i = dip_fault_next(s->faults, taken->faults, DIP_FAULT_CORRUPT, i + 1)) {
		dip_random_init(&r, s->faults->seed, taken->seq, CORRUPT_STREAM + i);
		for (uint64_t n = s->faults->fault[i].amount; n > 0; n--) {
			uint32_t at = (uint64_t)dip_random_word(&r) * pixels >> 32;

			frame->pixels[at] ^= 1 + dip_random_word(&r) % UINT16_MAX;
		}
	}
}

int64_t dip_play_clock(struct dip_source *s, uint16_t queue, uint64_t seq)
{
	struct dip_fault_state *state = &s->queues[queue].faults;
	const struct dip_faults *f = s->faults;
	uint64_t at = dip_source_index(s, state->jump_seen), end = dip_source_index(s, seq) + 1;

	for (; at < end; at++)
		for (unsigned int i = 0; i < f->count; i++)
			if (f->fault[i].kind == DIP_FAULT_JUMP &&
				dip_fault_hits(f, i, dip_source_number(s, at)))
				state->jump_ns += f->fault[i].amount * NS_PER_MS;
	state->jump_seen = RTE_MAX(state->jump_seen, seq + 1);
	return state->jump_ns;
}
