/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "npy/set_impl.h"

#define BYTES_MAX ((uint64_t)2 << 30)

/* One number, least significant byte first. */
static double number_of(const struct dip_npy_array_header *hd, const uint8_t *bytes)
{
	unsigned int spare = (64 - 8 * hd->bytes) % 64; /* bits of raw */
	uint64_t raw = 0;
	uint32_t low;
	double f8;
	float f4;

	for (unsigned int i = 0; i < hd->bytes; i++)
		raw |= (uint64_t)bytes[hd->big_endian ? hd->bytes - 1 - i : i] << 8 * i;
	switch (hd->kind) {
	case 'f':
		if (hd->bytes == 8) {
			memcpy(&f8, &raw, sizeof(f8));
			return f8;
		}
		low = (uint32_t)raw;
		memcpy(&f4, &low, sizeof(f4));
		return f4;
	case 'i':
		return (double)((int64_t)(raw << spare) >> spare);
	default:
		return (double)raw;
	}
}

static double *convert(const struct dip_npy_array_header *hd, const uint8_t *data)
{
	uint64_t count = hd->rows * hd->columns;
	double *values = malloc(count * sizeof(*values));

	if (values == NULL)
		return NULL;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t row = i / hd->columns, col = i % hd->columns;
		uint64_t at = hd->fortran_order ? col * hd->rows + row : i;

		values[i] = number_of(hd, data + at * hd->bytes);
	}
	return values;
}

int dip_npy_array_read(
	const char *path, double **values, uint64_t *rows, uint64_t *columns, struct dip_error *err)
{
	struct dip_npy_array_header hd;
	uint8_t *data = NULL;
	uint64_t size;
	ssize_t n;
	int fd, ret;

	ret = dip_npy_file_open(path, &fd, &size, err);
	if (ret < 0)
		return ret;
	if (size > BYTES_MAX)
		ret = dip_fail(err, EFBIG, "%s: found %lu bytes, expected at most %lu", path,
			(unsigned long)size, (unsigned long)BYTES_MAX);
	else if ((data = malloc(size + 1)) == NULL)
		ret = dip_fail(
			err, ENOMEM, "%s: no memory for %lu bytes", path, (unsigned long)size);
	if (ret < 0)
		goto done;
	n = dip_npy_read_at(fd, data, size, 0);
	if (n < 0 || (uint64_t)n != size) {
		ret = dip_fail(err, n < 0 ? (int)-n : EIO, "%s: cannot read: %s", path,
			n < 0 ? strerror((int)-n) : "cut short while it was read");
		goto done;
	}
	ret = dip_npy_parse_array(path, data, size, size, &hd, err);
	if (ret < 0)
		goto done;
	*values = convert(&hd, data + hd.data_offset);
	*rows = hd.rows;
	*columns = hd.columns;
	if (*values == NULL)
		ret = dip_fail(err, ENOMEM, "%s: no memory for its numbers", path);
done:
	free(data);
	close(fd);
	return ret;
}
