/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "lcore_list.h"

bool lcore_list_has(const struct lcore_list *l, unsigned int id)
{
	for (unsigned int i = 0; i < l->n; i++)
		if (l->id[i] == id)
			return true;
	return false;
}

static bool exists(const struct placement_request *r, unsigned long id)
{
	for (unsigned int i = 0; i < r->worker_count; i++)
		if (r->workers[i] == id)
			return true;
	return id == r->main_lcore;
}

static int append(const struct placement_request *r, const char *key, const char *text,
	unsigned long id, struct lcore_list *out, struct dip_error *err)
{
	if (!exists(r, id))
		return dip_fail(err, EINVAL,
			"lcores.%s = \"%s\": lcore %lu does not exist; expected one of those that "
			"EAL was "
			"given (-l or --lcores)",
			key, text, id);
	if (lcore_list_has(out, id))
		return dip_fail(err, EINVAL,
			"lcores.%s = \"%s\": lcore %lu is named twice; expected each lcore once",
			key, text, id);
	if (out->n == PLACEMENT_MAX)
		return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected at most %d lcores", key,
			text, PLACEMENT_MAX);
	out->id[out->n++] = id;
	return 0;
}

int lcore_list_parse(const struct placement_request *r, const char *key, const char *text,
	struct lcore_list *out, struct dip_error *err)
{
	const char *at = text;

	out->n = 0;
	while (*at != '\0') {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;
		bool ok = *at >= '0' && *at <= '9';

		if (ok && *end == '-') {
			at = end + 1;
			ok = *at >= '0' && *at <= '9';
			to = strtoul(at, &end, 10);
		}
		if (!ok || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0') ||
			to < from || to - from >= PLACEMENT_MAX)
			return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected lcores as 1,3-5",
				key, text);
		for (unsigned long id = from; id <= to; id++)
			if (append(r, key, text, id, out, err) < 0)
				return -EINVAL;
		at = *end == ',' ? end + 1 : end;
	}
	return 0;
}

int lcore_list_parse_single(const struct placement_request *r, const char *key, const char *text,
	struct lcore_list *out, struct dip_error *err)
{
	if (lcore_list_parse(r, key, text, out, err) < 0)
		return -EINVAL;
	if (out->n > 1)
		return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected one lcore", key, text);
	return 0;
}

struct lcore_list lcore_list_deal(const struct lcore_list *l, unsigned int n, unsigned int i)
{
	struct lcore_list part = {.n = 0};

	if (l->n < n) {
		if (l->n > 0)
			part.id[part.n++] = l->id[i % l->n];
		return part;
	}
	for (unsigned int at = i * l->n / n; at < (i + 1) * l->n / n; at++)
		part.id[part.n++] = l->id[at];
	return part;
}
