/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

/* Faults on demand, for any source: faults=KIND[:AMOUNT]@FRAME or KIND[:AMOUNT]~PROBABILITY, joined by
 * "+", and seed:N for the probabilities. Whether a fault hits a frame is a function of the seed, the
 * fault and the frame's number. A frame that is lost for want of a slab is hit by none.
 *
 *	kind       amount  what happens                               what counts it
 *	lost               the frame never arrives                    missed
 *	duplicate          it is delivered twice                      (ingest: duplicates)
 *	burst      frames  the next ones come at once with it         -
 *	stall      ms      nothing is delivered for so long, then all that came meanwhile
 *	                                                              late_max_ns; missed: what
 *	                                                              exceeds the slabs
 *	late       ms      it arrives late, and those behind it wait  the same, but time stamps are
 *	                                                              those of the arrival
 *	corrupt    pixels  so many pixels are wrong                   -
 *	jump       ms      the clock of its time stamps jumps         -
 *	dead               the device fails, from this frame on       errors
 *	refuse             the configuration with this number (from 1) is refused
 *
 * Each is counted in faults, but dead and refuse. */

enum dip_fault_kind {
	DIP_FAULT_LOST,
	DIP_FAULT_DUPLICATE,
	DIP_FAULT_BURST,
	DIP_FAULT_STALL,
	DIP_FAULT_LATE,
	DIP_FAULT_CORRUPT,
	DIP_FAULT_JUMP,
	DIP_FAULT_DEAD,
	DIP_FAULT_REFUSE,
	DIP_FAULT_KINDS
};

#define DIP_FAULTS_MAX 32
#define DIP_FAULT_SEED 1

struct dip_fault {
	enum dip_fault_kind kind;
	double amount;
	bool at;            /* at frame, else with probability */
	uint64_t frame;     /* its number */
	uint64_t threshold; /* probability x 2^32 */
};

struct dip_faults {
	uint64_t seed;
	unsigned int count;
	uint32_t kinds; /* bit k: there is one of kind k */
	struct dip_fault fault[DIP_FAULTS_MAX];
};

/* What a queue remembers of the faults that add up. */
struct dip_fault_state {
	uint64_t dead_seen;             /* frames below this are not hit by dead */
	uint64_t burst_due, burst_long; /* the last answer */
	uint64_t jump_seen;             /* frames up to this are in jump_ns */
	int64_t jump_ns;
};

/* And all queues; atomic. */
struct dip_fault_shared {
	uint64_t dead_seq; /* the device fails here; UINT64_MAX: nowhere yet */
	uint64_t hold_seq,
		hold_until; /* unpaced: the frame that holds all up, plus 1, and until when */
	uint64_t late_seq, late_until; /* the last late frame, and when it arrived */
};

/* Parse. "" gives NULL. Returns 0, or -EINVAL with *err, or -ENOMEM. Free with free(). */
int dip_faults_parse(const char *text, struct dip_faults **faults, struct dip_error *err);

/* Does fault i hit the frame? */
bool dip_fault_hits(const struct dip_faults *f, unsigned int i, uint64_t seq);

/* Which faults hit it: bit i is fault i. */
uint32_t dip_faults_of(const struct dip_faults *f, uint64_t seq);

static inline bool dip_faults_have(const struct dip_faults *f, enum dip_fault_kind kind)
{
	return f != NULL && (f->kinds >> kind & 1) != 0;
}

/* Of the faults in hits, one of this kind: its index, or -1. from: the first to look at. */
static inline int dip_fault_next(
	const struct dip_faults *f, uint32_t hits, enum dip_fault_kind kind, unsigned int from)
{
	for (unsigned int i = from; i < f->count; i++)
		if ((hits >> i & 1) != 0 && f->fault[i].kind == kind)
			return i;
	return -1;
}

/* --- play.c: how they act on a source --- */

struct dip_source;
struct dip_frame;
struct dip_taken;

void dip_play_start(struct dip_source *s);

/* Frames that come with a burst are due before their time: due, or more. */
uint64_t dip_play_burst(struct dip_source *s, uint16_t queue, uint64_t due);

/* No frame from the returned number on can be had at now, because the device is dead, stalls, or
 * waits for a late frame; at most due. Looks at the frames from head on, as far as a poll may take
 * them (count). */
uint64_t dip_play_hold(
	struct dip_source *s, uint64_t head, uint64_t due, unsigned int count, uint64_t now);
uint64_t dip_play_dead(
	struct dip_source *s, uint16_t queue, uint64_t head, uint64_t due, unsigned int count);

/* What happens to a frame that is taken: counts, and returns the faults that hit it. */
uint32_t dip_play_take(struct dip_source *s, uint16_t queue, uint64_t seq);

/* And to one that arrives: its pixels, and what its time stamp is off by, ns. */
void dip_play_pixels(struct dip_source *s, struct dip_frame *frame, const struct dip_taken *taken);
int64_t dip_play_clock(struct dip_source *s, uint16_t queue, uint64_t seq);
