/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

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

/* Whose books. */
struct ledger_source {
	unsigned int source; /* its number: metrics/metrics.h */
	uint16_t dev_id;
};

/* Read the counters of a source. queued: the frames counted in the queues themselves, for each account, once
 * everything stands still; NULL while the pipeline runs: then in_flight is the difference, and an
 * imbalance is what does not fit between 0 and most (frames in flight at most, for each) and those that
 * came during the reading. Does not wait. Any thread. */
void ledger_read(const struct ledger_source *source, const uint64_t *queued, const uint64_t *most,
	struct ledger_account accounts[LEDGER_ACCOUNTS]);

/* Add what one source has to what others have. What cannot be accounted for is added up whichever way
 * it is wrong: all balance only if each does. */
void ledger_add(struct ledger_account sum[LEDGER_ACCOUNTS],
	const struct ledger_account accounts[LEDGER_ACCOUNTS]);

bool ledger_balanced(const struct ledger_account accounts[LEDGER_ACCOUNTS]);

/* The checks of a running pipeline, one a second. An imbalance is told when it lasts: when it is there
 * in LEDGER_LASTING checks in a row. */
#define LEDGER_LASTING 3

struct ledger_watch {
	unsigned int source;                    /* its number */
	const char *device;                     /* its name, or NULL */
	unsigned int in_a_row[LEDGER_ACCOUNTS]; /* checks that did not balance */
	bool lasting[LEDGER_ACCOUNTS];          /* the account was ever wrong for so long */
};

/* source: its number; device: its name, which stays, for the lines; NULL where there is one only. Main
 * lcore. */
void ledger_watch_init(struct ledger_watch *watch, unsigned int source, const char *device);

/* Note a check: metrics ledger_checks, ledger_imbalances, and the accounts that have been wrong for
 * LEDGER_LASTING checks now, for the first time, one line on err for each. Returns whether any
 * account is lasting. One thread. */
bool ledger_watch_note(struct ledger_watch *watch,
	const struct ledger_account accounts[LEDGER_ACCOUNTS], FILE *err);
