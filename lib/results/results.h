/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lcore/lcore.h"
#include "results/window.h"

/* The results poller: takes the results of all lanes in order of seq and writes them, as the
 * original's text, to a file and, every interval_print-th, to stdout:
 *
 *	[frame SEQ] rois=N
 *	0110...   (N characters)
 *
 * A file that cannot be written costs its results (results_io_errors), nothing else. */

struct dip_results_conf {
	struct dip_window **windows; /* one a lane; the array is copied */
	unsigned int lanes;
	unsigned int sites;
	int fd;           /* the results file, or -1; stays the caller's */
	const char *file; /* its name, for messages */
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

/* Every ticket issued so far has been taken; the last text goes to the file when the poller stops.
 * Any thread. */
bool dip_results_idle(const struct dip_results *results);
