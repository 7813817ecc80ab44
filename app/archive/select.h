/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* Frames by number, as 1,5-9. */

struct range {
	uint64_t first, last;
	bool found; /* at least one frame of it */
};

struct selection {
	struct range *ranges; /* NULL: all frames */
	size_t count;
};

/* text: NULL for all. 0, or -EINVAL or -ENOMEM with *err. Free ranges at the end. */
int selection_parse(const char *text, struct selection *selection, struct dip_error *err);

/* Whether seq is asked for. */
bool selection_has(const struct selection *selection, uint64_t seq);

/* Note that seq is there. */
void selection_found(struct selection *selection, uint64_t seq);
