/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "config/option.h"

int dip_config_defaults(const struct dip_option_table *table, void *target)
{
	/* All the strings first, so that one failure leaves a target that can be freed. */
	for (unsigned int i = 0; i < table->count; i++)
		if (dip_option_is_string(&table->rows[i]))
			*(char **)((char *)target + table->rows[i].offset) = NULL;
	for (unsigned int i = 0; i < table->count; i++) {
		union dip_option_value value;
		int rc = dip_option_preset(&table->rows[i], &value, NULL);
		if (rc) {
			dip_config_free(table, target);
			return rc;
		}
		dip_option_store(&table->rows[i], target, &value);
	}
	return 0;
}

void dip_config_value(const struct dip_option *row, const void *target, char *buf, size_t size)
{
	union dip_option_value value = dip_option_get(row, target);
	char number[DIP_OPTION_TEXT];
	switch (row->type) {
	case DIP_OPTION_BOOL:
		snprintf(buf, size, "%s", value.b ? "true" : "false");
		break;
	case DIP_OPTION_INT:
		snprintf(buf, size, "%lld", (long long)value.i);
		break;
	case DIP_OPTION_FLOAT:
		dip_option_float_text(value.f, number, sizeof(number));
		snprintf(buf, size, "%s", number);
		break;
	default:
		snprintf(buf, size, "%s", value.s);
	}
}

void dip_config_free(const struct dip_option_table *table, void *target)
{
	for (unsigned int i = 0; i < table->count; i++) {
		union dip_option_value nothing = {.s = NULL};
		if (dip_option_is_string(&table->rows[i]))
			dip_option_store(&table->rows[i], target, &nothing);
	}
}
