/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"
#include "ledger.h"
#include "pipeline.h"
#include "summary.h"

/* The control poller of the main lcore: ends the run of each source when its time is over, the source
 * has ended or a signal comes, sees it drained, prints progress, keeps the ledgers. Each source ends for
 * itself; the loops halt when all are drained.
 *
 *	running --(time, end, signal, failure)--> draining --(all queues empty)--> halted
 *	                                             |  second signal, or drain_queues = false:
 *	                                             +--> what is queued is discarded, and counted
 */
struct control {
	struct pipeline *pipelines;
	unsigned int count;
	const struct command *command;
	bool drain;
	uint64_t deadline_tsc; /* 0: none */
	uint64_t next_tsc, next_report_tsc, next_ledger_tsc, next_pool_tsc;
	/* Of each source. */
	struct {
		struct ledger_watch ledger;
		bool stopping, discarding;
		bool unbalanced; /* an account has been so for long */
	} of[DIP_SOURCES];
};

/* Catch SIGINT and SIGTERM (a third one kills); a closed pipe and a file beyond its limit are errors
 * of the write. */
void control_catch_signals(void);

/* After summary_attach. seconds: of the run, 0 for no end. */
void control_init(struct control *control, struct pipeline *pipelines, unsigned int count,
	const struct command *command, double seconds);

/* Its poller; arg is the struct control. */
struct dip_poller control_poller(struct control *control);
