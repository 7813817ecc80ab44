/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "metrics/histogram.h"
#include "pipeline.h"

/* What the run is and was, for the report and for telemetry. A telemetry thread may read it at any
 * time, even while the program ends: static storage, nothing in it is ever freed, and the pipeline
 * is looked at only between summary_attach and summary_detach. */

struct summary {
	bool attached; /* atomic: what follows is filled in */
	char device[64];
	struct dip_dma_info info;
	uint16_t dev_id;
	char detector[32], kernel[32];
	const struct dip_sites *sites;
	struct dip_sites_span span;
	unsigned int processors;
	bool wide;
	uint32_t scale;                                 /* of the detector's sums */
	char archive[4096], results[4200], stats[4200]; /* "": none */
	bool archive_on, results_on;
	uint64_t most[LEDGER_ACCOUNTS]; /* frames in flight at most */
	uint64_t drained_tsc;           /* nothing was queued any more; 0: not yet */
	uint64_t begin_tsc, end_tsc;    /* of the acquisition; 0: not yet */
	bool final;                     /* everything stands still */
	uint64_t queued[LEDGER_ACCOUNTS];
	uint64_t pool_available; /* atomic: slabs that were free, 10 ms ago at most */
	uint64_t slabs;
	int exit_status;
};

extern struct summary summary;

/* Describe the pipeline about to run. Main lcore. */
void summary_attach(const struct pipeline *pipeline, const char *device);

/* Look at the pool. Main lcore, between the two. */
void summary_note_pool(const struct pipeline *pipeline);

/* Nothing moves any more; the pipeline is about to be freed. Main lcore. */
void summary_detach(const struct pipeline *pipeline);

struct rates {
	double elapsed_sec; /* of acquisition */
	double drained_sec; /* and until the last frame of it was done: what proc and arch took */
	double dma_fps, proc_fps, arch_fps, arch_gbps, arch_gibps;
};

void summary_rates(struct rates *rates);
void summary_ledger(struct ledger_account accounts[LEDGER_ACCOUNTS]);

struct latencies {
	struct dip_histogram_summary dequeued; /* arrival to a processor's taking it */
	struct dip_histogram_summary decision; /* from there to its decision */
	struct dip_histogram_summary result;   /* arrival to decision */
	struct dip_histogram_summary archived; /* arrival to completed write */
};

void summary_latencies(struct latencies *latencies);
