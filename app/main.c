/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include <rte_common.h>
#include <rte_eal.h>

#include "check.h"
#include "control.h"
#include "dma/source.h"
#include "launch.h"
#include "memory.h"
#include "run.h"
#include "source.h"
#include "telemetry.h"

static struct settings settings; /* static: telemetry reads it to the very end */

/* What the source takes of memory, as far as its frames are known. */
static void print_memory(size_t image_bytes, unsigned int sources)
{
	struct memory_plan plan;

	if (image_bytes == 0)
		return;
	/* As many lanes as are asked for, whatever this machine has CPUs for. */
	memory_plan(&settings, image_bytes,
		settings.proc.worker_threads > 0
			? settings.proc.worker_threads
			: (launch_workers(&settings, sources) + sources - 1) / sources,
		&plan);
	memory_print(&plan, stdout);
}

/* The effective settings, and what each source takes of memory: frames are those of the sources given,
 * else of main.image_w and image_h. */
static int check_config(const struct command *command)
{
	static struct sources sources;
	struct dip_error err = {0};
	size_t bytes[DIP_SOURCES] = {
		(size_t)settings.main.image_w * settings.main.image_h * sizeof(uint16_t)};
	int ret = sources_examine(command, &settings, &sources, bytes, &err);

	if (ret < 0) {
		sources_close(&sources);
		return complain(&err);
	}
	dip_config_print(&option_table, &settings, stdout);
	for (unsigned int i = 0; i < RTE_MAX(sources.count, 1u); i++) {
		if (sources.count > 1)
			source_print(command, i, &settings, stdout);
		print_memory(bytes[i], RTE_MAX(sources.count, 1u));
	}
	sources_close(&sources);
	return stdout_taken() ? EXIT_DONE : EXIT_FAILED;
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
	return stdout_taken() ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct dip_error err = {0};
	struct command command;
	static struct sources sources;
	size_t frame_bytes[DIP_SOURCES];
	int status;

	/* The settings are never freed: telemetry's threads may read them to the very end. */
	if (parse_command(argc, argv, &command, &settings, &err) < 0 ||
		check_settings(&command, &settings, &err) < 0)
		return complain(&err);
	if (command.action != RUN)
		return inform(&command);
	control_catch_signals();
	if (sources_examine(&command, &settings, &sources, frame_bytes, &err) < 0) {
		sources_close(&sources);
		return complain(&err);
	}
	telemetry_register(&settings);
	if (launch_eal(&command, &settings, frame_bytes, sources.count, &err) < 0) {
		sources_close(&sources);
		return complain(&err);
	}
	if (sources_open(&command, &sources, &err) == 0)
		status = run_sources(&command, &settings, &sources);
	else
		status = complain(&err);
	sources_close(&sources);
	rte_eal_cleanup();
	return status;
}
