/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "detect/detector.h"

/* Written by constructors before main only, so it needs no lock. */
static STAILQ_HEAD(, dip_detector_ops) detectors = STAILQ_HEAD_INITIALIZER(detectors);
static char names[512];

void dip_detector_register(struct dip_detector_ops *ops)
{
	size_t len = strlen(names);

	snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "", ops->name);
	STAILQ_INSERT_TAIL(&detectors, ops, next);
}

const struct dip_detector_ops *dip_detector_find(const char *name)
{
	const struct dip_detector_ops *ops;

	STAILQ_FOREACH (ops, &detectors, next) {
		if (strcmp(ops->name, name) == 0)
			return ops;
	}
	return NULL;
}

const char *dip_detector_names(void)
{
	return names;
}
