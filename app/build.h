/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "pipeline.h"

/* The steps of pipelines_create, in this order. Each returns 0 or a negative errno with *err; what
 * is already built is left to pipeline_free and outputs_remove. */

/* Ask the source for its frames; lay out the sites, compute the threshold, choose the kernel. */
int build_decision(struct pipeline *pipeline, struct dip_error *err);

/* The name of the archive's back end, and what it is to do to another one. */
const char *build_backend(const struct settings *settings, struct dip_io_delay *delay);

/* Decide which poller of all pipelines runs on which lcore. archives: so many workers, the last ones, are
 * there for archives alone. */
int build_placement(struct pipeline *pipelines, unsigned int count, unsigned int archives,
	struct dip_error *err);

/* Pool, rings, output files and pollers. suffix: of the outputs' names, or NULL. */
int build_parts(
	struct pipeline *pipeline, uint64_t limit, const char *suffix, struct dip_error *err);
