/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <libconfig.h>

#include "config/option.h"
#include "config/text.h"

struct load {
	const struct dip_option_table *table;
	void *target;
	const struct dip_config_text *text;
	struct dip_error *err;
};

void dip_option_show_setting(const config_setting_t *setting, char *buf, size_t size)
{
	char shown[DIP_OPTION_TEXT - 2];
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
		snprintf(buf, size, "%d", config_setting_get_int(setting));
		break;
	case CONFIG_TYPE_INT64:
		snprintf(buf, size, "%lld", config_setting_get_int64(setting));
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(buf, size, "%.17g", config_setting_get_float(setting));
		break;
	case CONFIG_TYPE_STRING:
		dip_option_show(config_setting_get_string(setting), shown, sizeof(shown));
		snprintf(buf, size, "\"%s\"", shown);
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(buf, size, "%s", config_setting_get_bool(setting) ? "true" : "false");
		break;
	case CONFIG_TYPE_GROUP:
		snprintf(buf, size, "{ ... }");
		break;
	default:
		snprintf(buf, size, "%s", config_setting_is_array(setting) ? "[ ... ]" : "( ... )");
	}
}

static int load_key(const struct load *load, const char *group, const config_setting_t *setting)
{
	char name[DIP_OPTION_TEXT], found[DIP_OPTION_TEXT], where[1024];
	unsigned int line;
	const char *file =
		dip_config_text_where(load->text, config_setting_source_line(setting), &line);
	snprintf(name, sizeof(name), "%s%s%s", group, *group ? "." : "",
		config_setting_name(setting));
	const struct dip_option *row = dip_option_find(load->table, name);
	if (!row) {
		row = dip_option_nearest(load->table, name);
		return dip_fail(load->err, EINVAL, "%s:%u: %s: unknown key; did you mean %s?", file,
			line, name, row ? row->name : "(no key is known)");
	}
	dip_option_show_setting(setting, found, sizeof(found));
	snprintf(where, sizeof(where), "%s:%u: %s = %s", file, line, name, found);
	union dip_option_value value;
	int rc = dip_option_from_setting(row, setting, where, &value, load->err);
	if (!rc)
		dip_option_store(row, load->target, &value);
	return rc;
}

static int load_group(const struct load *load, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	const struct dip_option *row = dip_option_group(load->table, name, false);
	bool is_group = config_setting_is_group(setting);
	char found[DIP_OPTION_TEXT];
	unsigned int line;
	const char *file =
		dip_config_text_where(load->text, config_setting_source_line(setting), &line);
	if (!row && !is_group)
		return load_key(load, "", setting);
	if (!row) {
		row = dip_option_group(load->table, name, true);
		return dip_fail(load->err, EINVAL, "%s:%u: %.*s: unknown group; did you mean %.*s?",
			file, line, DIP_OPTION_TEXT, name,
			row ? (int)dip_option_group_len(row->name) : 0, row ? row->name : "");
	}
	if (!is_group) {
		dip_option_show_setting(setting, found, sizeof(found));
		return dip_fail(load->err, EINVAL,
			"%s:%u: %s = %s: not a group; expected %s = { key = value; ... }", file,
			line, name, found, name);
	}
	for (int i = 0; i < config_setting_length(setting); i++) {
		int rc = load_key(load, name, config_setting_get_elem(setting, (unsigned int)i));
		if (rc)
			return rc;
	}
	return 0;
}

static int load_text(const struct load *load)
{
	config_t config;
	int rc = 0;
	config_init(&config);
	if (!config_read_string(&config, load->text->text)) {
		unsigned int line;
		const char *file = dip_config_text_where(
			load->text, (unsigned int)config_error_line(&config), &line);
		rc = dip_fail(load->err, EINVAL, "%s:%u: %s; expected %s", file, line,
			config_error_text(&config),
			strstr(config_error_text(&config), "duplicate")
				? "every group and every key once"
				: "group = { key = value; ... }, strings in double quotes");
	}
	const config_setting_t *root = config_root_setting(&config);
	for (int i = 0; !rc && i < config_setting_length(root); i++)
		rc = load_group(load, config_setting_get_elem(root, (unsigned int)i));
	config_destroy(&config);
	return rc;
}

int dip_config_load(
	const struct dip_option_table *table, void *target, const char *file, struct dip_error *err)
{
	struct dip_config_text text = {0};
	const struct load load = {table, target, &text, err};
	int rc = dip_config_text_load(&text, file, err);
	if (!rc)
		rc = load_text(&load);
	dip_config_text_free(&text);
	return rc;
}

/* Cut the white space at both ends. */
static char *trimmed(char *text)
{
	char *end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

int dip_config_set(const struct dip_option_table *table, void *target, const char *assignment,
	struct dip_error *err)
{
	char shown[DIP_OPTION_TEXT], where[DIP_OPTION_TEXT + 8];
	dip_option_show(assignment, shown, sizeof(shown));
	snprintf(where, sizeof(where), "--set %s", shown);
	const char *equals = strchr(assignment, '=');
	if (!equals)
		return dip_fail(err, EINVAL, "%s: no '='; expected group.key=value", where);
	char *copy = strdup(assignment);
	if (!copy)
		return dip_fail(err, ENOMEM, "%s: out of memory", where);
	copy[equals - assignment] = '\0';
	const char *name = trimmed(copy);
	const struct dip_option *row = dip_option_find(table, name);
	union dip_option_value value;
	int rc;
	if (!*name) {
		rc = dip_fail(
			err, EINVAL, "%s: no key before '='; expected group.key=value", where);
	} else if (!row) {
		row = dip_option_nearest(table, name);
		rc = dip_fail(err, EINVAL, "%s: unknown key; did you mean %s?", where,
			row ? row->name : "(no key is known)");
	} else {
		rc = dip_option_from_text(
			row, trimmed(copy + (equals - assignment) + 1), where, &value, err);
		if (!rc)
			dip_option_store(row, target, &value);
	}
	free(copy);
	return rc;
}

int dip_config_assign(const struct dip_option *row, void *target, const char *text,
	const char *where, struct dip_error *err)
{
	union dip_option_value value;
	int rc = dip_option_is_string(row) ? dip_option_from_bare(row, text, where, &value, err)
					   : dip_option_from_text(row, text, where, &value, err);
	if (!rc)
		dip_option_store(row, target, &value);
	return rc;
}
