/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <jansson.h>

#include "options.h"
#include "summary.h"

/* The parts of the final report as JSON values, which the line of each second has, too. The caller
 * owns them; NULL when there is no memory. summary: NULL sums up all sources, but for the detector,
 * the device and the outputs, which each has its own of. Any thread. */

json_t *report_stats(const struct summary *summary);
json_t *report_ledger(const struct summary *summary);
json_t *report_histogram(const struct dip_histogram_summary *h);
json_t *report_latency(const struct summary *summary);
json_t *report_lcores(void);
json_t *report_detector(const struct summary *summary);
json_t *report_pool(const struct summary *summary);
json_t *report_device(const struct summary *summary);
json_t *report_outputs(const struct summary *summary);
json_t *report_config(const struct settings *settings);
