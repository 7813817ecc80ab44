/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "options.h"

/* Register /dip/... with DPDK telemetry. settings must stay to the end of the process. */
void telemetry_register(const struct settings *settings);

/* Likewise /dip/occupancy and /dip/site. */
void telemetry_register_sites(void);
