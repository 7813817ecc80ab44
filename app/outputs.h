/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"

#define OUTPUTS_MADE 64

/* The files of a run. Nothing of an earlier run is ever written over: a run that starts in the
 * same second gets _2, _3, ... behind its stamp. */
struct outputs {
	char archive[4096]; /* <arch_output_dir>/<YYYYmmdd_HHMMSS>, "" for none */
	char results[4200]; /* <proc_output_dir>/results_<YYYYmmdd_HHMMSS>.txt, "" for none */
	int results_fd;     /* -1: none */
	/* The folders above them that were made for this run. */
	char *made[OUTPUTS_MADE];
	unsigned int made_count;
};

/* Make the folders that are asked for and the empty results file. Returns 0, or a negative errno
 * with *err naming the key and the folder, and nothing left behind. */
int outputs_create(const struct settings *settings, struct outputs *outputs, struct dip_error *err);

/* Close; a run folder without a file in it is removed, and forgotten. */
void outputs_close(struct outputs *outputs);

/* After a failure before the run: close and remove what outputs_create made. */
void outputs_remove(struct outputs *outputs);
