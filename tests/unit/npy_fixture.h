/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder of its own for each test, and .npy files in it. Included after cmocka.h. */

static char fixture_dir[] = "/tmp/dip-npy-XXXXXX";
static char fixture_path[256];

static int fixture_open(void **state)
{
	(void)state;
	strcpy(fixture_dir + strlen(fixture_dir) - 6, "XXXXXX");
	return mkdtemp(fixture_dir) != NULL ? 0 : -1;
}

static int fixture_close(void **state)
{
	char command[sizeof(fixture_dir) + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", fixture_dir);
	return system(command) == 0 ? 0 : -1;
}

/* The path of a file there, until the next call. */
static const char *fixture_file(const char *name)
{
	snprintf(fixture_path, sizeof(fixture_path), "%s/%s", fixture_dir, name);
	return fixture_path;
}

static const char *fixture_write(const char *name, const void *data, size_t bytes)
{
	FILE *f = fopen(fixture_file(name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
	return fixture_path;
}

/* Version 1, the header in the 128 bytes that numpy uses. */
static const char *fixture_npy(const char *name, const char *descr, const char *order,
	const char *shape, const void *data, size_t bytes)
{
	char *file = malloc(128 + bytes);

	assert_non_null(file);
	memset(file, ' ', 128);
	memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
	file[10 + sprintf(file + 10, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr,
			  order, shape)] = ' ';
	file[127] = '\n';
	if (bytes > 0)
		memcpy(file + 128, data, bytes);
	fixture_write(name, file, 128 + bytes);
	free(file);
	return fixture_path;
}

/* Each word, up to the NULL at the end, is in the message, which is one line. */
static void fixture_says(const char *text, const char *const *words)
{
	assert_null(strchr(text, '\n'));
	for (; *words != NULL; words++)
		if (strstr(text, *words) == NULL)
			fail_msg("no \"%s\" in: %s", *words, text);
}
