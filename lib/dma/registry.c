/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dma/source_impl.h"

static STAILQ_HEAD(, dip_source_ops) sources = STAILQ_HEAD_INITIALIZER(sources);

void dip_source_register(struct dip_source_ops *ops)
{
	STAILQ_INSERT_TAIL(&sources, ops, next);
}

struct dip_source_ops *dip_source_first(void)
{
	return STAILQ_FIRST(&sources);
}

/* --- what there is, for people --- */

static const char *key_of(const struct dip_option *row)
{
	return strchr(row->name, '.') + 1;
}

static void list_keys(FILE *out, struct dip_option_table table, char before)
{
	for (unsigned int i = 0; i < table.count; i++) {
		fprintf(out, "%c%s=", before, key_of(&table.rows[i]));
		before = ',';
	}
}

static struct dip_option_table table_of(const struct dip_source_ops *ops)
{
	return (struct dip_option_table){.rows = ops->arguments, .count = ops->argument_count};
}

void dip_source_list(FILE *out)
{
	const struct dip_source_ops *ops;

	DIP_SOURCE_FOREACH(ops)
	{
		fprintf(out, "  %s", ops->name);
		list_keys(out, table_of(ops), ' ');
		fprintf(out, "\n");
	}
	fprintf(out, "and for each source\n ");
	list_keys(out, dip_source_common_table(), ' ');
	fprintf(out, "\n");
}

void dip_source_markdown(FILE *out)
{
	struct dip_option_table common = dip_source_common_table();
	const struct dip_source_ops *ops;

	DIP_SOURCE_FOREACH(ops)
	{
		struct dip_option_table table = table_of(ops);

		dip_config_markdown(&table, out);
		fprintf(out, "\n");
	}
	dip_config_markdown(&common, out);
}

/* --- before EAL --- */

static int examine(const struct dip_source_ops *ops, const char *text, struct dip_dma_info *info,
	struct dip_error *err)
{
	struct dip_source *s = NULL;
	int ret;

	/* As EAL's memory would be aligned. */
	if (posix_memalign((void **)&s, RTE_CACHE_LINE_SIZE, sizeof(*s) + ops->private_size) != 0)
		return dip_fail(err, ENOMEM, "out of memory");
	memset(s, 0, sizeof(*s) + ops->private_size);
	s->ops = ops;
	ret = dip_source_arguments(s, text, err);
	if (ret == 0) {
		ret = ops->examine(s->priv, &s->info, err);
		if (ret == 0)
			ret = dip_engine_examine(s, err);
		if (ret == 0)
			*info = s->info;
		if (ops->close != NULL)
			ops->close(s->priv);
		dip_source_arguments_free(s);
	}
	free(s);
	return ret;
}

/* dma_file of dma_file0 */
static const struct dip_source_ops *driver_of(const char *device)
{
	const struct dip_source_ops *ops;

	DIP_SOURCE_FOREACH(ops)
	{
		size_t n = strlen(ops->name);

		if (strncmp(device, ops->name, n) == 0 && isdigit((unsigned char)device[n]) &&
			strspn(device + n, "0123456789") == strlen(device + n))
			return ops;
	}
	return NULL;
}

int dip_source_examine(
	const char *device, const char *arguments, struct dip_dma_info *info, struct dip_error *err)
{
	const struct dip_source_ops *ops = driver_of(device);
	struct dip_error why;
	int ret;

	if (ops == NULL)
		return dip_fail(err, ENODEV,
			"%s: no source is called so; expected one of those that --list-drivers "
			"shows, and a number behind its name",
			device);
	ret = examine(ops, arguments != NULL ? arguments : "", info, &why);
	return ret < 0 ? dip_fail(err, -ret, "%s: %s", device, why.text) : 0;
}

static bool knows_paths(const struct dip_source_ops *ops)
{
	for (unsigned int i = 0; i < ops->argument_count; i++)
		if (strcmp(key_of(&ops->arguments[i]), "path") == 0)
			return true;
	return false;
}

int dip_source_choose(
	const char *path, const char **driver, struct dip_dma_info *info, struct dip_error *err)
{
	char *arguments = dip_source_path(path);
	const struct dip_source_ops *ops;
	int ret = -ENOTSUP;

	if (arguments == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	DIP_SOURCE_FOREACH(ops)
	{
		struct dip_error why;
		int one;

		if (!knows_paths(ops))
			continue;
		one = examine(ops, arguments, info, &why);
		if (one == 0) {
			*driver = ops->name;
			ret = 0;
			break;
		}
		if (one == -ENOTSUP && ret != -ENOTSUP)
			continue;
		ret = one;
		if (err != NULL)
			*err = why;
	}
	free(arguments);
	return ret;
}

/* Devargs know neither commas nor much else: all but plain characters become %XX. */
static char *encode(char *at, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	if (isalnum(c) || strchr("/._-", c) != NULL) {
		*at++ = c;
		return at;
	}
	*at++ = '%';
	*at++ = digits[c >> 4];
	*at++ = digits[c & 15];
	return at;
}

char *dip_source_path(const char *path)
{
	char *text = malloc(sizeof("path=") + 3 * strlen(path)), *at;

	if (text == NULL)
		return NULL;
	at = stpcpy(text, "path=");
	for (const unsigned char *c = (const unsigned char *)path; *c != '\0'; c++)
		at = encode(at, *c);
	*at = '\0';
	return text;
}
