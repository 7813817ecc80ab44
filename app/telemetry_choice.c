/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "telemetry_impl.h"

/* Which source a telemetry command asks for, and the answer when that is none. */

int telemetry_error(struct rte_tel_data *d, const char *format, ...)
{
	char text[RTE_TEL_MAX_STRING_LEN];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* It becomes a string of JSON. */
	for (char *at = text; *at != '\0'; at++)
		if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
			*at = '?';
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "error", text);
	return 0;
}

struct telemetry_choice telemetry_choose(const char *params)
{
	const char *text = params != NULL ? params : "";
	size_t length = strcspn(text, ",");
	const struct summary *named = summary_find(text, length);

	if (named != NULL)
		return (struct telemetry_choice){
			named, text[length] == ',' ? text + length + 1 : text + length};
	return (struct telemetry_choice){summary_count == 1 ? &summaries[0] : NULL, text};
}

static void refuse_name(struct rte_tel_data *d, const char *text)
{
	telemetry_error(
		d, "no source is called %.32s; /dip/sources has those that there are", text);
}

bool telemetry_choose_only(const char *params, struct rte_tel_data *d, struct telemetry_choice *c)
{
	*c = telemetry_choose(params);
	/* Of one source all is told, whatever the parameters are. */
	if (summary_count == 1 || c->rest[0] == '\0')
		return true;
	refuse_name(d, params);
	return false;
}

bool telemetry_choose_one(
	const char *cmd, const char *params, struct rte_tel_data *d, struct telemetry_choice *c)
{
	*c = telemetry_choose(params);
	if (c->summary != NULL)
		return true;
	if (c->rest[0] != '\0')
		refuse_name(d, c->rest);
	else
		telemetry_error(d, "%u sources: expected %s,NAME; /dip/sources has the names",
			summary_count, cmd);
	return false;
}
