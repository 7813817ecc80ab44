/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <libconfig.h>

#include "config/option.h"
#include "config/text.h"

static int fail(
	const struct dip_option *row, const char *where, const char *found, struct dip_error *err)
{
	char expected[2 * DIP_OPTION_TEXT];
	dip_option_expected(row, expected, sizeof(expected));
	return dip_fail(err, EINVAL, "%s: %s; expected %s", where, found, expected);
}

static const char *found_type(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "found a whole number";
	case CONFIG_TYPE_FLOAT:
		return "found a number with a point or an exponent";
	case CONFIG_TYPE_STRING:
		return "found a string";
	case CONFIG_TYPE_BOOL:
		return "found true or false";
	case CONFIG_TYPE_GROUP:
		return "found a group";
	case CONFIG_TYPE_ARRAY:
		return "found an array";
	default:
		return "found a list";
	}
}

/* Returns NULL, or what was found instead. */
static const char *convert_number(const struct dip_option *row, const config_setting_t *setting,
	union dip_option_value *value)
{
	int type = config_setting_type(setting);
	if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
		/* Each getter answers 0 for the other's type. */
		int64_t i = type == CONFIG_TYPE_INT ? config_setting_get_int(setting)
						    : config_setting_get_int64(setting);
		if (row->type == DIP_OPTION_INT)
			value->i = i;
		else
			value->f = (double)i;
		return NULL;
	}
	if (type != CONFIG_TYPE_FLOAT)
		return found_type(setting);
	double f = config_setting_get_float(setting);
	if (row->type == DIP_OPTION_FLOAT) {
		value->f = f;
		return NULL;
	}
	if (!isfinite(f) || fabs(f) > 0x1p53)
		return "beyond what can be told exactly with a point or an exponent";
	if (f != trunc(f))
		return "found a fraction";
	value->i = (int64_t)f;
	return NULL;
}

int dip_option_from_setting(const struct dip_option *row, const config_setting_t *setting,
	const char *where, union dip_option_value *value, struct dip_error *err)
{
	union dip_option_value v = {0};
	int type = config_setting_type(setting);
	const char *wrong = NULL;
	if (row->type == DIP_OPTION_INT || row->type == DIP_OPTION_FLOAT)
		wrong = convert_number(row, setting, &v);
	else if (type != (row->type == DIP_OPTION_BOOL ? CONFIG_TYPE_BOOL : CONFIG_TYPE_STRING))
		wrong = found_type(setting);
	else if (row->type == DIP_OPTION_BOOL)
		v.b = config_setting_get_bool(setting);
	else
		v.s = (char *)config_setting_get_string(setting);
	if (!wrong && !dip_option_allows(row, &v))
		wrong = row->type == DIP_OPTION_ENUM ? "unknown" : "out of range";
	if (wrong)
		return fail(row, where, wrong, err);
	if (dip_option_is_string(row)) {
		v.s = strdup(v.s);
		if (!v.s)
			return dip_fail(err, ENOMEM, "%s: out of memory", where);
	}
	*value = v;
	return 0;
}

int dip_option_from_bare(const struct dip_option *row, const char *text, const char *where,
	union dip_option_value *value, struct dip_error *err)
{
	union dip_option_value v = {.s = (char *)text};

	if (!dip_option_allows(row, &v))
		return fail(row, where, "unknown", err);
	v.s = strdup(text);
	if (!v.s)
		return dip_fail(err, ENOMEM, "%s: out of memory", where);
	*value = v;
	return 0;
}

/* A single setting in a configuration of its own, so that a value like "1 main = { ... }" cannot
 * bring others with it. */
static int from_libconfig(const struct dip_option *row, const char *text, const char *where,
	union dip_option_value *value, struct dip_error *err)
{
	struct dip_config_text t = {0};
	config_t config;
	char *string;
	if (asprintf(&string, "v = %s", text) < 0)
		return dip_fail(err, ENOMEM, "%s: out of memory", where);
	config_init(&config);
	int rc = dip_config_text_string(&t, string, where, err);
	if (!rc && !config_read_string(&config, t.text))
		rc = fail(row, where, *text ? "not a value" : "found nothing", err);
	else if (!rc && config_setting_length(config_root_setting(&config)) != 1)
		rc = fail(row, where, "found more than one value", err);
	if (!rc)
		rc = dip_option_from_setting(row,
			config_setting_get_elem(config_root_setting(&config), 0), where, value,
			err);
	config_destroy(&config);
	dip_config_text_free(&t);
	free(string);
	return rc;
}

int dip_option_from_text(const struct dip_option *row, const char *text, const char *where,
	union dip_option_value *value, struct dip_error *err)
{
	/* A line break could start an @include; it is never needed. */
	if (strpbrk(text, "\r\n"))
		return fail(row, where, "found a line break (in quotes, write it as \\n)", err);
	if (dip_option_is_string(row) && text[0] != '"')
		return dip_option_from_bare(row, text, where, value, err);
	return from_libconfig(row, text, where, value, err);
}

int dip_option_preset(
	const struct dip_option *row, union dip_option_value *value, struct dip_error *err)
{
	if (dip_option_is_string(row))
		return dip_option_from_bare(row, row->preset, row->name, value, err);
	return from_libconfig(row, row->preset, row->name, value, err);
}

void dip_option_store(const struct dip_option *row, void *target, union dip_option_value *value)
{
	void *to = (char *)target + row->offset;
	switch (row->type) {
	case DIP_OPTION_BOOL:
		*(bool *)to = value->b;
		break;
	case DIP_OPTION_INT:
		*(int64_t *)to = value->i;
		break;
	case DIP_OPTION_FLOAT:
		*(double *)to = value->f;
		break;
	default:
		free(*(char **)to);
		*(char **)to = value->s;
		value->s = NULL;
	}
}

union dip_option_value dip_option_get(const struct dip_option *row, const void *target)
{
	const void *from = (const char *)target + row->offset;
	switch (row->type) {
	case DIP_OPTION_BOOL:
		return (union dip_option_value){.b = *(const bool *)from};
	case DIP_OPTION_INT:
		return (union dip_option_value){.i = *(const int64_t *)from};
	case DIP_OPTION_FLOAT:
		return (union dip_option_value){.f = *(const double *)from};
	default:
		return (union dip_option_value){.s = *(char *const *)from};
	}
}

void dip_option_drop(const struct dip_option *row, union dip_option_value *value)
{
	if (dip_option_is_string(row))
		free(value->s);
	value->s = NULL;
}
