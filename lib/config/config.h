/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/error.h"

/* Options as rows over libconfig: one row says everything about a key, and parser, --set,
 * --check-config, config/README.md and the manual page all come from it. */

enum dip_option_type {
	DIP_OPTION_BOOL,   /* bool */
	DIP_OPTION_INT,    /* int64_t, min..max */
	DIP_OPTION_FLOAT,  /* double, min..max; a libconfig integer is taken too; NaN is refused */
	DIP_OPTION_STRING, /* char *, owned by the target struct; never NULL after _defaults */
	DIP_OPTION_ENUM,   /* char * too, one of choices */
};

struct dip_option {
	const char *name; /* "group.key" */
	enum dip_option_type type;
	const char
		*preset; /* the default, as text in libconfig's syntax, a string without quotes */
	double min, max; /* DIP_OPTION_INT and _FLOAT; inclusive. min_open: min itself is out */
	bool min_open;
	const char *choices; /* DIP_OPTION_ENUM: "a|b|c" */
	const char *unit;    /* "pixels", "bytes", ...; "" for none */
	const char *help;    /* one sentence, no final stop */
	size_t offset;       /* of the target in the struct */
};

struct dip_option_table {
	const struct dip_option *rows;
	unsigned int count;
};

/* Fill target with every row's default. Returns 0, -ENOMEM, or -EINVAL when a row's own preset is
 * malformed or out of range (a mistake in the program). */
int dip_config_defaults(const struct dip_option_table *table, void *target);

/* Read a libconfig file into target. Every error is one line with file, line, key, what was found
 * and what was expected; an unknown group or key also names the nearest known one (edit
 * distance). Returns 0, -ENOENT/-EACCES/... (cannot be read), -EINVAL. On failure target holds
 * what was set before the error and is to be freed as usual. */
int dip_config_load(const struct dip_option_table *table, void *target, const char *file,
	struct dip_error *err);

/* Apply one "group.key=value": value in libconfig's syntax, or a bare word for a string. Errors as
 * above, with "--set" in place of file and line. */
int dip_config_set(const struct dip_option_table *table, void *target, const char *assignment,
	struct dip_error *err);

/* Set one row: a number or a truth value in libconfig's syntax, a string as it is, whatever is in
 * it. where: what an error line starts with. */
int dip_config_assign(const struct dip_option *row, void *target, const char *text,
	const char *where, struct dip_error *err);

/* Print every effective value as a libconfig file that dip_config_load reads back to the same
 * values; each value that differs from its default is marked with a comment saying the default. */
void dip_config_print(const struct dip_option_table *table, const void *target, FILE *out);

/* Print the reference of all keys as Markdown, one table a group: key, type, default, range,
 * unit, meaning. */
void dip_config_markdown(const struct dip_option_table *table, FILE *out);

/* Print one row's effective value as text (no quotes) into buf, always terminated. For telemetry
 * and reports. */
void dip_config_value(const struct dip_option *row, const void *target, char *buf, size_t size);

/* Free the strings. */
void dip_config_free(const struct dip_option_table *table, void *target);
