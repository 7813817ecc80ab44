/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "metrics/metrics.h"

/* Largest values, ever and in the present window of time. A reader begins a new window by raising one
 * number; each writer sees that at its next value and forgets its old peak itself. So nobody writes
 * to what another one writes. */

/* The present window of everything, and what a source's is ahead of it; the last one is of what belongs
 * to no source, and stays 0. Atomic; raised by whoever begins a window, one at a time. */
extern uint64_t dip_peak_window, dip_peak_ahead[DIP_SOURCES + 1];

/* The present window of a source; DIP_ALL_SOURCES: of what belongs to none. */
static inline uint64_t dip_peak_window_of(unsigned int source)
{
	return dip_read(&dip_peak_window) + dip_read(&dip_peak_ahead[source]);
}

struct dip_peak {
	uint64_t source; /* whose windows; set before the first value */
	uint64_t ever;
	uint64_t value;  /* in the window below */
	uint64_t window; /* when value was last set */
};

/* The writer's thread only. */
static inline void dip_peak_record(struct dip_peak *p, uint64_t value)
{
	uint64_t window = dip_peak_window_of(p->source);

	if (value > p->ever)
		__atomic_store_n(&p->ever, value, __ATOMIC_RELEASE);
	if (window == p->window && value <= p->value)
		return;
	__atomic_store_n(&p->value, value, __ATOMIC_RELAXED);
	__atomic_store_n(&p->window, window, __ATOMIC_RELEASE);
}

/* The largest value of the present window, 0 when there was none. Any thread. */
static inline uint64_t dip_peak_read(const struct dip_peak *p)
{
	if (__atomic_load_n(&p->window, __ATOMIC_ACQUIRE) != dip_peak_window_of(p->source))
		return 0;
	return dip_read(&p->value);
}
