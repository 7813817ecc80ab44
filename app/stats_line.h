/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"
#include "summary.h"

/* A line of the file of figures: a JSON object, without the newline. docs/results.md has its fields. */

enum stats_line_place {
	STATS_LINE_FIRST, /* says what the run is, too */
	STATS_LINE_MIDDLE,
	STATS_LINE_LAST, /* and how it ended */
};

/* The figures of a source at this moment and of the time since its line before, which began at
 * *before_tsc, 0 for the first; then it is this moment. The caller frees the text; NULL: no memory. One
 * thread at a time for each source. */
char *stats_line_make(const struct summary *summary, enum stats_line_place place,
	const struct settings *settings, uint64_t *before_tsc);
