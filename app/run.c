/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_rawdev.h>

#include "frame/check.h"
#include "affinity.h"
#include "control.h"
#include "pipeline.h"
#include "report.h"
#include "run.h"
#include "stats_file.h"
#include "summary.h"

#define SECONDS_DEFAULT 5.0

/* Everything of a run. */
struct run {
	const struct command *command;
	const struct settings *settings;
	unsigned int count; /* sources */
	struct pipeline pipeline[DIP_SOURCES];
	struct stats_file stats[DIP_SOURCES];
	const char *name[DIP_SOURCES]; /* of each source's device */
	bool started;
};

int complain(const struct dip_error *err)
{
	if (err->text[0] != '\0')
		fprintf(stderr, "dma-image-processor: %s\n", err->text);
	return EXIT_USAGE;
}

bool stdout_taken(void)
{
	bool flushed = fflush(stdout) == 0;

	if (flushed && !ferror(stdout))
		return true;
	fprintf(stderr, "dma-image-processor: stdout: %s; what was printed there is not complete\n",
		flushed ? "a write has failed" : strerror(errno));
	return false;
}

static struct dip_dma_info info_of(const struct source *source)
{
	struct dip_dma_info dma_info = {0};
	struct rte_rawdev_info info = {.dev_private = &dma_info};

	rte_rawdev_info_get(source->dev_id, &info, sizeof(dma_info));
	return dma_info;
}

/* Seconds of the run, 0 for no end: one source without an end is enough for a default. */
static double run_seconds(const struct run *run, const struct sources *sources)
{
	bool endless = run->settings->dma.loop_frames;

	if (run->command->has_seconds)
		return run->command->seconds;
	for (unsigned int i = 0; i < sources->count; i++)
		endless |= info_of(&sources->of[i]).frames == 0;
	return endless ? SECONDS_DEFAULT : 0;
}

/* A paced source ends by its own count: 10 s at 1,000 frames a second are 10,000 frames. One that is
 * timed knows no rate. */
static uint64_t frame_limit(
	const struct settings *s, const struct dip_dma_info *info, double seconds)
{
	if (!s->dma.pace_frames || seconds == 0 || info->timed)
		return 0;
	return (uint64_t)ceil(seconds * s->main.fps - 1e-6);
}

static struct dip_lcore_conf lcore_conf(const struct run *run)
{
	const struct settings *s = run->settings;
	bool busy = strcmp(s->lcores.idle, "busy") == 0 ||
		    (strcmp(s->lcores.idle, "auto") == 0 && run->command->eal_argc > 0);

	return (struct dip_lcore_conf){.idle = busy ? DIP_IDLE_BUSY : DIP_IDLE_SLEEP,
		.sleep_max_us = s->lcores.sleep_max_us};
}

/* A line of one source; its name is in it where there are others. */
static __attribute__((format(printf, 3, 4))) void say(
	const struct run *run, const char *device, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "dma-image-processor: ");
	if (run->count > 1)
		fprintf(stderr, "%s: ", device);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
}

/* --- what is said at the start --- */

static void say_lcores(const char *role, const unsigned int *lcore, unsigned int n)
{
	fprintf(stderr, " %s", role);
	for (unsigned int i = 0; i < n; i++)
		fprintf(stderr, "%c%u", i == 0 ? ' ' : ',', lcore[i]);
}

static void say_source(const struct run *run, const struct pipeline *p)
{
	const struct placement *at = &p->placement;
	struct dip_sites_span span;

	dip_sites_span(&p->sites, &span);
	fprintf(stderr, "dma-image-processor: ");
	if (run->count > 1)
		fprintf(stderr, "%s: ", p->device);
	fprintf(stderr,
		"%" PRIu32 " x %" PRIu32 " pixels, %u sites, detector %s (%s), T = %" PRId64,
		p->info.width, p->info.height, p->detector->sites, p->detector->ops->name,
		p->detector->kernel, span.threshold_min);
	if (span.threshold_max != span.threshold_min)
		fprintf(stderr, " to %" PRId64, span.threshold_max);
	if (isfinite(span.false_positive) && isfinite(span.false_negative))
		fprintf(stderr, ", FP = %.4g, FN = %.4g", span.false_positive, span.false_negative);
	if (run->count > 1) {
		fprintf(stderr, "; lcores:");
		say_lcores("ingest", at->ingest, at->lanes);
		say_lcores("process", at->process, at->processors);
		if (p->archiver != NULL)
			say_lcores("archive", &at->archive, 1);
		if (p->results != NULL)
			say_lcores("results", &at->results, 1);
	}
	fprintf(stderr, "\n");
}

static void say_start(const struct run *run)
{
	int64_t wanted = run->settings->proc.worker_threads;
	unsigned int id;

	for (unsigned int i = 0; i < run->count; i++) {
		const struct pipeline *p = &run->pipeline[i];

		say_source(run, p);
		if (p->info.engine[0] != '\0')
			say(run, p->device, "copy engine %s", p->info.engine);
	}
	fprintf(stderr, "dma-image-processor: lcores:");
	RTE_LCORE_FOREACH(id)
	fprintf(stderr, " %u=%s", id, dip_lcore_roles(id)[0] != '\0' ? dip_lcore_roles(id) : "-");
	fprintf(stderr, "\n");
	for (unsigned int i = 0; i < run->count; i++) {
		const struct pipeline *p = &run->pipeline[i];

		if (wanted > p->placement.processors)
			say(run, p->device,
				"proc.worker_threads = %" PRId64 ": there are lcores for %u",
				wanted, p->placement.processors);
	}
}

/* --- how it went --- */

