/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "npy/npy.h"

/* An .npy file: its header is parsed, as frames and as any array, or refused; so is its data. The last
 * byte says what file it is the begin of: the bytes that there are, or more. */

/* What a header says must fit the file. */
static void parse_frames(const uint8_t *data, size_t size, uint64_t file_size)
{
	struct dip_npy_header header, before;
	struct dip_error err = {""};
	int rc;

	memset(&header, 0x5a, sizeof(header));
	before = header;
	rc = dip_npy_parse("input", data, size, file_size, &header, &err);
	if (rc < 0) {
		check_refusal(rc, &err);
		HOLDS(memcmp(&header, &before, sizeof(header)) == 0);
		return;
	}
	HOLDS(header.ndim == 2 || header.ndim == 3);
	HOLDS(header.frames >= 1 && header.height >= 1 && header.width >= 1);
	HOLDS(header.data_offset <= size && header.data_bytes <= file_size - header.data_offset);
	HOLDS((unsigned __int128)header.frames * header.height * header.width *
			(header.type == DIP_NPY_U1 ? 1 : 2) ==
		header.data_bytes);
}

static void parse_array(const uint8_t *data, size_t size, uint64_t file_size)
{
	struct dip_npy_array_header header, before;
	struct dip_error err = {""};
	int rc;

	memset(&header, 0x5a, sizeof(header));
	before = header;
	rc = dip_npy_parse_array("input", data, size, file_size, &header, &err);
	if (rc < 0) {
		check_refusal(rc, &err);
		HOLDS(memcmp(&header, &before, sizeof(header)) == 0);
		return;
	}
	HOLDS(strchr("biuf", header.kind) != NULL);
	HOLDS(header.data_offset <= size);
	HOLDS((unsigned __int128)header.rows * header.columns * header.bytes <=
		file_size - header.data_offset);
}

/* The numbers themselves: all of them are read, which the sanitizers follow. */
static void read_array(const char *path)
{
	struct dip_error err = {""};
	uint64_t rows, columns;
	double *values, sum = 0;
	int rc = dip_npy_array_read(path, &values, &rows, &columns, &err);

	if (rc < 0) {
		check_refusal(rc, &err);
		return;
	}
	for (uint64_t i = 0; i < rows * columns; i++)
		sum += values[i];
	HOLDS(sum == sum || sum != sum);
	free(values);
}

static void read_frames(const char *path)
{
	struct dip_error err = {""};
	struct dip_npy_set *set;
	uint16_t *pixels;
	int rc = dip_npy_set_open(path, &set, &err);

	if (rc < 0) {
		check_refusal(rc, &err);
		return;
	}
	pixels = malloc((size_t)dip_npy_set_height(set) * dip_npy_set_width(set) * 2);
	HOLDS(pixels != NULL && dip_npy_set_frames(set) >= 1);
	rc = dip_npy_set_read(set, dip_npy_set_frames(set) - 1, pixels, &err);
	if (rc < 0)
		check_refusal(rc, &err);
	free(pixels);
	dip_npy_set_close(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t more = size > 0 ? (uint64_t)1 << data[size - 1] % 64 : 0;
	const char *path;

	parse_frames(data, size, size);
	parse_array(data, size, size);
	parse_frames(data, size, more > size ? more : size);
	parse_array(data, size, more > size ? more : size);
	path = memory_file(data, size);
	read_array(path);
	read_frames(path);
	return 0;
}
