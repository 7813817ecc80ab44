/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/config.h"

/* A table with every type, every kind of range, and groups that are not contiguous. */
struct target {
	bool verbose;
	int64_t slabs, any, open_ended;
	double fps, ratio, any_float;
	char *overrun, *dir, *prefix;
};

#define AT(field) offsetof(struct target, field)

static const struct dip_option rows[] = {
	{"main.slabs", DIP_OPTION_INT, "1024", 1, 65536, false, NULL, "frames", "Slabs", AT(slabs)},
	{"main.fps", DIP_OPTION_FLOAT, "20.0", 0, 1e9, true, NULL, "frames a second", "Pace",
		AT(fps)},
	{"main.overrun", DIP_OPTION_ENUM, "drop", 0, 0, false, "drop|block|overwrite", "",
		"What a full queue does", AT(overrun)},
	{"proc.verbose", DIP_OPTION_BOOL, "false", 0, 0, false, NULL, "", "Say a|b more",
		AT(verbose)},
	{"arch.dir", DIP_OPTION_STRING, "", 0, 0, false, NULL, "", "Folder", AT(dir)},
	{"arch.prefix", DIP_OPTION_STRING, "run", 0, 0, false, NULL, "", "Name", AT(prefix)},
	{"main.any", DIP_OPTION_INT, "0", -INFINITY, INFINITY, false, NULL, "", "Any", AT(any)},
	{"main.open_ended", DIP_OPTION_INT, "1", 0, INFINITY, true, NULL, "bytes", "Positive",
		AT(open_ended)},
	{"main.ratio", DIP_OPTION_FLOAT, "0.5", 0, 1, false, NULL, "", "Share", AT(ratio)},
	{"main.any_float", DIP_OPTION_FLOAT, "0", -INFINITY, INFINITY, false, NULL, "", "Any",
		AT(any_float)},
};
static const struct dip_option_table table = {rows, sizeof(rows) / sizeof(rows[0])};

static char folder[] = "/tmp/test_config_XXXXXX";

/* Overwritten by each call. */
static inline const char *path_of(const char *name)
{
	static char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static inline void write_bytes(const char *name, const void *bytes, size_t len)
{
	FILE *f = fopen(path_of(name), "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static inline struct target defaults(void)
{
	struct target t;
	memset(&t, 0xa5, sizeof(t)); /* garbage, as on a stack */
	assert_int_equal(dip_config_defaults(&table, &t), 0);
	return t;
}

/* The text loads. The caller frees the target. */
static inline struct target load(const char *text)
{
	struct dip_error err = {""};
	struct target t = defaults();
	write_text("a.cfg", text);
	int rc = dip_config_load(&table, &t, path_of("a.cfg"), &err);
	if (rc)
		fail_msg("%s", err.text);
	return t;
}

static inline void one_line(const char *text)
{
	for (const char *c = text; *c; c++)
		assert_true(((unsigned char)*c) >= 0x20);
}

/* a.cfg, or the text written to it, fails with exactly FOLDER/want. */
static inline void load_fails(const char *text, int code, const char *want)
{
	struct dip_error err = {""};
	struct target t = defaults();
	char expected[1200];
	if (text)
		write_text("a.cfg", text);
	assert_int_equal(dip_config_load(&table, &t, path_of("a.cfg"), &err), -code);
	snprintf(expected, sizeof(expected), "%s/%s", folder, want);
	assert_string_equal(err.text, expected);
	one_line(err.text);
	assert_int_equal(dip_config_load(&table, &t, path_of("a.cfg"), NULL), -code);
	dip_config_free(&table, &t);
}

static inline void set(struct target *t, const char *assignment)
{
	struct dip_error err = {""};
	if (dip_config_set(&table, t, assignment, &err))
		fail_msg("%s", err.text);
}

/* The assignment fails with exactly this line and changes nothing. */
static inline void set_fails(const char *assignment, const char *want)
{
	struct dip_error err = {""};
	struct target t = defaults(), before = t;
	assert_int_equal(dip_config_set(&table, &t, assignment, &err), -EINVAL);
	assert_string_equal(err.text, want);
	one_line(err.text);
	assert_memory_equal(&t, &before, sizeof(t));
	dip_config_free(&table, &t);
}

static inline void print_to(char **text, const struct target *t)
{
	size_t len;
	FILE *f = open_memstream(text, &len);
	dip_config_print(&table, t, f);
	assert_int_equal(fclose(f), 0);
}

static inline int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	(void)state;
	static const char *const names[] = {"a.cfg", "sub/b.cfg", "sub/c.cfg", "sub", ""};
	for (unsigned int i = 0; i < 5; i++)
		remove(path_of(names[i]));
	return 0;
}
