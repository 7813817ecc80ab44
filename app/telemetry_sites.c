/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/site_stats.h"
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
	struct telemetry_choice c;
	struct range p;

	if (!telemetry_choose_one(cmd, params, d, &c))
		return 0;
	p = summary_processors(c.summary);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "sites", c.summary->sites->count);
	if (dip_last_frame_read(p.first, p.count, &last) < 0)
		return 0;
	rte_tel_data_add_dict_u64(d, "seq", last.seq);
	rte_tel_data_add_dict_u64(d, "occupied", last.occupied);
	rte_tel_data_add_dict_u64(d, "latency_ns", last.latency_ns);
	return 0;
}

/* The site of that number or name, or -EINVAL. */
static int64_t find_site(const struct dip_sites *sites, const char *text)
{
	char *end;
	unsigned long number;

	if (text[0] == '\0')
		return -EINVAL;
	for (unsigned int i = 0; i < sites->count; i++)
		if (strcmp(sites->site[i].name, text) == 0)
			return i;
	number = strtoul(text, &end, 10);
	if (*end != '\0' || text[0] < '0' || text[0] > '9' || number >= sites->count)
		return -EINVAL;
	return (int64_t)number;
}

/* How far a sum is above the limit, T S - S / 2 for a scale S, in counts. */
static double margin_of(const struct dip_site *site, double scale, int64_t sum)
{
	return (double)sum / scale - ((double)site->threshold - (scale > 1 ? 0.5 : 0));
}

static void add_statistics(struct rte_tel_data *d, const struct dip_site *site, double scale,
	const struct dip_site_summary *s)
{
	rte_tel_data_add_dict_u64(d, "frames", s->frames);
	rte_tel_data_add_dict_u64(d, "occupied", s->occupied);
	if (s->frames == 0)
		return;
	add_decimal(d, "occupancy", (double)s->occupied / s->frames);
	add_decimal(d, "mean", (double)s->total / s->frames / scale);
	rte_tel_data_add_dict_u64(d, "last_seq", s->seq);
	add_decimal(d, "last_count", (double)s->sum / scale);
	add_decimal(d, "last_margin", margin_of(site, scale, s->sum));
}

int telemetry_site(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct dip_site_summary statistics;
	const struct dip_site *site;
	struct telemetry_choice c;
	struct range p;
	int64_t number;

	if (!telemetry_choose_one(cmd, params, d, &c))
		return 0;
	p = summary_processors(c.summary);
	number = find_site(c.summary->sites, c.rest);
	if (number < 0)
		return telemetry_error(d,
			"%.32s: expected a site of %s: its number, 0 to %u, or its name",
			c.rest[0] != '\0' ? c.rest : "nothing", c.summary->device,
			c.summary->sites->count - 1);
	if (dip_site_stats_read(p.first, p.count, (unsigned int)number, &statistics) < 0)
		return telemetry_error(d, "the site is being counted without a pause; ask again");
	site = &c.summary->sites->site[number];
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
	add_statistics(d, site, c.summary->scale, &statistics);
	return 0;
}
