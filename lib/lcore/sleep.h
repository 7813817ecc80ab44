/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* When an lcore without work sleeps, and until when. A sleep costs CPU time at its end and ends late,
 * both the more the more the machine is shared. So an lcore that knows when its next frame is due, or
 * has seen frames come regularly, sleeps once, until just before; one that does not sleeps for longer
 * and longer. All times are TSC ticks; one thread's own. */

/* What a poller can say of its next work, instead of a moment: */
#define DIP_DUE_UNKNOWN UINT64_C(0) /* it may come any time */
#define DIP_DUE_NEVER UINT64_MAX    /* only other pollers of its lcore can make any */

struct dip_sleep {
	uint64_t us;            /* ticks */
	uint64_t sleep_max;     /* while it is not known when the next work is due */
	uint64_t last_work;     /* the end of the last turn that brought work */
	uint64_t arrival;       /* the end of the last one that did after one that did not */
	uint64_t interval, dev; /* from arrival to arrival: mean, mean deviation; 0: none seen */
	uint64_t lead;          /* most sleeps end this much late or less */
	uint64_t rest;          /* after wakes in vain: the least to sleep */
	uint64_t asked;         /* when the last sleep was to end */
	uint64_t woken_for;     /* due then, until it is clear whether it was woken in vain */
	bool quiet;             /* the last turn brought nothing */
};

/* hz: ticks a second. */
void dip_sleep_init(struct dip_sleep *d, uint64_t hz, uint32_t sleep_max_us, uint64_t now);

/* A turn that ended now brought work. */
void dip_sleep_worked(struct dip_sleep *d, uint64_t now);

/* A turn that ended now brought none. due: when the lcore's next work is, as far as its pollers know,
 * or DIP_DUE_UNKNOWN, DIP_DUE_NEVER; a moment that has passed: it may come any time and is not to be
 * guessed; unsure: there may be some before. Returns until when to sleep;
 * now: not at all. */
uint64_t dip_sleep_until(struct dip_sleep *d, uint64_t now, uint64_t due, bool unsure);

/* The sleep that dip_sleep_until has asked for has ended. */
void dip_sleep_woke(struct dip_sleep *d, uint64_t now);
