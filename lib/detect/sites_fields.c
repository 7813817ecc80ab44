/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "detect/sites_impl.h"

#define FRAME_MAX 65535

/* A key: what the option row says, the groups that know it, and whether it is a pair of numbers. */
struct key {
	struct dip_option option;
	unsigned int in;
	bool pair;
};

#define KEY(field, kind, low, high, groups)                                                        \
	{                                                                                          \
		.option = {.name = #field,                                                         \
			.type = DIP_OPTION_##kind,                                                 \
			.min = low,                                                                \
			.max = high,                                                               \
			.offset = offsetof(struct fields, field)},                                 \
		.in = groups                                                                       \
	}
#define PAIR(field)                                                                                \
	{                                                                                          \
		.option = {.name = #field,                                                         \
			.type = DIP_OPTION_FLOAT,                                                  \
			.min = -1e6,                                                               \
			.max = 1e6,                                                                \
			.offset = offsetof(struct fields, field)},                                 \
		.in = IN_LATTICE, .pair = true                                                     \
	}

#define EACH (IN_SITE | IN_LATTICE | IN_DEFAULTS)

static const struct key keys[] = {
	KEY(name, STRING, 0, 0, IN_SITE | IN_LATTICE),
	KEY(row, INT, 0, FRAME_MAX, IN_SITE),
	KEY(col, INT, 0, FRAME_MAX, IN_SITE),
	PAIR(origin),
	PAIR(a),
	PAIR(b),
	KEY(na, INT, 1, DIP_SITES_MAX, IN_LATTICE),
	KEY(nb, INT, 1, DIP_SITES_MAX, IN_LATTICE),
	KEY(h, INT, 1, FRAME_MAX, EACH | IN_WEIGHTS),
	KEY(w, INT, 1, FRAME_MAX, EACH | IN_WEIGHTS),
	KEY(weights, STRING, 0, 0, EACH),
	KEY(threshold, INT, -0x1p52, 0x1p52, EACH),
	KEY(lambda_empty, FLOAT, -DBL_MAX, DBL_MAX, EACH),
	KEY(lambda_occ, FLOAT, -DBL_MAX, DBL_MAX, EACH),
	KEY(fp_target, FLOAT, -DBL_MAX, DBL_MAX, EACH),
	KEY(fill, FLOAT, -DBL_MAX, DBL_MAX, EACH),
	KEY(false_positive, FLOAT, 0, 1, IN_SITE | IN_LATTICE),
	KEY(false_negative, FLOAT, 0, 1, IN_SITE | IN_LATTICE),
	KEY(goodness, FLOAT, -DBL_MAX, DBL_MAX, IN_SITE | IN_LATTICE),
	KEY(note, STRING, 0, 0, EACH),
	KEY(width, INT, 1, FRAME_MAX, IN_FRAME),
	KEY(height, INT, 1, FRAME_MAX, IN_FRAME),
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

void fields_free(struct fields *f)
{
	free(f->name);
	free(f->weights);
	free(f->note);
	*f = (struct fields){0};
}

static const struct key *find(const char *name, unsigned int in)
{
	for (size_t i = 0; i < KEYS; i++)
		if ((keys[i].in & in) != 0 && strcmp(keys[i].option.name, name) == 0)
			return &keys[i];
	return NULL;
}

bool fields_has(const struct fields *f, const char *key)
{
	const struct key *k = find(key, ~0u);

	return (f->set >> (k - keys) & 1) != 0;
}

static int fail_unknown(
	struct sites_reader *r, const config_setting_t *s, unsigned int in, const char *what)
{
	struct dip_option rows[KEYS + 1];
	struct dip_option_table table = {.rows = rows};
	char where[512];

	for (size_t i = 0; i < KEYS; i++)
		if ((keys[i].in & in) != 0)
			rows[table.count++] = keys[i].option;
	if (in == IN_WEIGHTS)
		rows[table.count++] = (struct dip_option){.name = "values"};
	return dip_fail(r->err, EINVAL, "%s: %s: %.100s: unknown key; did you mean %s?",
		sites_where(r, sites_line(s), where, sizeof(where)), what, config_setting_name(s),
		dip_option_nearest(&table, config_setting_name(s))->name);
}

static int read_pair(struct sites_reader *r, const config_setting_t *s, const struct key *key,
	const char *where, struct fields *out)
{
	double *to = (double *)((char *)out + key->option.offset);

	if (!config_setting_is_aggregate(s) || config_setting_is_group(s) ||
		config_setting_length(s) != 2)
		return dip_fail(r->err, EINVAL, "%s; expected two numbers, as %s = [ROWS, COLUMNS]",
			where, key->option.name);
	for (unsigned int i = 0; i < 2; i++) {
		union dip_option_value value;
		int ret = dip_option_from_setting(
			&key->option, config_setting_get_elem(s, i), where, &value, r->err);

		if (ret < 0)
			return ret;
		to[i] = value.f;
	}
	return 0;
}

static int read_key(struct sites_reader *r, const config_setting_t *s, unsigned int in,
	const char *what, struct fields *out)
{
	const struct key *key = find(config_setting_name(s), in);
	char shown[DIP_OPTION_TEXT], place[512], where[900];
	union dip_option_value value;
	int ret;

	if (key == NULL)
		return fail_unknown(r, s, in, what);
	out->set |= 1ull << (key - keys);
	dip_option_show_setting(s, shown, sizeof(shown));
	snprintf(where, sizeof(where), "%s: %s: %s = %s",
		sites_where(r, sites_line(s), place, sizeof(place)), what, key->option.name, shown);
	if (key->pair)
		return read_pair(r, s, key, where, out);
	ret = dip_option_from_setting(&key->option, s, where, &value, r->err);
	if (ret == 0)
		dip_option_store(&key->option, out, &value);
	return ret;
}

int fields_read(struct sites_reader *r, const config_setting_t *group, unsigned int in,
	const char *what, struct fields *out)
{
	char shown[DIP_OPTION_TEXT], where[512];

	*out = (struct fields){.line = sites_line(group)};
	if (!config_setting_is_group(group)) {
		dip_option_show_setting(group, shown, sizeof(shown));
		return dip_fail(r->err, EINVAL, "%s: %s: found %s, expected { key = value; ... }",
			sites_where(r, out->line, where, sizeof(where)), what, shown);
	}
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned int)i);
		int ret;

		if (in == IN_WEIGHTS && strcmp(config_setting_name(s), "values") == 0)
			continue; /* read once its size is known */
		ret = read_key(r, s, in, what, out);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* libconfig's own line numbers wrap at 65,536; settings stand in the order of the file. */
static void number_lines(config_setting_t *s, unsigned int *last)
{
	unsigned int line = *last - *last % 65536 + config_setting_source_line(s) % 65536;

	if (line < *last)
		line += 65536;
	*last = line;
	config_setting_set_hook(s, (void *)(uintptr_t)line);
	if (config_setting_is_array(s))
		return;
	for (int i = 0; config_setting_is_aggregate(s) && i < config_setting_length(s); i++)
		number_lines(config_setting_get_elem(s, (unsigned int)i), last);
}

void sites_lines(config_setting_t *root)
{
	unsigned int last = 0;

	for (int i = 0; i < config_setting_length(root); i++)
		number_lines(config_setting_get_elem(root, (unsigned int)i), &last);
}

unsigned int sites_line(const config_setting_t *setting)
{
	return (unsigned int)(uintptr_t)config_setting_get_hook(setting);
}

const char *sites_where(const struct sites_reader *r, unsigned int line, char *buf, size_t size)
{
	unsigned int file_line;
	const char *file = dip_config_text_where(&r->text, line, &file_line);

	snprintf(buf, size, "%.400s:%u", file, file_line);
	return buf;
}
