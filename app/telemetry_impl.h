/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to telemetry: telemetry.c has what counts from the start on, telemetry_window.c what a window
 * of time has, telemetry_sites.c what the sites have. */

#include <rte_telemetry.h>

#include "telemetry.h"

/* Telemetry knows no floats. */
void telemetry_decimal(struct rte_tel_data *d, const char *name, double value);

/* Answer {"error": text} instead of what was asked for; text has less than RTE_TEL_MAX_STRING_LEN
 * characters and none that JSON would have to escape. Returns 0, for the callback to return: DPDK makes null,
 * without a reason, of a negative number. */
int telemetry_error(struct rte_tel_data *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

int telemetry_latency(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_worst(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_lcores(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_occupancy(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_site(const char *cmd, const char *params, struct rte_tel_data *d);
