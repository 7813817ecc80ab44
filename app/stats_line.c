/* SPDX-License-Identifier: BSD-3-Clause */
#include <time.h>

#include <rte_cycles.h>

#include "report_json.h"
#include "stats_line.h"
#include "window.h"

static int64_t utc_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* [[ns, values up to it and beyond the pair before], ...]; what is beyond the last step has null. */
static json_t *steps_array(const struct dip_histogram_steps *steps)
{
	json_t *array = json_array();
	uint64_t seen = 0;

	for (unsigned int i = 0; i < DIP_HISTOGRAM_STEPS; i++) {
		if (steps->at_most[i] == seen)
			continue;
		json_array_append_new(array, json_pack("[I,I]", (json_int_t)dip_histogram_step(i),
						     (json_int_t)(steps->at_most[i] - seen)));
		seen = steps->at_most[i];
	}
	if (steps->count > seen)
		json_array_append_new(array, json_pack("[n,I]", (json_int_t)(steps->count - seen)));
	return array;
}

static json_t *latency_part(
	const struct dip_histogram_summary *h, const struct dip_histogram_steps *steps)
{
	json_t *part = report_histogram(h);

	json_object_set_new(part, "steps", steps_array(steps));
	return part;
}

/* Of the time since the line before. */
static json_t *interval_object(const struct summary *s, uint64_t *before_tsc)
{
	uint64_t now = rte_rdtsc();
	uint64_t from = *before_tsc != 0 ? *before_tsc : s->begin_tsc;
	struct latency_steps steps;
	struct latencies l;

	*before_tsc = now;
	window_latency_interval(s, &l, &steps);
	return json_pack("{s:f,s:{s:o,s:o,s:o,s:o}}", "seconds",
		(double)(now - from) / rte_get_tsc_hz(), "latency", "dequeued",
		latency_part(&l.dequeued, &steps.stage[DIP_STAGE_DEQUEUED]), "decision",
		latency_part(&l.decision, &steps.stage[DIP_STAGE_DECISION]), "result",
		latency_part(&l.result, &steps.stage[DIP_STAGE_RESULT]), "archived",
		latency_part(&l.archived, &steps.archived));
}

/* Where the sites are: results as text do not tell. */
static json_t *sites_object(const struct dip_sites *sites)
{
	json_t *row = json_array(), *col = json_array(), *h = json_array(), *w = json_array(),
	       *threshold = json_array();
	bool weighted = false;

	for (unsigned int i = 0; i < sites->count; i++) {
		const struct dip_site *site = &sites->site[i];

		json_array_append_new(row, json_integer(site->row));
		json_array_append_new(col, json_integer(site->col));
		json_array_append_new(h, json_integer(site->h));
		json_array_append_new(w, json_integer(site->w));
		json_array_append_new(threshold, json_integer(site->threshold));
		weighted |= site->weights != NULL;
	}
	return json_pack("{s:i,s:b,s:o,s:o,s:o,s:o,s:o}", "count", sites->count, "weighted",
		weighted, "row", row, "col", col, "h", h, "w", w, "threshold", threshold);
}

static json_t *run_object(const struct summary *s, const struct settings *settings)
{
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "version", DIP_VERSION, "device",
		report_device(s), "detector", report_detector(s), "sites", sites_object(s->sites),
		"outputs", report_outputs(s), "config", report_config(settings));
}

char *stats_line_make(const struct summary *s, enum stats_line_place place,
	const struct settings *settings, uint64_t *before_tsc)
{
	json_t *line = json_pack("{s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "time_ns",
		(json_int_t)utc_ns(), "final", place == STATS_LINE_LAST, "stats", report_stats(s),
		"ledger", report_ledger(s), "latency", report_latency(s), "interval",
		interval_object(s, before_tsc), "pool", report_pool(s), "lcores",
		report_lcores());
	char *text;

	if (line == NULL)
		return NULL;
	if (place == STATS_LINE_FIRST)
		json_object_set_new(line, "run", run_object(s, settings));
	if (place == STATS_LINE_LAST) {
		json_object_set_new(line, "outputs", report_outputs(s));
		json_object_set_new(line, "exit_status", json_integer(s->exit_status));
	}
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	return text;
}
