/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The program's own book-keeping: for each account, what came in = what was done + what was lost,
 * by name + what is still in flight. */

#define LEDGER_TERMS 8

struct ledger_term {
	const char *name; /* a metric's */
	uint64_t value;
};

struct ledger_account {
	const char *name;           /* "device", "proc", "arch", "results" */
	struct ledger_term offered; /* the device calls it due */
	struct ledger_term done;
	struct ledger_term lost[LEDGER_TERMS];
	unsigned int losses;
	uint64_t in_flight;
	int64_t imbalance; /* 0, or the frames that nobody can account for */
};

enum { LEDGER_DEVICE, LEDGER_PROC, LEDGER_ARCH, LEDGER_RESULTS, LEDGER_ACCOUNTS };

/* Read the counters. queued: the frames counted in the queues themselves, for each account, once
 * everything stands still; NULL while the pipeline runs: then in_flight is the difference, and an
 * imbalance is what does not fit between 0 and most (frames in flight at most, for each). Any
 * thread. */
void ledger_read(uint16_t dev_id, const uint64_t *queued, const uint64_t *most,
	struct ledger_account accounts[LEDGER_ACCOUNTS]);

bool ledger_balanced(const struct ledger_account accounts[LEDGER_ACCOUNTS]);
