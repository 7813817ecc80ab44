/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to telemetry: telemetry.c has what counts from the start on, telemetry_window.c what a window
 * of time has. */

#include <rte_telemetry.h>

#include "telemetry.h"

/* Telemetry knows no floats. */
void telemetry_decimal(struct rte_tel_data *d, const char *name, double value);

int telemetry_latency(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_worst(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_lcores(const char *cmd, const char *params, struct rte_tel_data *d);
