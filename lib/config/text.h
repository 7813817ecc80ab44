/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

#include "util/error.h"

/* A configuration's text, ready for config_read_string: its @include-d files put in place and
 * whole numbers beyond 32 bits marked with L. We do this ourselves because libconfig before 1.7
 * wraps such a number silently (4294967297 becomes 1), ends the whole process when an @include
 * names a folder, and tells no folder in the file names of its messages. */

struct dip_config_line {
	unsigned int file; /* index in files */
	unsigned int line; /* from 1 */
};

struct dip_config_text {
	char *text; /* NUL-terminated */
	size_t len, size;
	struct dip_config_line *lines; /* where each line of text came from */
	size_t line_count, line_size;
	char **files; /* the first is the one asked for */
	unsigned int file_count;
	/* Set by the caller: the most there may be of it; 0: 1 MiB and 65,535 lines (libconfig counts
	 * a setting's line in 16 bits). */
	size_t max_bytes, max_lines;
	const char *kind; /* likewise: what messages call such a file; NULL: configuration file */
};

/* Read a file and those that it includes, each relative to the folder of the one that names it.
 * text: zeroed by the caller and freed by it, also on failure. Returns 0 or a negative errno with
 * a line that says which file. */
int dip_config_text_load(struct dip_config_text *text, const char *file, struct dip_error *err);

/* The same for a string, without line breaks; where: what an error line starts with. */
int dip_config_text_string(
	struct dip_config_text *text, const char *string, const char *where, struct dip_error *err);

/* The file and line that a line of text (from 1) came from. */
const char *dip_config_text_where(
	const struct dip_config_text *text, unsigned int line, unsigned int *file_line);

void dip_config_text_free(struct dip_config_text *text);
