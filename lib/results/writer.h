/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "results/format.h"

/* Writes results to their file, many at a time. A file that cannot be written costs its results
 * (results_io_errors), nothing else; the file holds whole results only, whatever happens. One thread:
 * the results poller's. */

struct dip_results_writer;

/* fd: a file that dip_results_file_create made, under the name `file`, which is kept; it stays the
 * caller's. -1: there is none, and a result is done once it is added. source: whose counters it raises.
 * Returns 0 or -ENOMEM. */
int dip_results_writer_create(const struct dip_results_format *format,
	const struct dip_results_shape *shape, int fd, const char *file, unsigned int source,
	struct dip_results_writer **writer);
void dip_results_writer_free(struct dip_results_writer *writer); /* NULL is allowed */

/* Take one more result. Calls write(2) when the buffer is full. */
void dip_results_writer_add(struct dip_results_writer *writer, const struct dip_result *result);

/* Write what has waited for more for too long. Call often. Returns whether there was something. */
bool dip_results_writer_poll(struct dip_results_writer *writer);

/* Write what there is. */
void dip_results_writer_flush(struct dip_results_writer *writer);

/* Results in the buffer at most. */
uint64_t dip_results_writer_most(const struct dip_results_writer *writer);
