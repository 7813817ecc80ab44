/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics.h"

static STAILQ_HEAD(, dip_metric_block) blocks = STAILQ_HEAD_INITIALIZER(blocks);

void dip_metrics_register(struct dip_metric_block *block)
{
	STAILQ_INSERT_TAIL(&blocks, block, next);
}

static uint64_t sum(
	const struct dip_metric_block *block, const struct dip_metric *metric, unsigned int source)
{
	const char *counter = (const char *)block->counters + metric->offset;
	uint64_t total = 0;

	for (unsigned int i = 0; i < block->instances; i++) {
		unsigned int owner = __atomic_load_n(&block->owner[i], __ATOMIC_RELAXED);

		if (source != DIP_ALL_SOURCES && owner != source)
			continue;
		total += dip_read((const uint64_t *)(counter + i * block->stride));
	}
	return total;
}

static const struct dip_metric *row_of(const struct dip_metric_block *block, const char *name)
{
	for (unsigned int i = 0; i < block->count; i++)
		if (strcmp(block->rows[i].name, name) == 0)
			return &block->rows[i];
	return NULL;
}

uint64_t dip_metric_of(unsigned int source, const char *name)
{
	struct dip_metric_block *block;
	bool found = false;
	uint64_t total = 0;

	STAILQ_FOREACH (block, &blocks, next) {
		const struct dip_metric *row = row_of(block, name);

		if (row == NULL)
			continue;
		total += sum(block, row, source);
		found = true;
	}
	if (found)
		return total;
	fprintf(stderr, "no metric is called %s\n", name);
	abort();
}

/* Whether a block before this one has the metric too. */
static bool is_told(const struct dip_metric_block *until, const char *name)
{
	struct dip_metric_block *block;

	STAILQ_FOREACH (block, &blocks, next) {
		if (block == until)
			return false;
		if (row_of(block, name) != NULL)
			return true;
	}
	return false;
}

void dip_metrics_foreach(unsigned int source,
	void (*fn)(const struct dip_metric *metric, uint64_t value, void *arg), void *arg)
{
	struct dip_metric_block *block;

	STAILQ_FOREACH (block, &blocks, next)
		for (unsigned int i = 0; i < block->count; i++)
			if (!is_told(block, block->rows[i].name))
				fn(&block->rows[i], dip_metric_of(source, block->rows[i].name),
					arg);
}
