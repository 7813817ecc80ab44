/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "report.h"
#include "report_json.h"

static void add_metric(const struct dip_metric *metric, uint64_t value, void *stats)
{
	json_object_set_new(stats, metric->name, json_integer(value));
}

json_t *report_stats(const struct summary *s)
{
	json_t *stats = json_object();
	struct rates r;

	dip_metrics_foreach(summary_source(s), add_metric, stats);
	summary_rates(s, &r);
	json_object_set_new(stats, "elapsed_sec", json_real(r.elapsed_sec));
	json_object_set_new(stats, "drained_sec", json_real(r.drained_sec));
	json_object_set_new(stats, "dma_fps", json_real(r.dma_fps));
	json_object_set_new(stats, "proc_fps", json_real(r.proc_fps));
	json_object_set_new(stats, "arch_fps", json_real(r.arch_fps));
	json_object_set_new(stats, "arch_gbps", json_real(r.arch_gbps));
	json_object_set_new(stats, "arch_gibps", json_real(r.arch_gibps));
	return stats;
}

static json_t *account_object(const struct ledger_account *a)
{
	json_t *o = json_object();

	json_object_set_new(o, a->offered.name, json_integer(a->offered.value));
	json_object_set_new(o, a->done.name, json_integer(a->done.value));
	for (unsigned int i = 0; i < a->losses; i++)
		json_object_set_new(o, a->lost[i].name, json_integer(a->lost[i].value));
	json_object_set_new(o, "in_flight", json_integer(a->in_flight));
	json_object_set_new(o, "imbalance", json_integer(a->imbalance));
	return o;
}

json_t *report_ledger(const struct summary *s)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	json_t *ledger = json_object();

	summary_ledger(s, accounts);
	for (int i = 0; i < LEDGER_ACCOUNTS; i++)
		json_object_set_new(ledger, accounts[i].name, account_object(&accounts[i]));
	return ledger;
}

json_t *report_histogram(const struct dip_histogram_summary *h)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "count", (json_int_t)h->count,
		"mean_ns", (json_int_t)h->mean, "p50_ns", (json_int_t)h->p50, "p90_ns",
		(json_int_t)h->p90, "p99_ns", (json_int_t)h->p99, "p999_ns", (json_int_t)h->p999,
		"p9999_ns", (json_int_t)h->p9999, "max_ns", (json_int_t)h->max);
}

json_t *report_latency(const struct summary *s)
{
	struct latencies l;

	summary_latencies(s, &l);
	return json_pack("{s:o,s:o,s:o,s:o}", "dequeued", report_histogram(&l.dequeued), "decision",
		report_histogram(&l.decision), "result", report_histogram(&l.result), "archived",
		report_histogram(&l.archived));
}

json_t *report_lcores(void)
{
	json_t *lcores = json_array();
	unsigned int id;

	RTE_LCORE_FOREACH(id)
	{
		const struct dip_lcore_stats *s = dip_lcore_stats(id);
		uint64_t busy = dip_read(&s->busy_tsc), idle = dip_read(&s->idle_tsc);
		double ns_per_tsc = 1e9 / rte_get_tsc_hz();

		json_array_append_new(
			lcores, json_pack("{s:i,s:s,s:f,s:I,s:I,s:I}", "lcore", id, "role",
					dip_lcore_roles(id), "busy",
					busy + idle > 0 ? (double)busy / (busy + idle) : 0.0,
					"turns", (json_int_t)dip_read(&s->turns), "busy_ns",
					(json_int_t)(busy * ns_per_tsc), "idle_ns",
					(json_int_t)(idle * ns_per_tsc)));
	}
	return lcores;
}

