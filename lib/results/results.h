/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lcore/lcore.h"
#include "results/format.h"
#include "results/window.h"

/* The results poller: takes the results of all lanes in order of seq and writes them to a file, in a
 * format of format.h, and every interval_print-th, as text, to stdout. */

struct dip_results_conf {
	unsigned int source;         /* whose counters it raises: metrics/metrics.h */
	struct dip_window **windows; /* one a lane; the array is copied */
	unsigned int lanes;
	struct dip_results_shape shape;          /* its limits stay the caller's */
	const struct dip_results_format *format; /* NULL: no file, text for stdout alone */
	int fd;                                  /* the file, or -1; stays the caller's */
	const char *file;                        /* its name, stays the caller's */
	bool print_stdout;
	uint64_t interval_print; /* >= 1 */
};

struct dip_results;

/* Returns 0 or -ENOMEM. Main lcore. */
int dip_results_create(const struct dip_results_conf *conf, struct dip_results **results);
void dip_results_free(struct dip_results *results); /* NULL is allowed */

/* The poller; its arg is the struct dip_results. It alone may call write(2), and only it waits. */
struct dip_poller dip_results_poller(struct dip_results *results);

/* Results between their decision and the file, at most: full windows and a full buffer. */
uint64_t dip_results_most(const struct dip_results *results);

/* Every ticket issued so far has been taken; the last results go to the file when the poller stops.
 * Any thread. */
bool dip_results_idle(const struct dip_results *results);
