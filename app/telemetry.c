/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_telemetry.h>

#include "options.h"
#include "summary.h"
#include "telemetry_impl.h"

/* Callbacks run on threads of their own, at any time, until the process is gone: they read only
 * static storage. Telemetry knows no floats: rates are decimal strings. */

static const struct settings *settings;

void telemetry_decimal(struct rte_tel_data *d, const char *name, double value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.6g", value);
	rte_tel_data_add_dict_string(d, name, text);
}

static void add_metric(const struct dip_metric *metric, uint64_t value, void *d)
{
	rte_tel_data_add_dict_u64(d, metric->name, value);
}

static int on_stats(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct telemetry_choice c;
	struct rates r;

	(void)cmd;
	if (!telemetry_choose_only(params, d, &c))
		return 0;
	rte_tel_data_start_dict(d);
	dip_metrics_foreach(summary_source(c.summary), add_metric, d);
	summary_rates(c.summary, &r);
	telemetry_decimal(d, "elapsed_sec", r.elapsed_sec);
	telemetry_decimal(d, "drained_sec", r.drained_sec);
	telemetry_decimal(d, "dma_fps", r.dma_fps);
	telemetry_decimal(d, "proc_fps", r.proc_fps);
	telemetry_decimal(d, "arch_fps", r.arch_fps);
	telemetry_decimal(d, "arch_gbps", r.arch_gbps);
	telemetry_decimal(d, "arch_gibps", r.arch_gibps);
	return 0;
}

static struct rte_tel_data *account_dict(const struct ledger_account *a)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d == NULL)
		return NULL;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, a->offered.name, a->offered.value);
	rte_tel_data_add_dict_u64(d, a->done.name, a->done.value);
	for (unsigned int i = 0; i < a->losses; i++)
		rte_tel_data_add_dict_u64(d, a->lost[i].name, a->lost[i].value);
	rte_tel_data_add_dict_u64(d, "in_flight", a->in_flight);
	rte_tel_data_add_dict_int(d, "imbalance", a->imbalance);
	return d;
}

static int on_ledger(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	struct telemetry_choice c;

	(void)cmd;
	if (!telemetry_choose_only(params, d, &c))
		return 0;
	summary_ledger(c.summary, accounts);
	rte_tel_data_start_dict(d);
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		struct rte_tel_data *account = account_dict(&accounts[i]);

		if (account != NULL)
			rte_tel_data_add_dict_container(d, accounts[i].name, account, 0);
	}
	return 0;
}

static int on_device(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct telemetry_choice c;
	const struct summary *s;

	if (!telemetry_choose_one(cmd, params, d, &c))
		return 0;
	s = c.summary;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", s->device);
	rte_tel_data_add_dict_u64(d, "dev_id", s->books.dev_id);
	rte_tel_data_add_dict_u64(d, "width", s->info.width);
	rte_tel_data_add_dict_u64(d, "height", s->info.height);
	rte_tel_data_add_dict_u64(d, "frames", s->info.frames);
	rte_tel_data_add_dict_u64(d, "max_queues", s->info.max_queues);
	rte_tel_data_add_dict_string(d, "engine", s->info.engine);
	rte_tel_data_add_dict_u64(
		d, "due", __atomic_load_n(dip_dma_next_seq(s->books.dev_id), __ATOMIC_RELAXED));
	return 0;
}

static int on_pool(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct telemetry_choice c;
	struct pool_figures pool;

	(void)cmd;
	if (!telemetry_choose_only(params, d, &c))
		return 0;
	pool = summary_pool(c.summary);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "slabs", pool.slabs);
	rte_tel_data_add_dict_u64(d, "available", pool.available);
	return 0;
}

static int on_archive(const char *cmd, const char *params, struct rte_tel_data *d)
{
	static const char *const counts[] = {
		"segments", "condemned", "durable", "frames", "bytes", "io_errors"};
	const struct dip_archiver_status *status;
	struct telemetry_choice c;
	const char *folder;

	if (!telemetry_choose_one(cmd, params, d, &c))
		return 0;
	status = dip_archiver_status(c.summary->books.source);
	rte_tel_data_start_dict(d);
	/* A string of telemetry's is cut at 128 bytes; half a path would lead astray. */
	folder = summary_archive(c.summary);
	if (strlen(folder) < RTE_TEL_MAX_STRING_LEN)
		rte_tel_data_add_dict_string(d, "folder", folder);
	rte_tel_data_add_dict_string(d, "backend", status->backend);
	rte_tel_data_add_dict_u64(d, "direct", status->direct);
	rte_tel_data_add_dict_u64(d, "registered_buffers", status->registered_buffers);
	rte_tel_data_add_dict_u64(d, "registered_files", status->registered_files);
	for (unsigned int i = 0; i < RTE_DIM(counts); i++) {
		char metric[32];

		snprintf(metric, sizeof(metric), "arch_%s", counts[i]);
		rte_tel_data_add_dict_u64(
			d, counts[i], dip_metric_of(c.summary->books.source, metric));
	}
	return 0;
}