json_t *report_config(const struct settings *settings)
{
	json_t *config = json_object();

	for (unsigned int i = 0; i < option_table.count; i++) {
		const struct dip_option *row = &option_table.rows[i];
		const void *at = (const char *)settings + row->offset;
		json_t *value = NULL;

		switch (row->type) {
		case DIP_OPTION_BOOL:
			value = json_boolean(*(const bool *)at);
			break;
		case DIP_OPTION_INT:
			value = json_integer(*(const int64_t *)at);
			break;
		case DIP_OPTION_FLOAT:
			value = json_real(*(const double *)at);
			break;
		case DIP_OPTION_STRING:
		case DIP_OPTION_ENUM:
			value = json_string(*(char *const *)at);
			break;
		}
		json_object_set_new(config, row->name, value);
	}
	return config;
}

/* A path is bytes, JSON is UTF-8: what is no UTF-8 is reported as null. */
static json_t *path_or_null(const char *path)
{
	json_t *value = path[0] != '\0' ? json_string(path) : NULL;

	return value != NULL ? value : json_null();
}

/* JSON has no NaN: what is not known is null. */
static json_t *real_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *report_detector(const struct summary *summary)
{
	const struct dip_sites_span *s = &summary->span;

	return json_pack("{s:s,s:s,s:i,s:o,s:I,s:I,s:o,s:o}", "name", summary->detector, "kernel",
		summary->kernel, "sites", summary->sites->count, "threshold",
		s->threshold_min == s->threshold_max ? json_integer(s->threshold_min) : json_null(),
		"threshold_min", (json_int_t)s->threshold_min, "threshold_max",
		(json_int_t)s->threshold_max, "false_positive", real_or_null(s->false_positive),
		"false_negative", real_or_null(s->false_negative));
}

json_t *report_pool(const struct summary *s)
{
	struct pool_figures pool = summary_pool(s);

	return json_pack("{s:I,s:I}", "slabs", (json_int_t)pool.slabs, "available",
		(json_int_t)pool.available);
}

json_t *report_device(const struct summary *s)
{
	return json_pack("{s:s,s:i,s:i,s:I,s:i,s:s}", "name", s->device, "width", s->info.width,
		"height", s->info.height, "frames", (json_int_t)s->info.frames, "max_queues",
		s->info.max_queues, "engine", s->info.engine);
}

json_t *report_outputs(const struct summary *s)
{
	return json_pack("{s:o,s:o,s:o}", "archive", path_or_null(summary_archive(s)), "results",
		path_or_null(s->results), "stats", path_or_null(s->stats));
}

/* What the report has of each source. */
static void add_source(json_t *to, const struct summary *s)
{
	json_object_set_new(to, "stats", report_stats(s));
	json_object_set_new(to, "ledger", report_ledger(s));
	json_object_set_new(to, "latency", report_latency(s));
	json_object_set_new(to, "detector", report_detector(s));
	json_object_set_new(to, "pool", report_pool(s));
	json_object_set_new(to, "device", report_device(s));
	json_object_set_new(to, "outputs", report_outputs(s));
	json_object_set_new(to, "exit_status", json_integer(s->exit_status));
}

static json_t *sources_array(void)
{
	json_t *sources = json_array();

	for (unsigned int i = 0; i < summary_count; i++) {
		json_t *source = json_pack("{s:s}", "name", summaries[i].device);

		add_source(source, &summaries[i]);
		json_array_append_new(sources, source);
	}
	return sources;
}

void report_json(FILE *out, const struct settings *settings, int exit_status)
{
	json_t *report = json_pack("{s:s}", "version", DIP_VERSION);

	if (summary_count == 1) {
		add_source(report, &summaries[0]);
	} else {
		json_object_set_new(report, "stats", report_stats(NULL));
		json_object_set_new(report, "ledger", report_ledger(NULL));
		json_object_set_new(report, "latency", report_latency(NULL));
		json_object_set_new(report, "pool", report_pool(NULL));
		json_object_set_new(report, "sources", sources_array());
	}
	json_object_set_new(report, "lcores", report_lcores());
	json_object_set_new(report, "config", report_config(settings));
	json_object_set_new(report, "exit_status", json_integer(exit_status));
	json_dumpf(report, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(report);
}
