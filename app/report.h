/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "summary.h"

/* The final report on out, as the original's text and the ledger, or as one JSON object: of the source,
 * or of each source and of all together. */
void report_text(FILE *out);
void report_json(FILE *out, const struct settings *settings, int exit_status);

/* One line of figures of a source while the program runs. */
void report_progress(FILE *out, const struct summary *summary);
