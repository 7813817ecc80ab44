/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "config/option.h"

const struct dip_option *dip_option_find(const struct dip_option_table *table, const char *name)
{
	for (unsigned int i = 0; i < table->count; i++)
		if (!strcmp(table->rows[i].name, name))
			return &table->rows[i];
	return NULL;
}

size_t dip_option_group_len(const char *name)
{
	return strcspn(name, ".");
}

/* Levenshtein's distance of the first n characters of a and m of b, without regard to case. */
static unsigned int distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned int row[64];
	n = n > 63 ? 63 : n;
	m = m > 63 ? 63 : m;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int diagonal = row[0];
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);
			unsigned int best = diagonal + !same;
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

/* Part of a name behind its dot, or all of it. */
static const char *key_of(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot ? dot + 1 : name;
}

const struct dip_option *dip_option_nearest(const struct dip_option_table *table, const char *name)
{
	const struct dip_option *nearest = NULL;
	const char *key = key_of(name);
	/* The right key in the wrong group is one mistake, whatever the groups are called. */
	unsigned int group_penalty = key != name, least = UINT_MAX;
	for (unsigned int i = 0; i < table->count; i++) {
		const char *known = table->rows[i].name, *known_key = key_of(known);
		unsigned int d = distance(name, strlen(name), known, strlen(known));
		unsigned int k =
			group_penalty + distance(key, strlen(key), known_key, strlen(known_key));
		if (k < d)
			d = k;
		if (d < least) {
			least = d;
			nearest = &table->rows[i];
		}
	}
	return nearest;
}

const struct dip_option *dip_option_group(
	const struct dip_option_table *table, const char *group, bool nearest)
{
	const struct dip_option *found = NULL;
	unsigned int least = nearest ? UINT_MAX : 1;
	size_t n = strlen(group);
	for (unsigned int i = 0; i < table->count; i++) {
		const char *name = table->rows[i].name;
		size_t m = dip_option_group_len(name);
		unsigned int d =
			nearest ? distance(group, n, name, m) : n != m || strncmp(group, name, n);
		if (d < least) {
			least = d;
			found = &table->rows[i];
		}
	}
	return found;
}
