/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "detect/sites.h"

/* Sites from a file in libconfig's syntax; docs/detection.md has the format. */

struct dip_sites_conf {
	const char *file;
	uint32_t width, height;        /* of the frame, pixels */
	const struct dip_prior *prior; /* for sites that say nothing else: the pois group's */
	bool plain; /* pixels count what they are: a threshold beyond what they can add up to is refused */
};

/* Read it. The sites of the lattices come first, in their order, then the single ones. Every error is
 * one line with file, line, site, what was found, what was expected and what to do; an unknown key
 * also names the nearest known one. Returns 0 and *out, to be freed with dip_sites_free, or a negative
 * errno with *err; *out is untouched then. Control thread only. */
int dip_sites_load(const struct dip_sites_conf *conf, struct dip_sites *out, struct dip_error *err);
