/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "dma/source_impl.h"

#define LANDED_BURST 32
#define PATIENCE_S 1 /* with transfers that do not land, at a stop */

static struct dip_flight *flight_at(struct dip_queue *q, uint32_t at)
{
	return &q->flight[at % DIP_FLIGHTS];
}

unsigned int dip_flights_room(const struct dip_source *s, uint16_t queue)
{
	uint32_t depth = RTE_MIN(s->mover->depth, (unsigned int)DIP_FLIGHTS),
		 used = dip_flights(&s->queues[queue]);

	return used < depth ? depth - used : 0;
}

void dip_flights_begin(struct dip_source *s, uint16_t queue, struct dip_frame **frames,
	const struct dip_taken *taken, unsigned int n)
{
	struct dip_queue *q = &s->queues[queue];

	for (unsigned int i = 0; i < n; i++) {
		unsigned int slot = q->last % DIP_FLIGHTS;
		struct dip_flight *f = &q->flight[slot];

		*f = (struct dip_flight){.frame = frames[i], .taken = taken[i]};
		q->last++;
		f->result = s->mover->submit(s->mover_priv, queue, slot, taken[i].seq, frames[i]);
		f->landed = f->result < 0;
	}
	if (n > 0 && s->mover->flush != NULL)
		s->mover->flush(s->mover_priv, queue);
}

static void reap(struct dip_source *s, uint16_t queue)
{
	struct dip_landed landed[LANDED_BURST];
	struct dip_queue *q = &s->queues[queue];
	unsigned int n = s->mover->reap(s->mover_priv, queue, landed, LANDED_BURST);

	for (unsigned int i = 0; i < n; i++) {
		q->flight[landed[i].slot].result = landed[i].result;
		q->flight[landed[i].slot].ticks = landed[i].ticks;
		q->flight[landed[i].slot].landed = true;
	}
}

unsigned int dip_flights_land(
	struct dip_source *s, uint16_t queue, struct dip_frame **frames, unsigned int max)
{
	struct dip_queue *q = &s->queues[queue];
	unsigned int n = 0;

	if (dip_flights(q) == 0)
		return 0;
	reap(s, queue);
	/* A duplicate waits for the next poll: one at a time. */
	while (n < max && q->again == NULL && dip_flights(q) > 0 &&
		flight_at(q, q->first)->landed) {
		unsigned int slot = q->first++ % DIP_FLIGHTS;
		struct dip_flight *f = &q->flight[slot];
		uint64_t now;

		if (f->result >= 0 && s->mover->check != NULL)
			f->result = s->mover->check(s->mover_priv, queue, slot);
		if (f->result < 0) {
			dip_source_lose(s, &s->counters[queue], f->frame, f->result);
			continue;
		}
		now = rte_rdtsc();
		if (f->ticks > 0)
			f->taken.begin = now - f->ticks;
		dip_source_arrive(s, queue, f->frame, &f->taken, now);
		frames[n++] = f->frame;
	}
	return n;
}

void dip_flights_stop(struct dip_source *s, uint16_t queue)
{
	struct dip_queue *q = &s->queues[queue];
	uint64_t since = rte_rdtsc();

	while (dip_flights(q) > 0) {
		struct dip_flight *f = flight_at(q, q->first);

		if (!f->landed) {
			if (s->mover->abandon != NULL &&
				rte_rdtsc() - since > PATIENCE_S * rte_get_tsc_hz())
				s->mover->abandon(s->mover_priv, queue);
			reap(s, queue);
			rte_pause();
			continue;
		}
		since = rte_rdtsc();
		dip_count(&s->counters[queue].missed, 1);
		dip_frame_put(f->frame);
		q->first++;
	}
}
