/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/site_stats.h"
#include "summary.h"
#include "telemetry_impl.h"

/* What telemetry tells of the sites. As in telemetry.c, only storage that is never freed is read, and
 * what has a point is a decimal string. */

static void add_decimal(struct rte_tel_data *d, const char *name, double value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.12g", value);
	rte_tel_data_add_dict_string(d, name, text);
}

int telemetry_occupancy(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct dip_last_frame last;

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "sites", summary.sites->count);
	if (dip_last_frame_read(0, summary.processors, &last) < 0)
		return 0;
	rte_tel_data_add_dict_u64(d, "seq", last.seq);
	rte_tel_data_add_dict_u64(d, "occupied", last.occupied);
	rte_tel_data_add_dict_u64(d, "latency_ns", last.latency_ns);
	return 0;
}

/* The site of that number or name, or -EINVAL. */
static int64_t find_site(const char *text)
{
	char *end;
	unsigned long number;

	if (text == NULL || text[0] == '\0')
		return -EINVAL;
	for (unsigned int i = 0; i < summary.sites->count; i++)
		if (strcmp(summary.sites->site[i].name, text) == 0)
			return i;
	number = strtoul(text, &end, 10);
	if (*end != '\0' || text[0] < '0' || text[0] > '9' || number >= summary.sites->count)
		return -EINVAL;
	return (int64_t)number;
}

/* How far a sum is above the limit, T S - S / 2 for a scale S, in counts. */
static double margin_of(const struct dip_site *site, int64_t sum)
{
	return (double)sum / summary.scale -
	       ((double)site->threshold - (summary.scale > 1 ? 0.5 : 0));
}

static void add_statistics(
	struct rte_tel_data *d, const struct dip_site *site, const struct dip_site_summary *s)
{
	double scale = summary.scale;

	rte_tel_data_add_dict_u64(d, "frames", s->frames);
	rte_tel_data_add_dict_u64(d, "occupied", s->occupied);
	if (s->frames == 0)
		return;
	add_decimal(d, "occupancy", (double)s->occupied / s->frames);
	add_decimal(d, "mean", (double)s->total / s->frames / scale);
	rte_tel_data_add_dict_u64(d, "last_seq", s->seq);
	add_decimal(d, "last_count", (double)s->sum / scale);
	add_decimal(d, "last_margin", margin_of(site, s->sum));
}

int telemetry_site(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct dip_site_summary statistics;
	int64_t number = find_site(params);
	const struct dip_site *site;

	(void)cmd;
	if (number < 0)
		return telemetry_error(d, "expected a site: its number, 0 to %u, or its name",
			summary.sites->count - 1);
	if (dip_site_stats_read(0, summary.processors, (unsigned int)number, &statistics) < 0)
		return telemetry_error(d, "the site is being counted without a pause; ask again");
	site = &summary.sites->site[number];
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "site", (uint64_t)number);
	if (strlen(site->name) < RTE_TEL_MAX_STRING_LEN)
		rte_tel_data_add_dict_string(d, "name", site->name);
	rte_tel_data_add_dict_u64(d, "row", site->row);
	rte_tel_data_add_dict_u64(d, "col", site->col);
	rte_tel_data_add_dict_u64(d, "h", site->h);
	rte_tel_data_add_dict_u64(d, "w", site->w);
	rte_tel_data_add_dict_u64(d, "weighted", site->weights != NULL);
	add_decimal(d, "threshold", (double)site->threshold);
	if (isfinite(site->false_positive))
		add_decimal(d, "false_positive", site->false_positive);
	if (isfinite(site->false_negative))
		add_decimal(d, "false_negative", site->false_negative);
	add_statistics(d, site, &statistics);
	return 0;
}
