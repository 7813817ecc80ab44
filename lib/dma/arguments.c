/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dma/source.h"

int dip_source_number(struct rte_kvargs *args, const char *key, uint64_t min, uint64_t max,
	uint64_t fallback, uint64_t *out, struct dip_error *err)
{
	const char *text = rte_kvargs_get(args, key);
	char *end;
	uint64_t value;

	if (text == NULL) {
		*out = fallback;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < min ||
		value > max)
		return dip_fail(err, EINVAL,
			"%s=%s: expected a number from %" PRIu64 " to %" PRIu64, key, text, min,
			max);
	*out = value;
	return 0;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

char *dip_source_text(struct rte_kvargs *args, const char *key)
{
	const char *in = rte_kvargs_get(args, key);
	char *text, *out;

	if (in == NULL)
		return NULL;
	text = out = malloc(strlen(in) + 1);
	if (text == NULL)
		return NULL;
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
	return text;
}
