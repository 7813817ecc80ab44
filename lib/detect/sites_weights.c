/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "detect/sites_impl.h"

static int read_values(struct sites_reader *r, const config_setting_t *values, const char *what,
	struct patch_weights *out)
{
	int64_t count = out->h * out->w;
	char shown[DIP_OPTION_TEXT], where[512];

	if (!config_setting_is_aggregate(values) || config_setting_is_group(values) ||
		config_setting_length(values) != count)
		return dip_fail(r->err, EINVAL,
			"%s: %s: values: found %d of them, expected h x w = %" PRId64
			" numbers, row by row",
			sites_where(r, sites_line(values), where, sizeof(where)), what,
			config_setting_length(values), count);
	for (int64_t i = 0; i < count; i++) {
		const config_setting_t *s = config_setting_get_elem(values, (unsigned int)i);
		int v = config_setting_get_int(s);

		if (config_setting_type(s) != CONFIG_TYPE_INT || v < INT16_MIN || v > INT16_MAX) {
			dip_option_show_setting(s, shown, sizeof(shown));
			return dip_fail(r->err, EINVAL,
				"%s: %s: values: number %" PRId64 " (row %" PRId64
				", column %" PRId64
				"): found %s, expected a whole number from %d to %d",
				sites_where(r, sites_line(values), where, sizeof(where)), what, i,
				i / out->w, i % out->w, shown, INT16_MIN, INT16_MAX);
		}
		out->values[i] = (int16_t)v;
		out->least += v < 0 ? v : 0;
		out->most += v > 0 ? v : 0;
	}
	return 0;
}

static int read_patch(struct sites_reader *r, const config_setting_t *s, struct patch_weights *out)
{
	const config_setting_t *values;
	char what[WHAT], where[512];
	struct fields f;
	int ret;

	snprintf(what, sizeof(what), "weights.%.100s", config_setting_name(s));
	ret = fields_read(r, s, IN_WEIGHTS, what, &f);
	if (ret < 0)
		return ret;
	values = config_setting_get_member(s, "values");
	if (values == NULL || !fields_has(&f, "h") || !fields_has(&f, "w"))
		return dip_fail(r->err, EINVAL, "%s: %s: found no %s, expected h, w and values",
			sites_where(r, f.line, where, sizeof(where)), what,
			!fields_has(&f, "h")   ? "h"
			: !fields_has(&f, "w") ? "w"
					       : "values");
	if (f.h * f.w > DIP_SITE_PIXELS)
		return dip_fail(r->err, EINVAL,
			"%s: %s: found %" PRId64 "x%" PRId64 " weights, expected at most %d",
			sites_where(r, f.line, where, sizeof(where)), what, f.h, f.w,
			DIP_SITE_PIXELS);
	*out = (struct patch_weights){.name = config_setting_name(s), .h = f.h, .w = f.w};
	out->values = dip_sites_store(&r->sites, (size_t)(f.h * f.w) * sizeof(out->values[0]));
	if (out->values == NULL)
		return dip_fail(r->err, ENOMEM, "%s: out of memory", r->conf->file);
	return read_values(r, values, what, out);
}

int sites_weights(struct sites_reader *r, const config_setting_t *root)
{
	const config_setting_t *s = config_setting_get_member(root, "weights");
	char where[512];
	int count, ret = 0;

	if (s == NULL)
		return 0;
	if (!config_setting_is_group(s))
		return dip_fail(r->err, EINVAL,
			"%s: weights: expected { NAME = { h = ...; ... }; }",
			sites_where(r, sites_line(s), where, sizeof(where)));
	count = config_setting_length(s);
	r->weights = calloc((size_t)count + 1, sizeof(r->weights[0]));
	if (r->weights == NULL)
		return dip_fail(r->err, ENOMEM, "%s: out of memory", r->conf->file);
	for (int i = 0; ret == 0 && i < count; i++) {
		ret = read_patch(r, config_setting_get_elem(s, (unsigned int)i), &r->weights[i]);
		r->weights_count++;
	}
	return ret;
}
