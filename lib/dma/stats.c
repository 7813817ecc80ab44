/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <rte_rawdev.h>
#include <rte_string_fns.h>

#include "dma/dma.h"

static struct dip_dma_counters counters[RTE_RAWDEV_MAX_DEVS][DIP_DMA_MAX_QUEUES];

static struct {
	uint64_t next_seq;
} __attribute__((aligned(64))) shared[RTE_RAWDEV_MAX_DEVS];

#define ROW(field, unit, help)                                                                     \
	{                                                                                          \
		"dma_" #field, unit, help, offsetof(struct dip_dma_counters, field)                \
	}

static const struct dip_metric rows[] = {
	ROW(frames, "frames", "frames delivered by the source"),
	ROW(missed, "frames", "frames due and lost at the source"),
	ROW(pool_exhaust, "frames", "of these, lost because no slab was free"),
	ROW(overwritten, "frames",
		"frames that lost their slab, still queued, to a newer one (overwrite)"),
	ROW(pool_waits, "polls", "polls without a free slab that lost nothing"),
	ROW(bytes, "bytes", "bytes of pixels delivered"),
	ROW(errors, "polls", "dequeues that failed"),
	ROW(gaps, "frames", "numbers that the run replayed does not have"),
	ROW(damaged, "frames", "of those missed, damaged in what is played"),
	ROW(copy_errors, "frames", "of those missed, a DMA engine failed to copy them"),
	ROW(faults, "faults", "faults on demand that were played"),
};

/* Late is a maximum, not a sum: an xstat, no metric. */
static const struct dip_metric late_row =
	ROW(late_max_ns, "ns", "longest from a frame's due time to its poll");

#define SUMS RTE_DIM(rows)
#define XSTATS (SUMS + 1)

/* A two-dimensional array of counters is one long array to the registry. */
DIP_METRICS_REGISTER(dma_metrics, rows, counters[0])

static uint8_t owner[RTE_RAWDEV_MAX_DEVS * DIP_DMA_MAX_QUEUES];

static void __attribute__((constructor)) span_all_devices(void)
{
	dma_metrics.instances = RTE_DIM(owner);
	dma_metrics.owner = owner;
}

void dip_dma_own(uint16_t dev_id, unsigned int source)
{
	for (unsigned int q = 0; q < DIP_DMA_MAX_QUEUES; q++)
		dip_metrics_own(&dma_metrics, dev_id * DIP_DMA_MAX_QUEUES + q, source);
}

struct dip_dma_counters *dip_dma_counters(uint16_t dev_id, uint16_t queue)
{
	return &counters[dev_id][queue];
}

uint64_t *dip_dma_next_seq(uint16_t dev_id)
{
	return &shared[dev_id].next_seq;
}

void dip_dma_reset_counters(uint16_t dev_id)
{
	uint64_t *counter = (uint64_t *)counters[dev_id];

	for (size_t i = 0; i < sizeof(counters[dev_id]) / (sizeof(*counter)); i++)
		dip_store(&counter[i], 0);
	__atomic_store_n(&shared[dev_id].next_seq, 0, __ATOMIC_RELAXED);
}

static uint64_t value(uint16_t dev_id, unsigned int id)
{
	const struct dip_metric *row = id < SUMS ? &rows[id] : &late_row;
	uint64_t sum = 0, max = 0;

	for (unsigned int q = 0; q < DIP_DMA_MAX_QUEUES; q++) {
		uint64_t v = dip_read(RTE_PTR_ADD(&counters[dev_id][q], row->offset));

		sum += v;
		max = RTE_MAX(max, v);
	}
	return id < SUMS ? sum : max;
}

static const char *name_of(unsigned int id)
{
	return (id < SUMS ? rows[id].name : late_row.name) + strlen("dma_");
}

int dip_dma_xstats_get(
	const struct rte_rawdev *dev, const unsigned int ids[], uint64_t values[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (ids[i] >= XSTATS)
			return -EINVAL;
		values[i] = value(dev->dev_id, ids[i]);
	}
	return n;
}

int dip_dma_xstats_get_names(
	const struct rte_rawdev *dev, struct rte_rawdev_xstats_name *names, unsigned int size)
{
	(void)dev;
	if (names != NULL && size >= XSTATS)
		for (unsigned int i = 0; i < XSTATS; i++)
			strlcpy(names[i].name, name_of(i), sizeof(names[i].name));
	return XSTATS;
}

uint64_t dip_dma_xstats_get_by_name(
	const struct rte_rawdev *dev, const char *name, unsigned int *id)
{
	for (unsigned int i = 0; i < XSTATS; i++) {
		if (strcmp(name_of(i), name) != 0)
			continue;
		if (id != NULL)
			*id = i;
		return value(dev->dev_id, i);
	}
	if (id != NULL)
		*id = (unsigned int)-1;
	return UINT64_MAX;
}
