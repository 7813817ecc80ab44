/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lcore/sleep.h"
#include "metrics/peak.h"

/* One lcore loop, many pollers: which poller runs on which lcore is data. */

/* One lcore can do everything for all sources, and control. */
#define DIP_LCORE_POLLERS (4 * DIP_SOURCES + 1)

struct dip_poller {
	const char *role;        /* "ingest", "process", "archive", "results", "control" */
	int (*start)(void *arg); /* on the lcore, before the first poll; NULL: nothing to do */
	unsigned int (*poll)(
		void *arg);      /* does what can be done without waiting; returns how much */
	void (*stop)(void *arg); /* on the lcore, after the last poll; NULL: nothing to do */
	/* On an lcore that may sleep, after a turn without work: when this poller may have some, TSC, or
	 * DIP_DUE_UNKNOWN, DIP_DUE_NEVER. NULL: not known. */
	uint64_t (*due)(void *arg);
	void *arg;
};

/* What an lcore does when a turn brought no work. */
enum dip_idle {
	DIP_IDLE_BUSY,  /* poll on */
	DIP_IDLE_SLEEP, /* sleep until work is due, or for longer and longer: sleep.h */
};

struct dip_lcore_conf {
	enum dip_idle idle;
	uint32_t
		sleep_max_us; /* DIP_IDLE_SLEEP: the longest sleep while it is not known when work is
				* due, microseconds */
};

/* Written by the lcore alone, static storage, read by anybody. */
struct dip_lcore_stats {
	uint64_t busy_tsc; /* in turns that brought work */
	uint64_t idle_tsc; /* in turns that brought none, sleeps included */
	uint64_t turns;
	/* The longest time from the begin of one turn to the next, sleeps left out: of any turn, and
	 * of one that brought no work, which takes that long only when somebody else has the CPU. */
	struct dip_peak longest_tsc, longest_idle_tsc;
} __attribute__((aligned(64)));

/* Give an lcore one more poller, to be called in order of addition each turn. Main lcore only,
 * before dip_lcores_launch. Returns 0, -ENOSPC. */
int dip_lcore_add(unsigned int lcore_id, const struct dip_poller *poller);

/* An lcore that has no CPU of its own sleeps when idle whatever the configuration says. Before
 * dip_lcores_launch. */
void dip_lcore_share_cpu(unsigned int lcore_id);

/* Start the loop on every worker lcore that has pollers. Returns 0 or a negative errno. */
int dip_lcores_launch(const struct dip_lcore_conf *conf);

/* Run the main lcore's pollers until dip_lcores_halt, after dip_lcores_launch; it always sleeps when
 * idle unless it is the only lcore. Returns 0, or the error of a poller's start. */
int dip_lcores_run_main(void);

/* Make every loop end after its present turn. Any thread. */
void dip_lcores_halt(void);

/* Wait for the worker lcores to end and forget the pollers. Returns 0, or the first error of a
 * poller's start. */
int dip_lcores_join(void);

const struct dip_lcore_stats *dip_lcore_stats(unsigned int lcore_id);

/* The roles of an lcore, each told once, "ingest+process", "" for none. Static storage, written at set-up. */
const char *dip_lcore_roles(unsigned int lcore_id);
