/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "select.h"

static bool number(const char **p, uint64_t *value)
{
	const char *first = *p;
	uint64_t v = 0;

	for (; **p >= '0' && **p <= '9'; ++*p)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, **p - '0', &v))
			return false;
	*value = v;
	return *p > first;
}

static bool parse_range(const char **p, struct range *range)
{
	*range = (struct range){0};
	if (!number(p, &range->first))
		return false;
	range->last = range->first;
	if (**p == '-') {
		++*p;
		if (!number(p, &range->last))
			return false;
	}
	return range->first <= range->last && (**p == ',' || **p == '\0');
}

int selection_parse(const char *text, struct selection *s, struct dip_error *err)
{
	const char *p = text;

	*s = (struct selection){0};
	if (text == NULL)
		return 0;
	s->ranges = calloc(strlen(text) + 1, sizeof(*s->ranges));
	if (s->ranges == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	for (;;) {
		if (!parse_range(&p, &s->ranges[s->count++]))
			return dip_fail(err, EINVAL,
				"--seq: found \"%s\"; expected numbers and ranges, as 1,5-9", text);
		if (*p == '\0')
			return 0;
		p++;
	}
}

bool selection_has(const struct selection *s, uint64_t seq)
{
	for (size_t i = 0; i < s->count; i++)
		if (seq >= s->ranges[i].first && seq <= s->ranges[i].last)
			return true;
	return s->ranges == NULL;
}

void selection_found(struct selection *s, uint64_t seq)
{
	for (size_t i = 0; i < s->count; i++)
		if (seq >= s->ranges[i].first && seq <= s->ranges[i].last)
			s->ranges[i].found = true;
}
