/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"

/* A line of the file of figures: a JSON object, without the newline. docs/results.md has its fields. */

enum stats_line_place {
	STATS_LINE_FIRST, /* says what the run is, too */
	STATS_LINE_MIDDLE,
	STATS_LINE_LAST, /* and how it ended */
};

/* The figures of this moment and of the time since the line before. The caller frees the text; NULL:
 * no memory. One thread at a time. */
char *stats_line_make(enum stats_line_place place, const struct settings *settings);
