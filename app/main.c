/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_rawdev.h>

#include "check.h"
#include "control.h"
#include "dma/source.h"
#include "launch.h"
#include "memory.h"
#include "pipeline.h"
#include "report.h"
#include "source.h"
#include "stats_file.h"
#include "summary.h"
#include "telemetry.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define SECONDS_DEFAULT 5.0

static struct settings settings; /* static: telemetry reads it to the very end */

/* One line; an empty one has been said already, by the driver. */
static int complain(const struct dip_error *err)
{
	if (err->text[0] != '\0')
		fprintf(stderr, "dma-image-processor: %s\n", err->text);
	return EXIT_USAGE;
}

/* The effective settings, and what they take of memory as far as the frames are known: from the source
 * given, else from main.image_w and image_h. */
static int check_config(const struct command *command)
{
	bool given = command->npy_dir != NULL || command->device != NULL;
	struct dip_error err = {0};
	struct memory_plan plan;
	struct source source = {0};
	size_t bytes = (size_t)settings.main.image_w * settings.main.image_h * sizeof(uint16_t);
	int ret = given ? source_examine(command, &settings, &source, &bytes, &err) : 0;

	source_close(&source);
	if (ret < 0)
		return complain(&err);
	dip_config_print(&option_table, &settings, stdout);
	if (bytes > 0) {
		/* As many lanes as are asked for, whatever this machine has CPUs for. */
		memory_plan(&settings, bytes,
			settings.proc.worker_threads > 0 ? settings.proc.worker_threads
							 : launch_workers(&settings),
			&plan);
		memory_print(&plan, stdout);
	}
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* The actions that start nothing. */
static int inform(const struct command *command)
{
	switch (command->action) {
	case CHECK_CONFIG:
		return check_config(command);
	case LIST_OPTIONS:
		dip_config_markdown(&option_table, stdout);
		break;
	case LIST_ARGUMENTS:
		dip_source_markdown(stdout);
		break;
	case LIST_DRIVERS:
		source_list_drivers();
		break;
	case VERSION:
		puts("dma-image-processor " DIP_VERSION);
		break;
	default:
		print_help();
	}
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* Seconds of the run, 0 for no end. */
static double run_seconds(const struct command *command, bool endless)
{
	if (command->has_seconds)
		return command->seconds;
	return endless ? SECONDS_DEFAULT : 0;
}

static struct dip_dma_info info_of(const struct source *source)
{
	struct dip_dma_info dma_info = {0};
	struct rte_rawdev_info info = {.dev_private = &dma_info};

	rte_rawdev_info_get(source->dev_id, &info, sizeof(dma_info));
	return dma_info;
}

/* A paced source ends by its own count: 10 s at 1,000 frames a second are 10,000 frames. One that is
 * timed knows no rate. */
static uint64_t frame_limit(const struct dip_dma_info *info, double seconds)
{
	if (!settings.dma.pace_frames || seconds == 0 || info->timed)
		return 0;
	return (uint64_t)ceil(seconds * settings.main.fps - 1e-6);
}

static struct dip_lcore_conf lcore_conf(const struct command *command)
{
	bool busy = strcmp(settings.lcores.idle, "busy") == 0 ||
		    (strcmp(settings.lcores.idle, "auto") == 0 && command->eal_argc > 0);

	return (struct dip_lcore_conf){.idle = busy ? DIP_IDLE_BUSY : DIP_IDLE_SLEEP,
		.sleep_max_us = settings.lcores.sleep_max_us};
}

static void say_start(const struct pipeline *p)
{
	struct dip_sites_span span;
	unsigned int id;

	dip_sites_span(&p->sites, &span);
	fprintf(stderr,
		"dma-image-processor: %" PRIu32 " x %" PRIu32
		" pixels, %u sites, detector %s (%s), T = %" PRId64,
		p->info.width, p->info.height, p->detector->sites, p->detector->ops->name,
		p->detector->kernel, span.threshold_min);
	if (span.threshold_max != span.threshold_min)
		fprintf(stderr, " to %" PRId64, span.threshold_max);
	if (isfinite(span.false_positive) && isfinite(span.false_negative))
		fprintf(stderr, ", FP = %.4g, FN = %.4g", span.false_positive, span.false_negative);
	fprintf(stderr, "\n");
	if (p->info.engine[0] != '\0')
		fprintf(stderr, "dma-image-processor: copy engine %s\n", p->info.engine);
	fprintf(stderr, "dma-image-processor: lcores:");
	RTE_LCORE_FOREACH(id)
	fprintf(stderr, " %u=%s", id, dip_lcore_roles(id)[0] != '\0' ? dip_lcore_roles(id) : "-");
	fprintf(stderr, "\n");
	if (settings.proc.worker_threads > p->placement.processors)
		fprintf(stderr,
			"dma-image-processor: proc.worker_threads = %" PRId64
			": there are lcores for %u\n",
			settings.proc.worker_threads, p->placement.processors);
}

/* What makes a run that came to its end a failure. */
static int judge(const struct pipeline *p, const struct control *control, int lcore_error)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	int source_error = pipeline_source_error(p);
	bool failed = control->unbalanced;

	summary_ledger(accounts);
	if (!ledger_balanced(accounts)) {
		fprintf(stderr, "dma-image-processor: the ledger does not balance\n");
		failed = true;
	}
	if (source_error != 0) {
		fprintf(stderr, "dma-image-processor: %s: the device has failed: %s\n",
			summary.device, strerror(source_error));
		failed = true;
	}
	if (lcore_error < 0) {
		fprintf(stderr, "dma-image-processor: a poller did not start: %s\n",
			strerror(-lcore_error));
		failed = true;
	}
	failed |= dip_metric_value("arch_io_errors") > 0 ||
		  dip_metric_value("arch_segment_errors") > 0 ||
		  dip_metric_value("arch_condemned") > 0 ||
		  dip_metric_value("results_io_errors") > 0 ||
		  dip_metric_value("results_removed") > 0;
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static int run(struct pipeline *p, const struct command *command, double seconds)
{
	struct dip_lcore_conf conf = lcore_conf(command);
	struct control control;
	struct dip_poller poller = control_poller(&control);
	struct dip_error err = {0};
	int ret, joined;

	control_init(&control, p, command, settings.main.drain_queues, seconds);
	ret = dip_lcore_add(rte_get_main_lcore(), &poller);
	if (ret == 0)
		ret = pipeline_start(p, &err);
	if (ret < 0) {
		complain(&err);
		return EXIT_FAILED;
	}
	say_start(p);
	stats_file_start(&p->outputs, &settings);
	ret = dip_lcores_launch(&conf);
	if (ret == 0)
		ret = dip_lcores_run_main(&conf);
	dip_lcores_halt();
	joined = dip_lcores_join();
	stats_file_stop();
	if (ret == 0)
		ret = joined;
	outputs_close(&p->outputs);
	summary_detach(p);
	return judge(p, &control, ret);
}

static int print_report(const struct command *command, int status)
{
	if (command->json)
		report_json(stdout, &settings);
	else
		report_text(stdout);
	return fflush(stdout) != 0 && status == EXIT_DONE ? EXIT_FAILED : status;
}

static int run_device(const struct command *command, const struct source *source)
{
	struct dip_dma_info info = info_of(source);
	double seconds = run_seconds(command, settings.dma.loop_frames || info.frames == 0);
	static struct pipeline pipeline;
	struct dip_error err = {0};
	int status;

	if (pipeline_create(
		    &pipeline, &settings, source->dev_id, frame_limit(&info, seconds), &err) < 0)
		return complain(&err);
	if (command->eal_argc == 0 && pipeline.archiver != NULL)
		dip_lcore_share_cpu(pipeline.placement.archive);
	summary_attach(&pipeline, source->name);
	status = run(&pipeline, command, seconds);
	if (pipeline.started) {
		summary.exit_status = status;
		stats_file_finish(&pipeline.outputs);
		status = print_report(command, status);
	}
	pipeline_free(&pipeline);
	if (!pipeline.started)
		outputs_remove(&pipeline.outputs);
	return status;
}

int main(int argc, char **argv)
{
	struct dip_error err = {0};
	struct command command;
	struct source source;
	size_t frame_bytes;
	int status;

	/* The settings are never freed: telemetry's threads may read them to the very end. */
	if (parse_command(argc, argv, &command, &settings, &err) < 0 ||
		check_settings(&command, &settings, &err) < 0)
		return complain(&err);
	if (command.action != RUN)
		return inform(&command);
	control_catch_signals();
	if (source_examine(&command, &settings, &source, &frame_bytes, &err) < 0) {
		source_close(&source);
		return complain(&err);
	}
	telemetry_register(&settings);
	if (launch_eal(&command, &settings, frame_bytes, &err) < 0) {
		source_close(&source);
		return complain(&err);
	}
	if (source_open(&command, &source, &err) == 0)
		status = run_device(&command, &source);
	else
		status = complain(&err);
	source_close(&source);
	rte_eal_cleanup();
	return status;
}
