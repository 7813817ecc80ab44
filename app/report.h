/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "options.h"

/* The final report on out, as the original's text and the ledger, or as one JSON object. */
void report_text(FILE *out);
void report_json(FILE *out, const struct settings *settings);

/* One line of figures while the program runs. */
void report_progress(FILE *out);
