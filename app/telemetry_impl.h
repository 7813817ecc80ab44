/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to telemetry: telemetry.c has what counts from the start on, telemetry_window.c what a window
 * of time has, telemetry_sites.c what the sites have. */

#include <rte_telemetry.h>

#include "summary.h"
#include "telemetry.h"

/* Whose figures are asked for. */
struct telemetry_choice {
	const struct summary *summary; /* NULL: all sources together */
	const char *rest; /* the parameters behind the name and its comma, "" for none */
};

/* Read "NAME", "NAME,rest" or "rest". Where there is one source, that is meant in any case. */
struct telemetry_choice telemetry_choose(const char *params);

/* The same of a command that has no other parameters. False: no source is called so, which is the
 * answer then. */
bool telemetry_choose_only(
	const char *params, struct rte_tel_data *d, struct telemetry_choice *choice);

/* And of one that cannot answer for all sources together. */
bool telemetry_choose_one(const char *cmd, const char *params, struct rte_tel_data *d,
	struct telemetry_choice *choice);

/* Telemetry knows no floats. */
void telemetry_decimal(struct rte_tel_data *d, const char *name, double value);

/* Answer {"error": text} instead of what was asked for, with ? for what JSON would have to escape.
 * Returns 0, for the callback to return: DPDK makes null, without a reason, of a negative number. */
int telemetry_error(struct rte_tel_data *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What DPDK calls for any of the commands; params: NULL for none. Any thread. */
int telemetry_answer(const char *cmd, const char *params, struct rte_tel_data *d);

int telemetry_latency(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_worst(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_lcores(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_occupancy(const char *cmd, const char *params, struct rte_tel_data *d);
int telemetry_site(const char *cmd, const char *params, struct rte_tel_data *d);
