/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "cmdline.h"
#include "source.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Say on stderr what went wrong; an empty line has been said already, by the driver. Returns
 * EXIT_USAGE. */
int complain(const struct dip_error *err);

/* Whether all that was printed on stdout has been taken: a reader may be gone, the disk of a file full.
 * Says so when not. */
bool stdout_taken(void);

/* Run the sources, which are open, to their end, and report. settings must stay to the end of the
 * process. Returns the exit status: that of the source that went worst. Main lcore. */
int run_sources(const struct command *command, const struct settings *settings,
	const struct sources *sources);
