/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/dma: a virtual source's state, shared by its poll path (source.c) and its rawdev
 * face (rawdev.c). */

#include <rte_rawdev.h>

#include "dma/source.h"

/* The arguments that every source has. */
struct dip_source_common {
	char *config;
};

struct dip_source {
	const struct dip_source_ops *ops;
	struct dip_option_table arguments; /* the driver's and the common ones */
	struct dip_source_common common;
	struct dip_dma_info info;
	struct dip_dma_conf conf;
	bool open, configured;
	/* Set at start, read by the queues' threads. */
	uint64_t start_tsc; /* frame 0 is due */
	uint64_t end;       /* the first seq that never comes */
	double fps_per_tsc, tsc_per_frame, ns_per_tsc;
	uint64_t *next_seq;                /* atomic, one for all queues */
	struct dip_dma_counters *counters; /* an array, one a queue */
	uint8_t priv[] __rte_cache_aligned;
};

int dip_source_dequeue(struct rte_rawdev *dev, struct rte_rawdev_buf **bufs, unsigned int count,
	rte_rawdev_obj_t context);

struct dip_source_ops *dip_source_first(void);
#define DIP_SOURCE_FOREACH(ops)                                                                    \
	for (ops = dip_source_first(); ops != NULL; ops = STAILQ_NEXT(ops, next))

/* Set all arguments to what the devargs' text says, and to their defaults otherwise. Returns 0, or
 * a negative errno with *err and nothing left behind. */
int dip_source_arguments(struct dip_source *s, const char *text, struct dip_error *err);
void dip_source_arguments_free(struct dip_source *s);

/* The rows of the common ones. */
struct dip_option_table dip_source_common_table(void);
