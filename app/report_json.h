/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <jansson.h>

#include "options.h"
#include "summary.h"

/* The parts of the final report as JSON values, which the line of each second has, too. The caller
 * owns them; NULL when there is no memory. Any thread. */

json_t *report_stats(void);
json_t *report_ledger(void);
json_t *report_histogram(const struct dip_histogram_summary *h);
json_t *report_latency(void);
json_t *report_lcores(void);
json_t *report_detector(void);
json_t *report_device(void);
json_t *report_outputs(void);
json_t *report_config(const struct settings *settings);
