/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "patch.h"
#include "store.h"

/* From the sites as configured and the maps of the frame's pixels to weights of whole numbers, one
 * site after the other in the order of patch->place: fills in site[], limit[], counting, least,
 * least_map, det.wide and det.scale.
 *
 * A sum of w (p - o) / g over the pixels is linear in them, so that the maps cost nothing per frame:
 * each site's weights become W = S w / g, rounded to the nearest, and the sum that of W p less the
 * constant sum of W o, rounded to the nearest. S is a power of two, the scale: the largest one with
 * which every |W| stays within 15 bits; or down to a 128th of that, if 32-bit sums are enough then. A
 * count is the sum / S rounded to whole counts, half up: occupied iff sum >= T S - S / 2.
 *
 * When pixels are counted, a pixel counts iff p >= ceil(o + g least): exact, and S = 1.
 * Hot pixels get the weight 0.
 *
 * Returns 0, or -EINVAL or -ENOMEM with *err. */
int patch_fold(struct patch *patch, const struct dip_detector_conf *conf, struct patch_store *store,
	struct dip_error *err);
