/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "npy/npy.h"
#include "results/format.h"
#include "util/file.h"

/* proc.results = "npy": a NumPy file of fixed records,
 *
 *	seq <u8 | timestamp_ns <u8 | latency_ns <u8 | occupied <u4 | bits (B,) u1
 *	[ sums (sites,) <i4 or <i8 | margin (sites,) <i4 or <i8 ]
 *
 * with as many bytes of bits as make the length of a record a multiple of 8. The header tells how many
 * records there are while the file grows. */

/* Less than a page: numpy cannot map a file that ends where its records begin, on a page. */
#define HEADER_BYTES 1024

struct head {
	uint64_t seq, timestamp_ns, latency_ns;
	uint32_t occupied;
} __attribute__((packed));

#define HEAD_BYTES sizeof(struct head)

static size_t bits_bytes(const struct dip_results_shape *shape)
{
	return ((HEAD_BYTES + (shape->sites + 7) / 8 + 7) & ~(size_t)7) - HEAD_BYTES;
}

static size_t npy_bytes(const struct dip_results_shape *shape)
{
	size_t bytes = HEAD_BYTES + bits_bytes(shape);

	return shape->sums ? bytes + 2 * shape->sites * dip_results_sum_bytes(shape) : bytes;
}

/* n sums, and behind them how far each is from its limit. That fits: the detector has proved it. */
static void put_sums(const struct dip_results_shape *shape, const int32_t *sums, uint8_t *at)
{
	int32_t *margin = (int32_t *)at + shape->sites;

	memcpy(at, sums, shape->sites * sizeof(*sums));
	for (unsigned int i = 0; i < shape->sites; i++)
		margin[i] = (int32_t)(sums[i] - shape->limit[i]);
}

static void put_wide_sums(const struct dip_results_shape *shape, const int64_t *sums, uint8_t *at)
{
	int64_t *margin = (int64_t *)at + shape->sites;

	memcpy(at, sums, shape->sites * sizeof(*sums));
	for (unsigned int i = 0; i < shape->sites; i++)
		margin[i] = sums[i] - shape->limit[i];
}

static size_t npy_put(
	const struct dip_results_shape *shape, const struct dip_result *result, uint8_t *at)
{
	struct head head = {.seq = result->seq,
		.timestamp_ns = result->timestamp_ns,
		.latency_ns = result->latency_ns,
		.occupied = result->occupied};
	size_t bits = bits_bytes(shape), used = dip_occupancy_bytes(shape->sites);

	memcpy(at, &head, HEAD_BYTES);
	/* Zeros behind the last site in both; how many there are may differ. */
	if (bits <= used) {
		memcpy(at + HEAD_BYTES, result->bits, bits);
	} else {
		memcpy(at + HEAD_BYTES, result->bits, used);
		memset(at + HEAD_BYTES + used, 0, bits - used);
	}
	if (shape->sums && shape->wide)
		put_wide_sums(shape, dip_result_sums(result, shape->sites), at + HEAD_BYTES + bits);
	else if (shape->sums)
		put_sums(shape, dip_result_sums(result, shape->sites), at + HEAD_BYTES + bits);
	return npy_bytes(shape);
}

static int make_header(const struct dip_results_shape *shape, char *header, size_t *at)
{
	char descr[512], sums[128] = "";
	int width = (int)dip_results_sum_bytes(shape);

	if (shape->sums)
		snprintf(sums, sizeof(sums), ", ('sums', '<i%d', (%u,)), ('margin', '<i%d', (%u,))",
			width, shape->sites, width, shape->sites);
	snprintf(descr, sizeof(descr),
		"[('seq', '<u8'), ('timestamp_ns', '<u8'), ('latency_ns', '<u8'), "
		"('occupied', '<u4'), ('bits', '|u1', (%zu,))%s]",
		bits_bytes(shape), sums);
	return dip_npy_growing_header(header, HEADER_BYTES, descr, at);
}

static int npy_begin(const struct dip_results_shape *shape, int fd)
{
	char header[HEADER_BYTES];
	size_t at;
	int ret = make_header(shape, header, &at);

	if (ret == 0)
		ret = dip_write_at(fd, header, sizeof(header), 0);
	return ret < 0 ? ret : HEADER_BYTES;
}

static int npy_promise(const struct dip_results_shape *shape, int fd, uint64_t from, uint64_t to)
{
	char header[HEADER_BYTES];
	size_t at;
	int ret = make_header(shape, header, &at);

	return ret < 0 ? ret : dip_npy_grow(fd, at, from, to);
}

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "records are written as they stand in memory");

const struct dip_results_format dip_results_npy = {
	.name = "npy",
	.suffix = ".npy",
	.sums = true,
	.table = true,
	.most = npy_bytes,
	.least = npy_bytes,
	.put = npy_put,
	.begin = npy_begin,
	.promise = npy_promise,
};
