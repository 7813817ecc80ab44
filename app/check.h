/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* What no single option row can check. Each returns 0, or -EINVAL with *err naming the keys. */

/* Keys against each other and against the command line, before anything starts. */
int check_settings(
	const struct command *command, const struct settings *settings, struct dip_error *err);

/* Keys against the frames that the source delivers. */
int check_geometry(
	const struct settings *settings, uint32_t width, uint32_t height, struct dip_error *err);
