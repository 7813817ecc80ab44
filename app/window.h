/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metrics/worst.h"
#include "process/process.h"
#include "summary.h"

/* What was measured since the present window of time began: at the start of the run, or when somebody
 * asked for a new one, of one source or, where the summary is NULL, of all together. Writers are not disturbed: what they had counted by then is taken off. Static
 * storage; any thread. */

/* Latencies of all processors, or of one (its number, from 0), and of the archive. begin: and begin a
 * new window in the same moment: each frame is in exactly one of the two. Where there are several
 * sources, a new window of one leaves the lcores' as it is. Returns 0, or -EINVAL for a
 * processor that is not there. */
#define WINDOW_ALL (-1)
int window_latencies(
	const struct summary *summary, int processor, bool begin, struct latencies *latencies);

/* All latencies since the start of the run, whatever the windows were, for a monitoring system: these
 * numbers only grow. */
struct latency_steps {
	struct dip_histogram_steps stage[DIP_STAGES]; /* by enum dip_stage */
	struct dip_histogram_steps archived;
};

void window_latency_steps(const struct summary *summary, struct latency_steps *steps);

/* Latencies of a source's processors and of its archive since the last such call, or since the start:
 * for one reader of each source, who asks at regular times. A maximum is the upper end of its bucket: no writer keeps one for
 * this. */
void window_latency_interval(
	const struct summary *summary, struct latencies *latencies, struct latency_steps *steps);

/* The slowest frames, slowest first. Returns how many. */
unsigned int window_worst(const struct summary *summary, struct dip_worst_frame worst[DIP_WORST]);

struct lcore_load {
	double busy, idle;         /* shares of the time; both 0 before the lcore runs */
	uint64_t busy_ns, idle_ns; /* the time itself, since the start of the run */
	uint64_t turns;
	double longest_turn_us, longest_idle_us; /* sleeps left out */
};

void window_lcore(unsigned int lcore_id, struct lcore_load *load);
