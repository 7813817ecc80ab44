/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Counters: 64 bits, one writer each, static storage (a telemetry thread may outlive everything
 * else), declared beside the data they count and registered by rows. A part that runs on several
 * lcores has an array of counter structs, one an instance, on cache lines of its own; the metric
 * is their sum. Several parts that count the same have rows of the same name: one metric, the sum
 * of all. An instance belongs to a source; a source's metric is the sum of its instances. */

/* Sources of frames in one process, at most; numbered from 0. */
#define DIP_SOURCES 16
/* In place of a source's number: all of them. */
#define DIP_ALL_SOURCES DIP_SOURCES

struct dip_metric {
	const char *name;
	const char *unit;
	const char *help;
	size_t offset; /* of the uint64_t in the counter struct */
};

/* The row of a field that is called as its metric is. */
#define DIP_METRIC(counters, field, unit, help)                                                    \
	{                                                                                          \
#field, unit, help, offsetof(counters, field)                                      \
	}

struct dip_metric_block {
	STAILQ_ENTRY(dip_metric_block) next;
	const struct dip_metric *rows;
	unsigned int count;
	const void *counters; /* the first instance */
	uint8_t *owner; /* atomic: of each instance, its source; one that nobody uses counts nothing */
	size_t stride;  /* bytes from one instance to the next */
	unsigned int instances;
};

/* Add n to a counter that only this thread writes; any thread may read it. */
static inline void dip_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Set a number that only this thread writes. */
static inline void dip_store(uint64_t *number, uint64_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static inline uint64_t dip_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void dip_metrics_register(struct dip_metric_block *block);

/* From now on an instance of the block is the source's. Main lcore. */
static inline void dip_metrics_own(
	struct dip_metric_block *block, unsigned int instance, unsigned int source)
{
	__atomic_store_n(&block->owner[instance], source, __ATOMIC_RELAXED);
}

/* Sum over the instances of a source, or of all. An unknown name is a mistake in the program: it
 * aborts. Any thread. */
uint64_t dip_metric_of(unsigned int source, const char *name);

static inline uint64_t dip_metric_value(const char *name)
{
	return dip_metric_of(DIP_ALL_SOURCES, name);
}

/* Call fn for every registered metric with that sum, once, in order of registration by block. */
void dip_metrics_foreach(unsigned int source,
	void (*fn)(const struct dip_metric *metric, uint64_t value, void *arg), void *arg);

/* array: a static array of counter structs; rows: a static array of struct dip_metric. */
#define DIP_METRICS_REGISTER(block, rows_, array_)                                                 \
	static uint8_t block##_owner[sizeof(array_) / sizeof((array_)[0])];                        \
	static struct dip_metric_block block = {                                                   \
		.rows = rows_,                                                                     \
		.count = sizeof(rows_) / sizeof((rows_)[0]),                                       \
		.counters = array_,                                                                \
		.owner = block##_owner,                                                            \
		.stride = sizeof((array_)[0]),                                                     \
		.instances = sizeof(array_) / sizeof((array_)[0]),                                 \
	};                                                                                         \
	static void __attribute__((constructor)) block##_register(void)                            \
	{                                                                                          \
		dip_metrics_register(&block);                                                      \
	}
