/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"
#include "results/format.h"

#define OUTPUTS_MADE 64

/* The files of a run. Nothing of an earlier run is ever written over: a run that starts in the
 * same second gets _2, _3, ... behind its stamp. */
struct outputs {
	char archive[4096]; /* <arch_output_dir>/<YYYYmmdd_HHMMSS>[_<suffix>], "" for none */
	char results[4200]; /* <proc_output_dir>/results_<YYYYmmdd_HHMMSS>.txt or so, "" for none */
	char table[4200];   /* ... .sites.npy: the table of the sites beside it, "" for none */
	char stats[4200];   /* ... .stats.jsonl: figures of each second, "" for none */
	int results_fd;     /* -1: none */
	int stats_fd; /* -1: none; to append to. Whoever writes last closes it, and sets it to -1 */
	/* The folders above them that were made for this run. */
	char *made[OUTPUTS_MADE];
	unsigned int made_count;
};

/* How the results file begins, and how the names of all files end. */
struct outputs_results {
	const char
		*suffix; /* behind the stamp; NULL: nothing. What is in no plain name becomes _ */
	const struct dip_results_format *format; /* NULL: no results file */
	struct dip_results_shape shape;
	const struct dip_sites *sites;
	const struct dip_detector *detector;
};

/* Make the folders that are asked for, the results file without a result in it, the table of the
 * sites, and the empty file of figures. Returns 0, or a negative errno with *err naming the key and
 * the folder, and nothing left behind. */
int outputs_create(const struct settings *settings, const struct outputs_results *results,
	struct outputs *outputs, struct dip_error *err);

/* Close all but stats_fd; a run folder without a file in it is removed, and forgotten. */
void outputs_close(struct outputs *outputs);

/* After a failure before the run: close and remove what outputs_create made. */
void outputs_remove(struct outputs *outputs);
