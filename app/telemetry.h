/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"

/* Register /dip/... with DPDK telemetry, before EAL starts it; until summary_attach every answer says that
 * the run has not begun. settings must stay to the end of the process. */
void telemetry_register(const struct settings *settings);
