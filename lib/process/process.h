/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include <rte_ring_elem.h>

#include "detect/detector.h"
#include "frame/frame.h"
#include "lcore/lcore.h"
#include "metrics/histogram.h"
#include "metrics/worst.h"
#include "results/window.h"

/* The process poller: takes frames from its lane's ring, decides which sites are occupied, writes
 * the result into the lane's window and gives the frame back. */

#define DIP_PROCESSORS 128
#define DIP_PROCESS_BURST 64

struct dip_process_conf {
	unsigned int source;   /* whose counters it raises: metrics/metrics.h */
	unsigned int index;    /* 0..DIP_PROCESSORS - 1, one of all processors of the process */
	struct rte_ring *ring; /* of struct dip_desc */
	unsigned int burst;    /* frames taken from it at once, 1..DIP_PROCESS_BURST */
	const struct dip_detector *detector;
	struct dip_window *window; /* the lane's; NULL: nobody wants results */
	bool sums;                 /* they are wanted too: the window has room for them */
	uint64_t deadline_ns;      /* later results are counted as late; UINT64_MAX: none */
	int socket;                /* NUMA node of its lcore */
	uint32_t site_stats; /* gather what each site counts from every so many-th frame; 0: none */
};

struct dip_process;

/* Returns 0 or -ENOMEM. Main lcore. */
int dip_process_create(const struct dip_process_conf *conf, struct dip_process **process);
void dip_process_free(struct dip_process *process); /* NULL is allowed */

/* The poller; its arg is the struct dip_process. Its due is as of a ring that pollers of its own lcore
 * fill: to be NULL where others do. */
struct dip_poller dip_process_poller(struct dip_process *process);

/* From now on frames are given back undecided, counted as discarded. Any thread. */
void dip_process_discard(struct dip_process *process);

/* Where the time of a frame goes. */
enum dip_stage {
	DIP_STAGE_DEQUEUED, /* arrival to a processor's taking it */
	DIP_STAGE_DECISION, /* from there to its decision, after those of the same poll before it */
	DIP_STAGE_RESULT,   /* arrival to decision */
	DIP_STAGES
};

/* DIP_PROCESSORS histograms, one for each processor. Static storage; any thread. */
const struct dip_histogram *dip_process_latency(enum dip_stage stage);

/* The slowest frames of each processor. Static storage; any thread. */
const struct dip_worst *dip_process_worst(void);
