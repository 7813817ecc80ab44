/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "config/option.h"

static void print_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		char one[5];
		dip_option_escape((unsigned char)*text, one);
		fputs(one, out);
	}
	fputc('"', out);
}

/* A value in libconfig's syntax. */
static void print_value(
	const struct dip_option *row, const union dip_option_value *value, FILE *out)
{
	char number[DIP_OPTION_TEXT];
	switch (row->type) {
	case DIP_OPTION_BOOL:
		fputs(value->b ? "true" : "false", out);
		break;
	case DIP_OPTION_INT:
		fprintf(out, "%lld%s", (long long)value->i,
			value->i > INT32_MAX || value->i < INT32_MIN ? "L" : "");
		break;
	case DIP_OPTION_FLOAT:
		dip_option_float_text(value->f, number, sizeof(number));
		fputs(number, out);
		break;
	default:
		print_string(value->s, out);
	}
}

static bool equal(const struct dip_option *row, const union dip_option_value *a,
	const union dip_option_value *b)
{
	switch (row->type) {
	case DIP_OPTION_BOOL:
		return a->b == b->b;
	case DIP_OPTION_INT:
		return a->i == b->i;
	case DIP_OPTION_FLOAT:
		return a->f == b->f;
	default:
		return !strcmp(a->s, b->s);
	}
}

static void print_row(const struct dip_option *row, const void *target, FILE *out)
{
	union dip_option_value value = dip_option_get(row, target), preset;
	fprintf(out, "\t%s = ", row->name + dip_option_group_len(row->name) + 1);
	print_value(row, &value, out);
	fputc(';', out);
	if (!dip_option_preset(row, &preset, NULL)) {
		if (!equal(row, &value, &preset)) {
			fputs(" # default: ", out);
			print_value(row, &preset, out);
		}
		dip_option_drop(row, &preset);
	}
	fputc('\n', out);
}

static bool same_group(const struct dip_option *a, const struct dip_option *b)
{
	size_t n = dip_option_group_len(a->name);
	return n == dip_option_group_len(b->name) && !strncmp(a->name, b->name, n);
}

/* Is row i the first of its group? libconfig refuses a group that comes twice, so a group's rows
 * are printed together wherever they stand in the table. */
static bool opens_group(const struct dip_option_table *table, unsigned int i)
{
	for (unsigned int k = 0; k < i; k++)
		if (same_group(&table->rows[k], &table->rows[i]))
			return false;
	return true;
}

void dip_config_print(const struct dip_option_table *table, const void *target, FILE *out)
{
	for (unsigned int i = 0; i < table->count; i++) {
		const struct dip_option *first = &table->rows[i];
		if (!opens_group(table, i))
			continue;
		fprintf(out, "%s%.*s = {\n", i ? "\n" : "", (int)dip_option_group_len(first->name),
			first->name);
		for (unsigned int k = i; k < table->count; k++)
			if (same_group(first, &table->rows[k]))
				print_row(&table->rows[k], target, out);
		fputs("};\n", out);
	}
}

/* A table's cell: a bar would end it. */
static void print_cell(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', out);
		fputc(*text == '\n' ? ' ' : *text, out);
	}
}

static void markdown_row(const struct dip_option *row, FILE *out)
{
	static const char *const types[] = {
		[DIP_OPTION_BOOL] = "true or false",
		[DIP_OPTION_INT] = "whole number",
		[DIP_OPTION_FLOAT] = "number",
		[DIP_OPTION_STRING] = "string",
		[DIP_OPTION_ENUM] = "choice",
	};
	union dip_option_value preset;
	char range[4 * DIP_OPTION_TEXT];
	dip_option_range(row, range, sizeof(range));
	fprintf(out, "| `%s` | %s | `", row->name + dip_option_group_len(row->name) + 1,
		types[row->type]);
	if (!dip_option_preset(row, &preset, NULL)) {
		print_value(row, &preset, out);
		dip_option_drop(row, &preset);
	}
	fputs("` | ", out);
	print_cell(range, out);
	fputs(" | ", out);
	print_cell(row->unit ? row->unit : "", out);
	fputs(" | ", out);
	print_cell(row->help, out);
	fputs(" |\n", out);
}

void dip_config_markdown(const struct dip_option_table *table, FILE *out)
{
	for (unsigned int i = 0; i < table->count; i++) {
		const struct dip_option *first = &table->rows[i];
		if (!opens_group(table, i))
			continue;
		fprintf(out, "%s## %.*s\n\n", i ? "\n" : "", (int)dip_option_group_len(first->name),
			first->name);
		fputs("| key | type | default | range | unit | meaning |\n"
		      "|---|---|---|---|---|---|\n",
			out);
		for (unsigned int k = i; k < table->count; k++)
			if (same_group(first, &table->rows[k]))
				markdown_row(&table->rows[k], out);
	}
}
