/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_cycles.h>

#include "dma/source_impl.h"

void dip_schedule_init(struct dip_source *s)
{
	double hz = rte_get_tsc_hz();
	uint64_t frames = UINT64_MAX;

	if (!s->conf.loop && s->info.frames > 0)
		frames = s->info.frames;
	if (s->conf.limit > 0)
		frames = RTE_MIN(frames, s->conf.limit);
	s->end = frames == UINT64_MAX ? UINT64_MAX : dip_source_number(s, frames - 1) + 1;
	s->fps_per_tsc = s->conf.fps / hz;
	s->tsc_per_frame = s->conf.fps > 0 ? hz / s->conf.fps : 0;
	s->ns_per_tsc = NS_PER_S / hz;
}

uint64_t dip_schedule_due(struct dip_source *s, uint16_t queue, uint64_t now)
{
	uint64_t due;

	if (!dip_source_paced(s))
		return s->end;
	if (s->info.timed)
		due = s->ops->due_by(s->priv, (now - s->start_tsc) * s->ns_per_tsc);
	else
		due = (uint64_t)((now - s->start_tsc) * s->fps_per_tsc) + 1;
	if (dip_faults_have(s->faults, DIP_FAULT_BURST))
		due = dip_play_burst(s, queue, due);
	return RTE_MIN(due, s->end);
}

uint64_t dip_schedule_tsc(const struct dip_source *s, uint64_t seq)
{
	if (s->info.timed)
		return s->start_tsc + (uint64_t)(s->ops->due_ns(s->priv, seq) / s->ns_per_tsc);
	return s->start_tsc + (uint64_t)(seq * s->tsc_per_frame);
}

/* A paced source ends when the frame after its last one would be due: ten seconds take ten. One
 * that has moments of its own has none for that. */
uint64_t dip_schedule_end(const struct dip_source *s)
{
	if (!dip_source_paced(s) || s->info.timed || s->end == 0)
		return 0;
	return dip_schedule_tsc(s, s->end);
}

uint64_t dip_schedule_next_tsc(const struct dip_source *s)
{
	uint64_t seq = __atomic_load_n(s->next_seq, __ATOMIC_RELAXED);

	if (seq >= s->end)
		return dip_schedule_end(s);
	return dip_schedule_tsc(s, dip_source_number(s, dip_source_index(s, seq)));
}
