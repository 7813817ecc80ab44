/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "util/error.h"

/* Who may ask telemetry. EAL makes the folder of its socket for its own user alone; a group is let in here,
 * to the socket and to nothing else of that folder. Main lcore only. */

/* Whether there is such a group, by name or number; "" is none. Returns 0, -EINVAL. */
int telemetry_group_check(const char *group, struct dip_error *err);

/* After EAL has started. "" changes nothing. Returns 0 or a negative errno. */
int telemetry_group_admit(const char *group, struct dip_error *err);
