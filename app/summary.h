/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "metrics/histogram.h"
#include "pipeline.h"

/* What the run of a source is and was, for the report and for telemetry. A telemetry thread may read it
 * at any time, even while the program ends: static storage, nothing in it is ever freed, and the
 * pipeline is looked at only between summary_attach and summary_detach. */

struct summary {
	char device[64];
	struct ledger_source books;
	struct dip_dma_info info;
	char detector[32], kernel[32];
	const struct dip_sites *sites;
	struct dip_sites_span span;
	unsigned int first_processor, processors; /* among those of the process */
	struct placement placement;
	bool wide;
	uint32_t scale;                                 /* of the detector's sums */
	char archive[4096], results[4200], stats[4200]; /* "": none */
	bool archive_gone; /* atomic: nothing is in it, and it was removed */
	bool archive_on, results_on;
	uint64_t most[LEDGER_ACCOUNTS]; /* frames in flight at most */
	uint64_t drained_tsc;           /* nothing was queued any more; 0: not yet */
	uint64_t begin_tsc, end_tsc;    /* of the acquisition; 0: not yet */
	bool final;                     /* everything stands still */
	int error; /* atomic: the errno with which the source failed; 0: none */
	uint64_t queued[LEDGER_ACCOUNTS];
	uint64_t pool_available; /* atomic: slabs that were free, 10 ms ago at most */
	uint64_t slabs;
	int exit_status;
};

/* Of the sources of this process, in order of their number. */
extern struct summary summaries[DIP_SOURCES];
extern unsigned int summary_count; /* atomic: 0 until summary_attach has filled them in */

/* Wherever a function takes a summary to read, NULL means all sources together. */

/* Describe the pipelines about to run, devices[i] the name of source i's. Main lcore. */
void summary_attach(
	const struct pipeline *pipelines, const char *const *devices, unsigned int count);

/* The source of that name (length characters), or NULL. */
const struct summary *summary_find(const char *name, size_t length);

/* The folder of its archive, or "": none. */
const char *summary_archive(const struct summary *summary);

/* DIP_ALL_SOURCES for NULL. */
unsigned int summary_source(const struct summary *summary);

struct range {
	unsigned int first, count;
};

/* Its processors among those of the process, its archive among those of all sources. */
struct range summary_processors(const struct summary *summary);
struct range summary_archives(const struct summary *summary);

/* Look at the pool. Main lcore, between the two. */
void summary_note_pool(const struct pipeline *pipeline);

/* Nothing moves any more; the pipeline is about to be freed. Main lcore. */
void summary_detach(const struct pipeline *pipeline);

struct rates {
	double elapsed_sec; /* of acquisition; of all: from the first one's begin to the last one's end */
	double drained_sec; /* and until the last frame of it was done: what proc and arch took */
	double dma_fps, proc_fps, arch_fps, arch_gbps, arch_gibps;
};

void summary_rates(const struct summary *summary, struct rates *rates);
void summary_ledger(const struct summary *summary, struct ledger_account accounts[LEDGER_ACCOUNTS]);

struct latencies {
	struct dip_histogram_summary dequeued; /* arrival to a processor's taking it */
	struct dip_histogram_summary decision; /* from there to its decision */
	struct dip_histogram_summary result;   /* arrival to decision */
	struct dip_histogram_summary archived; /* arrival to completed write */
};

void summary_latencies(const struct summary *summary, struct latencies *latencies);

/* Slabs, and those that are free. */
struct pool_figures {
	uint64_t slabs, available;
};

struct pool_figures summary_pool(const struct summary *summary);
