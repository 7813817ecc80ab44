/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "npy/npy.h"
#include "results/format.h"
#include "util/file.h"

/* The table of the sites: a NumPy file with a record for each site, in the order of the results. */

#define HEADER_BYTES 1024

struct row {
	uint32_t index;
	uint16_t row, col, h, w; /* pixels */
	int64_t threshold;       /* counts */
	int64_t limit;           /* what the sum is compared with, in 1 / scale counts */
	uint32_t scale;
	double lambda_empty, lambda_occ, false_positive, false_negative;
	char name[]; /* filled up with zeros */
} __attribute__((packed));

static size_t name_bytes(const struct dip_sites *sites)
{
	size_t longest = 1;

	for (unsigned int i = 0; i < sites->count; i++) {
		size_t length = strlen(sites->site[i].name);

		longest = length > longest ? length : longest;
	}
	return longest;
}

static int make_header(char *header, size_t names, unsigned int count)
{
	char descr[512], shape[32];

	snprintf(descr, sizeof(descr),
		"[('index', '<u4'), ('row', '<u2'), ('col', '<u2'), ('h', '<u2'), ('w', '<u2'), "
		"('threshold', '<i8'), ('limit', '<i8'), ('scale', '<u4'), ('lambda_empty', "
		"'<f8'), "
		"('lambda_occ', '<f8'), ('false_positive', '<f8'), ('false_negative', '<f8'), "
		"('name', '|S%zu')]",
		names);
	snprintf(shape, sizeof(shape), "(%u,)", count);
	return dip_npy_header_write(header, HEADER_BYTES, descr, shape);
}

static void fill_row(
	struct row *to, unsigned int i, const struct dip_site *s, const struct dip_detector *det)
{
	*to = (struct row){
		.index = i,
		.row = s->row,
		.col = s->col,
		.h = s->h,
		.w = s->w,
		.threshold = s->threshold,
		.limit = det->limit[i],
		.scale = det->scale,
		.lambda_empty = s->lambda_empty,
		.lambda_occ = s->lambda_occ,
		.false_positive = s->false_positive,
		.false_negative = s->false_negative,
	};
	memcpy(to->name, s->name, strlen(s->name));
}

static int write_table(int fd, const struct dip_sites *sites, const struct dip_detector *det)
{
	size_t names = name_bytes(sites), stride = sizeof(struct row) + names;
	size_t bytes = HEADER_BYTES + sites->count * stride;
	char *table = calloc(1, bytes);
	int ret;

	if (table == NULL)
		return -ENOMEM;
	ret = make_header(table, names, sites->count);
	for (unsigned int i = 0; i < sites->count; i++)
		fill_row(
			(struct row *)(table + HEADER_BYTES + i * stride), i, &sites->site[i], det);
	if (ret == 0)
		ret = dip_write_at(fd, table, bytes, 0);
	free(table);
	return ret;
}

int dip_results_table_create(
	const char *path, const struct dip_sites *sites, const struct dip_detector *det)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE), ret;

	if (fd < 0)
		return -errno;
	ret = write_table(fd, sites, det);
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	if (ret < 0)
		unlink(path);
	return ret;
}
