/* SPDX-License-Identifier: BSD-3-Clause */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"

void dip_option_float_text(double value, char *buf, size_t size)
{
	char text[40];
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	char *e = strchr(text, 'e');
	if (!e) {
		snprintf(buf, size, "%s%s", text, strchr(text, '.') ? "" : ".0");
		return;
	}
	*e = '\0';
	snprintf(buf, size, "%se%d", text, atoi(e + 1)); /* 1e9, not 1e+09 */
}

unsigned int dip_option_escape(unsigned char c, char out[5])
{
	if (c == '"' || c == '\\')
		return (unsigned int)snprintf(out, 5, "\\%c", c);
	if (c == '\n' || c == '\t')
		return (unsigned int)snprintf(out, 5, "\\%c", c == '\n' ? 'n' : 't');
	return (unsigned int)snprintf(out, 5, c < 0x20 || c == 0x7f ? "\\x%02x" : "%c", c);
}

void dip_option_show(const char *text, char *buf, size_t size)
{
	size_t used = 0;
	buf[0] = '\0';
	for (; *text; text++) {
		char one[5];
		unsigned int n = dip_option_escape((unsigned char)*text, one);
		/* Room for the character and, unless it is the last, for the dots. */
		if (used + n + (text[1] ? 3 : 0) >= size) {
			strcpy(buf + used, "...");
			return;
		}
		memcpy(buf + used, one, n + 1);
		used += n;
	}
}

/* A bound that rules nothing out is not told. An int64_t ends below 2^63, which a double cannot
 * say. */
static bool has_min(const struct dip_option *row)
{
	return row->min > (row->type == DIP_OPTION_INT ? -0x1p63 : -DBL_MAX);
}

static bool has_max(const struct dip_option *row)
{
	return row->max < (row->type == DIP_OPTION_INT ? 0x1p63 : DBL_MAX);
}

/* Compared as integers: a double would round them beyond 2^53. */
static bool int_allowed(const struct dip_option *row, int64_t v)
{
	if (has_min(row)) {
		if (row->min >= 0x1p63)
			return false;
		int64_t least = (int64_t)ceil(row->min);
		if (v < least || (row->min_open && v == least && (double)least == row->min))
			return false;
	}
	return !has_max(row) || (row->max >= -0x1p63 && v <= (int64_t)floor(row->max));
}

static bool is_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);
	for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
		if (strcspn(c, "|") == n && !memcmp(c, word, n))
			return true;
	return false;
}

bool dip_option_allows(const struct dip_option *row, const union dip_option_value *value)
{
	switch (row->type) {
	case DIP_OPTION_INT:
		return int_allowed(row, value->i);
	case DIP_OPTION_FLOAT:
		return isfinite(value->f) && value->f >= row->min && value->f <= row->max &&
		       !(row->min_open && value->f == row->min);
	case DIP_OPTION_ENUM:
		return is_choice(row->choices, value->s);
	default:
		return true;
	}
}

static void bound_text(const struct dip_option *row, double bound, char *buf, size_t size)
{
	dip_option_float_text(bound, buf, size);
	size_t n = strlen(buf);
	if (row->type == DIP_OPTION_INT)
		snprintf(buf, size, "%.0f", bound);
	else if (n > 2 && !strcmp(buf + n - 2, ".0"))
		buf[n - 2] = '\0';
}

void dip_option_range(const struct dip_option *row, char *buf, size_t size)
{
	char min[64], max[64];
	buf[0] = '\0';
	if (row->type == DIP_OPTION_ENUM) {
		size_t used = 0;
		for (const char *c = row->choices; *c && used + 3 < size; c++) {
			buf[used++] = *c == '|' ? ',' : *c;
			if (*c == '|')
				buf[used++] = ' ';
			buf[used] = '\0';
		}
		return;
	}
	if (row->type != DIP_OPTION_INT && row->type != DIP_OPTION_FLOAT)
		return;
	bound_text(row, row->min, min, sizeof(min));
	bound_text(row, row->max, max, sizeof(max));
	if (has_min(row) && has_max(row))
		snprintf(buf, size, row->min_open ? "above %s and at most %s" : "from %s to %s",
			min, max);
	else if (has_min(row))
		snprintf(buf, size, row->min_open ? "above %s" : "at least %s", min);
	else if (has_max(row))
		snprintf(buf, size, "at most %s", max);
}

void dip_option_expected(const struct dip_option *row, char *buf, size_t size)
{
	static const char *const what[] = {
		[DIP_OPTION_BOOL] = "true or false",
		[DIP_OPTION_INT] = "a whole number",
		[DIP_OPTION_FLOAT] = "a number",
		[DIP_OPTION_STRING] = "a string in double quotes",
		[DIP_OPTION_ENUM] = "one of",
	};
	char range[DIP_OPTION_TEXT];
	dip_option_range(row, range, sizeof(range));
	bool unit = row->unit && row->unit[0];
	snprintf(buf, size, "%s%s%s%s%s%s", what[row->type], range[0] ? " " : "", range,
		unit ? " (" : "", unit ? row->unit : "", unit ? ")" : "");
}
