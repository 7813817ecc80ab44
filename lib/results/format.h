/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detector.h"
#include "results/window.h"

/* How results stand in a file. A format is a file beside this one, and its name in DIP_RESULTS_FORMATS
 * and in meson.build. */

#define DIP_RESULTS_FORMATS(X) X(text) X(npy)

/* The choices of an option, as text: "text|npy|". */
#define DIP_RESULTS_CHOICE(name) #name "|"
#define DIP_RESULTS_CHOICES DIP_RESULTS_FORMATS(DIP_RESULTS_CHOICE)

/* What is the same for every result of a run. */
struct dip_results_shape {
	unsigned int sites;
	bool sums;            /* with each site's sum, and its margin */
	bool wide;            /* these are int64_t, else int32_t */
	const int64_t *limit; /* of each site, what its sum is compared with; NULL without sums */
};

struct dip_results_format {
	const char *name;
	const char *suffix; /* of the file */
	bool sums;          /* it can hold them */
	bool table;         /* its files need the table of the sites beside them */
	/* Bytes of one result, at most, and at least. */
	size_t (*most)(const struct dip_results_shape *shape);
	size_t (*least)(const struct dip_results_shape *shape);
	/* Write a result at `at`, where there is room for most() bytes. Returns its bytes. */
	size_t (*put)(const struct dip_results_shape *shape, const struct dip_result *result,
		uint8_t *at);
	/* Begin an empty file. Returns the bytes that now stand before the results, or a negative
	 * errno. NULL: nothing stands there. */
	int (*begin)(const struct dip_results_shape *shape, int fd);
	/* `to` results have been written whole, `from` had been before (UINT64_MAX: unknown): say so
	 * in the file. Returns 0 or a negative errno. NULL: nothing to say. */
	int (*promise)(const struct dip_results_shape *shape, int fd, uint64_t from, uint64_t to);
};

#define DIP_RESULTS_DECLARE(name) extern const struct dip_results_format dip_results_##name;
DIP_RESULTS_FORMATS(DIP_RESULTS_DECLARE)

/* NULL: no such format. */
const struct dip_results_format *dip_results_format_find(const char *name);

/* Bytes of a site's sum, and of its margin. */
static inline size_t dip_results_sum_bytes(const struct dip_results_shape *shape)
{
	return shape->wide ? sizeof(int64_t) : sizeof(int32_t);
}

/* Make the file of that name, which must not be there yet: it appears with all that stands before
 * its results. Returns a descriptor for writing, or a negative errno (-EEXIST). */
int dip_results_file_create(const char *path, const struct dip_results_format *format,
	const struct dip_results_shape *shape);

/* Write the table of the sites as a NumPy file of that name, which must not be there yet. Returns 0,
 * or a negative errno and no file. */
int dip_results_table_create(
	const char *path, const struct dip_sites *sites, const struct dip_detector *detector);
