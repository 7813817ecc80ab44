/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

#include "results/window.h"

/* The most bytes that one frame's text takes, with room for whole words at its end. */
size_t dip_text_bytes(unsigned int sites);

/* Write the two lines of a frame at text, not terminated. Returns their bytes. */
size_t dip_text_format(char *text, const struct dip_result *result, unsigned int sites);
