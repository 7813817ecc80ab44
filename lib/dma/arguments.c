/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "dma/source_impl.h"

/* What every source knows beside its own arguments; config, which a file may not have, is last. */
static const struct dip_option common[] = {
	{DIP_SOURCE_ARGUMENT(source, struct dip_source_common, faults, STRING, "", "",
		"faults on demand, KIND[:AMOUNT]@FRAME or KIND[:AMOUNT]~PROBABILITY, joined by +; "
		"KIND is lost, duplicate, burst, stall, late, corrupt, jump, dead or refuse")},
	{DIP_SOURCE_ARGUMENT(source, struct dip_source_common, engine, STRING, "auto", "",
		"what copies a frame from memory into its slab: cached or streaming stores of the "
		"CPU, auto for the cheaper of the two, or the name of a DPDK dmadev")},
	{DIP_SOURCE_ARGUMENT(source, struct dip_source_common, copies, INT, "16", "copies",
		 "with a dmadev: copies in flight at a time, of each queue"),
		.min = 1, .max = DIP_FLIGHTS},
	{DIP_SOURCE_ARGUMENT(source, struct dip_source_common, config, STRING, "", "",
		"libconfig file with arguments in groups, source = { } and one called as the "
		"driver; those given beside it come after it")},
};

struct dip_option_table dip_source_common_table(void)
{
	return (struct dip_option_table){.rows = common, .count = RTE_DIM(common)};
}

/* The rows of both, with offsets in struct dip_source. */
static int merge_rows(struct dip_source *s, struct dip_error *err)
{
	const struct dip_source_ops *ops = s->ops;
	struct dip_option *rows = calloc(RTE_DIM(common) + ops->argument_count + 1, sizeof(*rows));
	unsigned int n = 0;

	if (rows == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < ops->argument_count; i++) {
		rows[n] = ops->arguments[i];
		rows[n++].offset += offsetof(struct dip_source, priv);
	}
	for (unsigned int i = 0; i < RTE_DIM(common); i++) {
		rows[n] = common[i];
		rows[n++].offset += offsetof(struct dip_source, common);
	}
	s->arguments = (struct dip_option_table){.rows = rows, .count = n};
	return 0;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Devargs have no other way to carry a comma. */
static void decode(const char *in, char *out)
{
	while (*in != '\0') {
		if (in[0] == '%' && isxdigit((unsigned char)in[1]) &&
			isxdigit((unsigned char)in[2])) {
			*out++ = hex(in[1]) * 16 + hex(in[2]);
			in += 3;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

static const char *key_of(const struct dip_option *row)
{
	return strchr(row->name, '.') + 1;
}

static const struct dip_option *find_row(const struct dip_source *s, const char *key)
{
	for (unsigned int i = 0; i < s->arguments.count; i++)
		if (strcmp(key_of(&s->arguments.rows[i]), key) == 0)
			return &s->arguments.rows[i];
	return NULL;
}

/* All keys, in the order of the rows. */
static void list_keys(const struct dip_source *s, char *text, size_t size)
{
	text[0] = '\0';
	for (unsigned int i = 0; i < s->arguments.count; i++) {
		strlcat(text, i > 0 ? ", " : "", size);
		strlcat(text, key_of(&s->arguments.rows[i]), size);
	}
}

static int set_argument(
	struct dip_source *s, const char *key, const char *value, struct dip_error *err)
{
	const struct dip_option *row = find_row(s, key);
	char known[512], where[512];
	char *text;
	int ret;

	if (value == NULL)
		return dip_fail(err, EINVAL, "%s: expected name=value", key);
	if (row == NULL) {
		list_keys(s, known, sizeof(known));
		return dip_fail(err, EINVAL, "%s=%s: unknown argument; expected one of %s", key,
			value, known);
	}
	text = malloc(strlen(value) + 1);
	if (text == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	decode(value, text);
	snprintf(where, sizeof(where), "%s=%s", key, text);
	ret = dip_config_assign(row, s, text, where, err);
	free(text);
	return ret;
}

static int set_all(struct dip_source *s, const struct rte_kvargs *args, struct dip_error *err)
{
	struct dip_option_table of_file = {s->arguments.rows, s->arguments.count - 1};
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < args->count; i++)
		if (strcmp(args->pairs[i].key, "config") == 0)
			ret = set_argument(s, "config", args->pairs[i].value, err);
	if (ret == 0 && s->common.config[0] != '\0')
		ret = dip_config_load(&of_file, s, s->common.config, err);
	for (unsigned int i = 0; ret == 0 && i < args->count; i++)
		if (strcmp(args->pairs[i].key, "config") != 0)
			ret = set_argument(s, args->pairs[i].key, args->pairs[i].value, err);
	return ret;
}

int dip_source_arguments(struct dip_source *s, const char *text, struct dip_error *err)
{
	struct rte_kvargs *args;
	char known[512];
	int ret = merge_rows(s, err);

	if (ret == 0 && dip_config_defaults(&s->arguments, s) < 0)
		ret = dip_fail(err, ENOMEM, "out of memory");
	if (ret < 0)
		goto fail;
	args = rte_kvargs_parse(text, NULL);
	if (args == NULL) {
		list_keys(s, known, sizeof(known));
		ret = dip_fail(err, EINVAL, "arguments \"%s\": expected name=value pairs of %s",
			text, known);
		goto fail;
	}
	ret = set_all(s, args, err);
	rte_kvargs_free(args);
	if (ret == 0)
		ret = dip_faults_parse(s->common.faults, &s->faults, err);
	if (ret == 0)
		return 0;
fail:
	dip_source_arguments_free(s);
	return ret;
}

void dip_source_arguments_free(struct dip_source *s)
{
	if (s->arguments.rows == NULL)
		return;
	dip_config_free(&s->arguments, s);
	free((void *)s->arguments.rows);
	free(s->faults);
	s->faults = NULL;
	s->arguments = (struct dip_option_table){0};
}