static bool has_errors(unsigned int source)
{
	static const char *const errors[] = {"arch_io_errors", "arch_segment_errors",
		"arch_condemned", "results_io_errors", "results_removed"};

	for (unsigned int i = 0; i < RTE_DIM(errors); i++)
		if (dip_metric_of(source, errors[i]) > 0)
			return true;
	/* Counted by lcore, whosever frame it was. */
	return dip_frames_changed();
}

/* What makes a source's run that came to its end a failure. */
static int judge(const struct run *run, unsigned int i, const struct control *control)
{
	const char *name = summaries[i].device;
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	struct pool_figures pool = summary_pool(&summaries[i]);
	int source_error = pipeline_source_error(&run->pipeline[i]);
	bool failed = control->of[i].unbalanced;

	summary_ledger(&summaries[i], accounts);
	if (!ledger_balanced(accounts)) {
		say(run, name, "the ledger does not balance");
		failed = true;
	}
	if (pool.available != pool.slabs) {
		say(run, name, "%" PRIu64 " of %" PRIu64 " slabs are free at the end, expected all",
			pool.available, pool.slabs);
		failed = true;
	}
	if (source_error != 0) {
		fprintf(stderr, "dma-image-processor: %s: the device has failed: %s\n", name,
			strerror(source_error));
		failed = true;
	}
	return failed || has_errors(i) ? EXIT_FAILED : EXIT_DONE;
}

/* Of all: each source's is in its summary. lcore_error: of a poller that did not start. */
static int judge_all(struct run *run, const struct control *control, int lcore_error)
{
	int status = EXIT_DONE;

	if (lcore_error < 0) {
		fprintf(stderr, "dma-image-processor: a poller did not start: %s\n",
			strerror(-lcore_error));
		status = EXIT_FAILED;
	}
	for (unsigned int i = 0; i < run->count; i++) {
		summaries[i].exit_status =
			RTE_MAX(judge(run, i, control), lcore_error < 0 ? EXIT_FAILED : EXIT_DONE);
		status = RTE_MAX(status, summaries[i].exit_status);
	}
	return status;
}

static int print_report(const struct run *run, int status)
{
	if (run->command->json)
		report_json(stdout, run->settings, status);
	else
		report_text(stdout);
	return stdout_taken() ? status : EXIT_FAILED;
}

/* --- the run --- */

/* Telemetry may ask from summary_attach on: what does not change in a run is there before it. */
static int start_all(
	struct run *run, struct control *control, double seconds, struct dip_error *err)
{
	struct dip_poller poller = control_poller(control);
	int ret = dip_lcore_add(rte_get_main_lcore(), &poller);

	for (unsigned int i = 0; ret == 0 && i < run->count; i++)
		ret = pipeline_place(&run->pipeline[i], err);
	if (ret < 0)
		return ret;
	summary_attach(run->pipeline, run->name, run->count);
	control_init(control, run->pipeline, run->count, run->command, seconds);
	for (unsigned int i = 0; ret == 0 && i < run->count; i++)
		ret = pipeline_start(&run->pipeline[i], err);
	run->started = ret == 0;
	return ret;
}

static int go(struct run *run, double seconds)
{
	struct dip_lcore_conf conf = lcore_conf(run);
	static struct control control;
	struct dip_error err = {0};
	int ret, joined;

	if (start_all(run, &control, seconds, &err) < 0) {
		complain(&err);
		return EXIT_FAILED;
	}
	say_start(run);
	for (unsigned int i = 0; i < run->count; i++)
		stats_file_start(
			&run->stats[i], &summaries[i], &run->pipeline[i].outputs, run->settings);
	if (conf.idle == DIP_IDLE_BUSY)
		affinity_spare(run->pipeline, run->count);
	ret = dip_lcores_launch(&conf);
	if (ret == 0)
		ret = dip_lcores_run_main();
	dip_lcores_halt();
	joined = dip_lcores_join();
	for (unsigned int i = 0; i < run->count; i++) {
		stats_file_stop(&run->stats[i]);
		outputs_close(&run->pipeline[i].outputs);
		summary_detach(&run->pipeline[i]);
	}
	return judge_all(run, &control, ret != 0 ? ret : joined);
}

static int create(
	struct run *run, const struct sources *sources, double seconds, struct dip_error *err)
{
	struct pipeline_conf conf[DIP_SOURCES];

	for (unsigned int i = 0; i < run->count; i++) {
		const struct source *source = &sources->of[i];
		struct dip_dma_info info = info_of(source);

		run->name[i] = source->name;
		conf[i] = (struct pipeline_conf){.device = source->name,
			.dev_id = source->dev_id,
			.limit = frame_limit(run->settings, &info, seconds),
			.archive_lcore =
				run->command->eal_argc == 0 && run->settings->main.nth_archive > 0};
	}
	if (pipelines_create(run->pipeline, run->settings, conf, run->count, err) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < run->count; i++)
		if (run->command->eal_argc == 0 && run->pipeline[i].archiver != NULL)
			dip_lcore_share_cpu(run->pipeline[i].placement.archive);
	return 0;
}

int run_sources(const struct command *command, const struct settings *settings,
	const struct sources *sources)
{
	static struct run run; /* telemetry reads the sites to the very end */
	struct dip_error err = {0};
	double seconds;
	int status;

	run.command = command;
	run.settings = settings;
	run.count = sources->count;
	seconds = run_seconds(&run, sources);
	if (create(&run, sources, seconds, &err) < 0)
		return complain(&err);
	status = go(&run, seconds);
	for (unsigned int i = 0; run.started && i < run.count; i++)
		stats_file_finish(&run.stats[i]);
	if (run.started)
		status = print_report(&run, status);
	for (unsigned int i = run.count; i > 0; i--) {
		pipeline_free(&run.pipeline[i - 1]);
		if (!run.started)
			outputs_remove(&run.pipeline[i - 1].outputs);
	}
	return status;
}