/* Where a source is in its life. */
static const char *state_of(const struct summary *s)
{
	if (__atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0)
		return "failed";
	if (__atomic_load_n(&s->end_tsc, __ATOMIC_RELAXED) == 0)
		return "running";
	return __atomic_load_n(&s->drained_tsc, __ATOMIC_RELAXED) == 0 ? "draining" : "ended";
}

static void add_lcores(
	struct rte_tel_data *d, const char *name, const unsigned int *lcore, unsigned int n)
{
	struct rte_tel_data *array = rte_tel_data_alloc();

	if (array == NULL)
		return;
	rte_tel_data_start_array(array, RTE_TEL_U64_VAL);
	for (unsigned int i = 0; i < n; i++)
		rte_tel_data_add_array_u64(array, lcore[i]);
	rte_tel_data_add_dict_container(d, name, array, 0);
}

static struct rte_tel_data *source_dict(const struct summary *s)
{
	struct rte_tel_data *d = rte_tel_data_alloc();
	const struct placement *at = &s->placement;

	if (d == NULL)
		return NULL;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", s->device);
	rte_tel_data_add_dict_u64(d, "dev_id", s->books.dev_id);
	rte_tel_data_add_dict_string(d, "state", state_of(s));
	add_lcores(d, "ingest", at->ingest, at->lanes);
	add_lcores(d, "process", at->process, at->processors);
	add_lcores(d, "archive", &at->archive, s->archive_on);
	add_lcores(d, "results", &at->results, s->results_on);
	return d;
}

static int on_sources(const char *cmd, const char *params, struct rte_tel_data *d)
{
	(void)cmd;
	(void)params;
	/* An array of telemetry's cannot hold dicts: the names are numbers. */
	rte_tel_data_start_dict(d);
	for (unsigned int i = 0; i < summary_count; i++) {
		struct rte_tel_data *source = source_dict(&summaries[i]);
		char number[16];

		snprintf(number, sizeof(number), "%u", i);
		if (source != NULL)
			rte_tel_data_add_dict_container(d, number, source, 0);
	}
	return 0;
}

static int on_config(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct rte_tel_data *dict = NULL;
	const char *group = "";

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	/* Telemetry's names have no dots: a dict for each group. The rows stand group by group. */
	for (unsigned int i = 0; i < option_table.count; i++) {
		const struct dip_option *row = &option_table.rows[i];
		size_t length = strcspn(row->name, ".");
		char value[256], name[32];

		if (strncmp(group, row->name, length + 1) != 0) {
			group = row->name;
			dict = rte_tel_data_alloc();
			if (dict == NULL)
				return -ENOMEM;
			rte_tel_data_start_dict(dict);
			snprintf(name, sizeof(name), "%.*s", (int)length, group);
			rte_tel_data_add_dict_container(d, name, dict, 0);
		}
		dip_config_value(row, settings, value, sizeof(value));
		rte_tel_data_add_dict_string(dict, row->name + length + 1, value);
	}
	return 0;
}

static const struct {
	const char *path;
	telemetry_cb callback;
	const char *help;
} commands[] = {
	{"/dip/sources", on_sources, "The sources, and where they run. No parameters"},
	{"/dip/stats", on_stats,
		"Every metric, and the rates. Parameters: a source's name; none: of all together"},
	{"/dip/ledger", on_ledger,
		"What came in = what was done + what was lost. Parameters: as /dip/stats"},
	{"/dip/latency", telemetry_latency,
		"Nanoseconds from arrival on. Parameters: none, number of a processor, reset, or "
		"buckets; a source's name may stand before"},
	{"/dip/worst", telemetry_worst,
		"The slowest frames of the window. Parameters: as /dip/stats"},
	{"/dip/lcores", telemetry_lcores,
		"Role and load of each lcore in the window. No parameters"},
	{"/dip/device", on_device,
		"The source. Parameters: its name; none: where there is one only"},
	{"/dip/pool", on_pool, "Frame buffers, and those that are free. Parameters: as /dip/stats"},
	{"/dip/archive", on_archive, "The archive of this run. Parameters: as /dip/device"},
	{"/dip/config", on_config, "Every effective setting. No parameters"},
	{"/dip/occupancy", telemetry_occupancy,
		"The last frame decided. Parameters: as /dip/device"},
	{"/dip/site", telemetry_site,
		"What a site has counted. Parameters: its number from 0, or its name; of several "
		"sources: SOURCE,SITE"},
};

int telemetry_answer(const char *cmd, const char *params, struct rte_tel_data *d)
{
	if (__atomic_load_n(&summary_count, __ATOMIC_ACQUIRE) == 0)
		return telemetry_error(d, "the run has not begun yet");
	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		if (strcmp(commands[i].path, cmd) == 0)
			return commands[i].callback(cmd, params, d);
	return -EINVAL;
}

void telemetry_register(const struct settings *s)
{
	settings = s;
	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		if (rte_telemetry_register_cmd(
			    commands[i].path, telemetry_answer, commands[i].help) < 0)
			fprintf(stderr,
				"dma-image-processor: telemetry command %s cannot be registered; "
				"going on without it\n",
				commands[i].path);
}
