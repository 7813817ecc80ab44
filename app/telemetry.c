/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
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

int telemetry_error(struct rte_tel_data *d, const char *format, ...)
{
	char text[RTE_TEL_MAX_STRING_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "error", text);
	return 0;
}

static void add_metric(const struct dip_metric *metric, uint64_t value, void *d)
{
	rte_tel_data_add_dict_u64(d, metric->name, value);
}

static int on_stats(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct rates r;

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	dip_metrics_foreach(DIP_ALL_SOURCES, add_metric, d);
	summary_rates(&r);
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

	(void)cmd;
	(void)params;
	summary_ledger(accounts);
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
	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", summary.device);
	rte_tel_data_add_dict_u64(d, "dev_id", summary.dev_id);
	rte_tel_data_add_dict_u64(d, "width", summary.info.width);
	rte_tel_data_add_dict_u64(d, "height", summary.info.height);
	rte_tel_data_add_dict_u64(d, "frames", summary.info.frames);
	rte_tel_data_add_dict_u64(d, "max_queues", summary.info.max_queues);
	rte_tel_data_add_dict_string(d, "engine", summary.info.engine);
	rte_tel_data_add_dict_u64(
		d, "due", __atomic_load_n(dip_dma_next_seq(summary.dev_id), __ATOMIC_RELAXED));
	return 0;
}

static int on_pool(const char *cmd, const char *params, struct rte_tel_data *d)
{
	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "slabs", summary.slabs);
	rte_tel_data_add_dict_u64(
		d, "available", __atomic_load_n(&summary.pool_available, __ATOMIC_RELAXED));
	return 0;
}

static int on_archive(const char *cmd, const char *params, struct rte_tel_data *d)
{
	const struct dip_archiver_status *status = dip_archiver_status(0);

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	/* A string of telemetry's is cut at 128 bytes; half a path would lead astray. */
	if (strlen(summary.archive) < RTE_TEL_MAX_STRING_LEN)
		rte_tel_data_add_dict_string(d, "folder", summary.archive);
	rte_tel_data_add_dict_string(d, "backend", status->backend);
	rte_tel_data_add_dict_u64(d, "direct", status->direct);
	rte_tel_data_add_dict_u64(d, "registered_buffers", status->registered_buffers);
	rte_tel_data_add_dict_u64(d, "registered_files", status->registered_files);
	rte_tel_data_add_dict_u64(d, "segments", dip_metric_value("arch_segments"));
	rte_tel_data_add_dict_u64(d, "condemned", dip_metric_value("arch_condemned"));
	rte_tel_data_add_dict_u64(d, "durable", dip_metric_value("arch_durable"));
	rte_tel_data_add_dict_u64(d, "frames", dip_metric_value("arch_frames"));
	rte_tel_data_add_dict_u64(d, "bytes", dip_metric_value("arch_bytes"));
	rte_tel_data_add_dict_u64(d, "io_errors", dip_metric_value("arch_io_errors"));
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
	{"/dip/stats", on_stats, "Every metric, and the rates. No parameters"},
	{"/dip/ledger", on_ledger, "What came in = what was done + what was lost. No parameters"},
	{"/dip/latency", telemetry_latency,
		"Nanoseconds from arrival on. Parameters: none, number of a processor, reset, or "
		"buckets"},
	{"/dip/worst", telemetry_worst, "The slowest frames of the window. No parameters"},
	{"/dip/lcores", telemetry_lcores,
		"Role and load of each lcore in the window. No parameters"},
	{"/dip/device", on_device, "The source. No parameters"},
	{"/dip/pool", on_pool, "Frame buffers, and those that are free. No parameters"},
	{"/dip/archive", on_archive, "The archive of this run. No parameters"},
	{"/dip/config", on_config, "Every effective setting. No parameters"},
	{"/dip/occupancy", telemetry_occupancy, "The last frame decided. No parameters"},
	{"/dip/site", telemetry_site,
		"What a site has counted. Parameters: its number from 0, or its name"},
};

/* What DPDK calls for any of them. */
static int answer(const char *cmd, const char *params, struct rte_tel_data *d)
{
	if (!__atomic_load_n(&summary.attached, __ATOMIC_ACQUIRE))
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
		if (rte_telemetry_register_cmd(commands[i].path, answer, commands[i].help) < 0)
			fprintf(stderr,
				"dma-image-processor: telemetry command %s cannot be registered; "
				"going on without it\n",
				commands[i].path);
}
