/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

#include "../../app/archive/tool.h"

/* Run a command of dma-image-archive on a segment or a run, with its words (both streams, cut at
 * size) in place of the terminal. block is what --block says. */
enum status tool_run(enum status (*command)(const struct arguments *), char *path, size_t block,
	char *words, size_t size);

/* --shape for the calls that follow, or NULL. */
extern const struct dip_shape *tool_shape;
