/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/pixels.h"
#include "npy/npy.h"

/* Put the key before what the reader of the file says. */
static int read_array(const char *key, const char *path, double **values, uint64_t *rows,
	uint64_t *columns, struct dip_error *err)
{
	struct dip_error why;
	int ret = dip_npy_array_read(path, values, rows, columns, &why);

	return ret < 0 ? dip_fail(err, -ret, "%s: %.900s", key, why.text) : 0;
}

static int fail_shape(const struct dip_pixels_conf *conf, const char *key, const char *path,
	uint64_t rows, uint64_t columns, const char *also, struct dip_error *err)
{
	return dip_fail(err, EINVAL,
		"%s: %.400s: found a shape of (%" PRIu64 ", %" PRIu64 "), expected (%" PRIu32
		", %" PRIu32 "), the frame's%s",
		key, path, rows, columns, conf->height, conf->width, also);
}

static int read_map(const struct dip_pixels_conf *conf, const char *key, const char *path,
	double **map, struct dip_error *err)
{
	uint64_t rows, columns;
	double *values;
	int ret;

	if (path[0] == '\0')
		return 0;
	ret = read_array(key, path, &values, &rows, &columns, err);
	if (ret < 0)
		return ret;
	if (rows != conf->height || columns != conf->width) {
		free(values);
		return fail_shape(conf, key, path, rows, columns, "", err);
	}
	*map = values;
	return 0;
}

static int mark(const struct dip_pixels_conf *conf, double row, double col, uint8_t *hot,
	struct dip_error *err)
{
	/* Written so that NaN fails. */
	if (!(row >= 0 && row < conf->height && row == floor(row) && col >= 0 &&
		    col < conf->width && col == floor(col)))
		return dip_fail(err, EINVAL,
			"pois.hot_pixels: found a pixel at row %.12g, column %.12g, expected one "
			"inside the frame of %" PRIu32 " x %" PRIu32,
			row, col, conf->height, conf->width);
	hot[(size_t)row * conf->width + (size_t)col] = 1;
	return 0;
}

/* 0 or not, for each pixel. */
static int mark_mask(const struct dip_pixels_conf *conf, const double *values, uint8_t *hot,
	struct dip_error *err)
{
	for (size_t i = 0; i < (size_t)conf->height * conf->width; i++) {
		if (isnan(values[i]))
			return dip_fail(err, EINVAL,
				"pois.hot_pixels: %.400s: row %zu, column %zu: found %g, expected "
				"0, or 1 for a hot pixel; write one of them there",
				conf->hot_pixels, i / conf->width, i % conf->width, values[i]);
		hot[i] = values[i] != 0;
	}
	return 0;
}

static int mark_array(const struct dip_pixels_conf *conf, uint8_t *hot, struct dip_error *err)
{
	static const char key[] = "pois.hot_pixels";
	uint64_t rows, columns;
	double *values;
	int ret = read_array(key, conf->hot_pixels, &values, &rows, &columns, err);

	if (ret < 0)
		return ret;
	if (rows == conf->height && columns == conf->width) {
		ret = mark_mask(conf, values, hot, err);
	} else if (columns == 2) {
		for (uint64_t i = 0; ret == 0 && i < rows; i++)
			ret = mark(conf, values[2 * i], values[2 * i + 1], hot, err);
	} else {
		ret = fail_shape(conf, key, conf->hot_pixels, rows, columns,
			", or (N, 2), a list of rows and columns", err);
	}
	free(values);
	return ret;
}

/* "12:40, 13:41" */
static int mark_list(const struct dip_pixels_conf *conf, uint8_t *hot, struct dip_error *err)
{
	const char *p = conf->hot_pixels;

	while (*p != '\0') {
		char row[10], col[10];
		int used = 0, ret;

		if (sscanf(p, " %9[0-9]:%9[0-9] %n", row, col, &used) != 2 || used == 0 ||
			(p[used] != ',' && p[used] != '\0'))
			return dip_fail(err, EINVAL,
				"pois.hot_pixels: found \"%.40s\", expected ROW:COLUMN, "
				"ROW:COLUMN, "
				"..., or the name of an .npy file",
				p);
		ret = mark(conf, atoi(row), atoi(col), hot, err);
		if (ret < 0)
			return ret;
		p += used + (p[used] == ',');
	}
	return 0;
}

static int read_hot(const struct dip_pixels_conf *conf, uint8_t **map, struct dip_error *err)
{
	size_t length = strlen(conf->hot_pixels);
	bool file = length > 4 && strcmp(conf->hot_pixels + length - 4, ".npy") == 0;

	if (length == 0)
		return 0;
	*map = calloc(conf->height, conf->width);
	if (*map == NULL)
		return dip_fail(err, ENOMEM, "pois.hot_pixels: out of memory");
	return file ? mark_array(conf, *map, err) : mark_list(conf, *map, err);
}

int dip_pixels_load(
	const struct dip_pixels_conf *conf, struct dip_pixels *out, struct dip_error *err)
{
	struct dip_pixels p = {.width = conf->width, .height = conf->height, .least = conf->least};
	int ret;

	ret = read_map(conf, "pois.offset_map", conf->offset_map, &p.offset, err);
	if (ret == 0)
		ret = read_map(conf, "pois.gain_map", conf->gain_map, &p.gain, err);
	if (ret == 0)
		ret = read_hot(conf, &p.hot, err);
	if (ret < 0)
		dip_pixels_free(&p);
	else
		*out = p;
	return ret;
}

void dip_pixels_free(struct dip_pixels *p)
{
	free(p->offset);
	free(p->gain);
	free(p->hot);
	*p = (struct dip_pixels){0};
}
