/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_common.h>

#include "lcore/sleep.h"

/* How long without work, when it may come any time, until the lcore sleeps. A sleep is as long as the
 * time without work so far: what it adds to a latency stays in proportion. */
#define PATIENCE_US 50
/* What is shorter is not worth it. */
#define LEAST_US 5
/* The longest sleep, unless the user wants longer ones: a stop is seen in time, and so is work that no
 * poller had foreseen. */
#define MOST_US 2000
/* The lead goes up by four steps after a sleep that ended later, else down by one, so that one in five
 * ends later than it says. */
#define LEAD_FIRST_US 20
#define LEAD_MOST_US 100
#define LEAD_STEPS_US 8 /* steps in 1 us */
#define LEAD_UP 4
/* Arrivals are regular when they deviate from their mean by less than one in so many. */
#define REGULAR 8
/* Sooner than frames have come so far: one that was there already may have been for a while. */
#define SOONER_US 5
/* Gains of the means, as TCP has them for its round trips (RFC 6298). */
#define INTERVAL_GAIN 8
#define DEV_GAIN 4

void dip_sleep_init(struct dip_sleep *d, uint64_t hz, uint32_t sleep_max_us, uint64_t now)
{
	uint64_t us = hz / 1000000;

	*d = (struct dip_sleep){.us = us,
		.sleep_max = us * sleep_max_us,
		.last_work = now,
		.arrival = now,
		.lead = us * LEAD_FIRST_US};
}

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static void note_interval(struct dip_sleep *d, uint64_t interval)
{
	if (d->interval == 0) {
		d->interval = interval;
		d->dev = interval / 2;
		return;
	}
	d->dev += difference(interval, d->interval) / DEV_GAIN - d->dev / DEV_GAIN;
	d->interval += interval / INTERVAL_GAIN - d->interval / INTERVAL_GAIN;
}

void dip_sleep_worked(struct dip_sleep *d, uint64_t now)
{
	d->last_work = now;
	if (!d->quiet)
		return;
	note_interval(d, now - d->arrival);
	d->arrival = now;
	d->quiet = false;
	d->woken_for = 0;
	d->rest = d->rest > d->us * PATIENCE_US ? d->rest / 2 : 0;
}

/* Nothing has come since, though it might have. */
static uint64_t back_off(const struct dip_sleep *d, uint64_t now, uint64_t since)
{
	uint64_t over = now > since ? now - since : 0;

	return over < d->us * PATIENCE_US ? now : now + RTE_MIN(over, d->sleep_max);
}

static uint64_t before(const struct dip_sleep *d, uint64_t now, uint64_t moment)
{
	uint64_t until = moment > d->lead ? moment - d->lead : 0;

	return until > now + d->us * LEAST_US ? until : now;
}

static uint64_t by_habit(const struct dip_sleep *d, uint64_t now)
{
	uint64_t early = d->arrival + d->interval - d->dev - d->us * SOONER_US;

	if (d->interval == 0 || d->dev > d->interval / REGULAR)
		return back_off(d, now, d->last_work);
	return now + d->lead < early ? before(d, now, early)
				     : back_off(d, now, d->arrival + d->interval + d->dev);
}

static uint64_t by_schedule(const struct dip_sleep *d, uint64_t now, uint64_t due)
{
	if (now >= due)
		return back_off(d, now, RTE_MAX(due, d->last_work));
	return RTE_MAX(before(d, now, due), d->rest > 0 ? now + d->rest : 0);
}

/* The frame for which it was woken went to another lcore, which may do without help from this one. */
static void note_vain(struct dip_sleep *d, uint64_t due)
{
	if (d->woken_for == 0 || due <= d->woken_for)
		return;
	d->rest = RTE_MIN(RTE_MAX(2 * d->rest, d->us * PATIENCE_US), d->us * MOST_US);
	d->woken_for = 0;
}

uint64_t dip_sleep_until(struct dip_sleep *d, uint64_t now, uint64_t due, bool unsure)
{
	uint64_t until;

	d->quiet = true;
	note_vain(d, due);
	if (due == DIP_DUE_UNKNOWN)
		until = by_habit(d, now);
	else
		until = by_schedule(d, now, due);
	if (due != DIP_DUE_UNKNOWN && unsure)
		until = RTE_MIN(until, by_habit(d, now));
	until = RTE_MIN(until, now + RTE_MAX(d->us * MOST_US, d->sleep_max));
	if (until > now && due != DIP_DUE_UNKNOWN)
		d->woken_for = due;
	d->asked = until;
	return until;
}

void dip_sleep_woke(struct dip_sleep *d, uint64_t now)
{
	uint64_t step = RTE_MAX(d->us / LEAD_STEPS_US, UINT64_C(1));

	if (now > d->asked + d->lead)
		d->lead = RTE_MIN(d->lead + LEAD_UP * step, d->us * LEAD_MOST_US);
	else
		d->lead -= RTE_MIN(d->lead, step);
}
