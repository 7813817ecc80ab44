/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "config/config.h"

/* What the files of this folder share: one row's value, apart from any target struct. */

struct config_setting_t;

union dip_option_value {
	bool b;
	int64_t i;
	double f;
	char *s; /* DIP_OPTION_STRING and _ENUM; the holder frees it */
};

/* Long enough for any number, range or shortened value of a message. */
#define DIP_OPTION_TEXT 160

static inline bool dip_option_is_string(const struct dip_option *row)
{
	return row->type == DIP_OPTION_STRING || row->type == DIP_OPTION_ENUM;
}

/* The row of that name, or NULL. */
const struct dip_option *dip_option_find(const struct dip_option_table *table, const char *name);

/* The row whose name is nearest to a name that nothing is called, or NULL for an empty table. */
const struct dip_option *dip_option_nearest(const struct dip_option_table *table, const char *name);

/* Length of the group in "group.key". */
size_t dip_option_group_len(const char *name);

/* A row whose group is the named one, or with nearest set the most similar one. NULL: none. */
const struct dip_option *dip_option_group(
	const struct dip_option_table *table, const char *group, bool nearest);

/* Convert and check. where: what the error line starts with. Return 0 and the value (the caller
 * owns its string), -EINVAL or -ENOMEM. From text: libconfig's syntax, or for a string the bare
 * text. From bare text: a string as it is, whatever is in it. The preset: -EINVAL says that the row
 * itself is wrong. */
int dip_option_from_setting(const struct dip_option *row, const struct config_setting_t *setting,
	const char *where, union dip_option_value *value, struct dip_error *err);
int dip_option_from_text(const struct dip_option *row, const char *text, const char *where,
	union dip_option_value *value, struct dip_error *err);
int dip_option_from_bare(const struct dip_option *row, const char *text, const char *where,
	union dip_option_value *value, struct dip_error *err);
int dip_option_preset(
	const struct dip_option *row, union dip_option_value *value, struct dip_error *err);

/* Move a value into the target (which takes the string), copy one out (borrowed), free one. */
void dip_option_store(const struct dip_option *row, void *target, union dip_option_value *value);
union dip_option_value dip_option_get(const struct dip_option *row, const void *target);
void dip_option_drop(const struct dip_option *row, union dip_option_value *value);

/* Is it within the row's range, or one of its choices? */
bool dip_option_allows(const struct dip_option *row, const union dip_option_value *value);

/* "from 1 to 64", "above 0 and at most 1e9", "at least 1", "drop, block", or nothing. */
void dip_option_range(const struct dip_option *row, char *buf, size_t size);

/* "a whole number from 1 to 64 (pixels)". */
void dip_option_expected(const struct dip_option *row, char *buf, size_t size);

/* The fewest digits (six at least) that read back to the same double, with a point or an
 * exponent so that it stays one. Finite values only. */
void dip_option_float_text(double value, char *buf, size_t size);

/* One character as it stands between libconfig's double quotes. Returns its length. */
unsigned int dip_option_escape(unsigned char c, char out[5]);

/* A setting's value as a message shows it, shortened. */
void dip_option_show_setting(const struct config_setting_t *setting, char *buf, size_t size);

/* Text with every character escaped, on one line, cut with "..." when it does not fit. */
void dip_option_show(const char *text, char *buf, size_t size);
