/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "launch.h"
#include "memory.h"
#include "telemetry_group.h"

#define MIB (1 << 20)
/* Without hugepages all memory is mapped at the start, and what is not touched costs nothing. */
#define SPARE_MIB 64
/* Chosen lcores that process for a source, when the user says nothing: beyond that the source is the
 * limit. */
#define PROCESSORS_AUTO 4

struct arguments {
	char *argv[32];
	int argc;
	char lcores[4096];
	char megabytes[32];
	unsigned int workers; /* that may ingest and process */
};

/* --- CPUs --- */

static unsigned int allowed_cpus(unsigned int *cpus, unsigned int max)
{
	unsigned int n = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 0;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && n < max; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = cpu;
	return n;
}

/* The CPU that dma.cpu_affinity asks for comes first: the first worker is the first to ingest. */
static int put_first(
	unsigned int *cpus, unsigned int n, const struct settings *settings, struct dip_error *err)
{
	int64_t wanted = settings->dma.cpu_affinity;

	if (wanted < 0)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		if (cpus[i] != wanted)
			continue;
		memmove(&cpus[1], &cpus[0], i * sizeof(cpus[0]));
		cpus[0] = wanted;
		return 0;
	}
	return dip_fail(err, EINVAL,
		"dma.cpu_affinity = %" PRId64
		": this process may not use that CPU; expected one of its "
		"own (taskset -p $$ shows them), or -1",
		wanted);
}

static unsigned int workers_on(
	const struct settings *settings, unsigned int sources, unsigned int cpus)
{
	bool split = strcmp(settings->lcores.layout, "split") == 0;
	unsigned int wanted = settings->proc.worker_threads > 0
				      ? settings->proc.worker_threads + split
				      : PROCESSORS_AUTO;

	return RTE_MIN(wanted * sources, cpus);
}

unsigned int launch_workers(const struct settings *settings, unsigned int sources)
{
	unsigned int cpus[CPU_SETSIZE],
		n = workers_on(settings, sources, allowed_cpus(cpus, CPU_SETSIZE));

	return n > 0 ? n : 1;
}

/* "0@(0,1),1@0,2@1,3@(0,1)": main floats, workers 1.. are pinned, the last ones, for the archives of
 * the sources, float as well: they sleep most of the time and must not take a CPU from a processor. */
static int choose_lcores(struct arguments *a, const struct settings *settings, unsigned int sources,
	struct dip_error *err)
{
	unsigned int cpus[CPU_SETSIZE], n = allowed_cpus(cpus, CPU_SETSIZE), workers, used = 0;
	size_t size = sizeof(a->lcores);
	char *text = a->lcores;
	char all[2048] = "(";

	if (put_first(cpus, n, settings, err) < 0)
		return -EINVAL;
	workers = workers_on(settings, sources, n);
	for (unsigned int i = 0, at = 1; i < n && at < sizeof(all) - 8; i++)
		at += sprintf(all + at, "%u%c", cpus[i], i + 1 < n ? ',' : ')');
	used = snprintf(text, size, "0@%s", all);
	for (unsigned int i = 0; i < workers; i++)
		used += snprintf(text + used, size - used, ",%u@%u", i + 1, cpus[i]);
	for (unsigned int i = 0; settings->main.nth_archive > 0 && i < sources && used < size; i++)
		used += snprintf(text + used, size - used, ",%u@%s", workers + 1 + i, all);
	a->workers = workers;
	return used < size ? 0 : dip_fail(err, E2BIG, "too many CPUs; give EAL arguments yourself");
}

/* --- memory --- */

static size_t read_number(const char *path)
{
	unsigned long value = 0;
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static size_t free_hugepage_bytes(void)
{
	const char *base = "/sys/kernel/mm/hugepages";
	DIR *dir = opendir(base);
	struct dirent *entry;
	size_t bytes = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		char path[512];
		unsigned long kib;

		if (sscanf(entry->d_name, "hugepages-%lukB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", base, entry->d_name);
		bytes += read_number(path) * kib * 1024;
	}
	closedir(dir);
	return bytes;
}

static size_t available_bytes(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (f == NULL)
		return SIZE_MAX;
	while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "MemAvailable: %lu", &kib) != 1)
		;
	fclose(f);
	return kib > 0 ? kib * 1024 : SIZE_MAX;
}

/* --- EAL --- */

static void add(struct arguments *a, const char *text)
{
	a->argv[a->argc++] = (char *)text;
}

static int choose_memory(struct arguments *a, const struct settings *settings,
	const size_t *image_bytes, unsigned int sources, struct dip_error *err)
{
	/* Each source has its part of the workers, or shares one. */
	unsigned int lanes = a->workers > sources ? (a->workers + sources - 1) / sources : 1;
	size_t needed = 0, largest = 0;

	for (unsigned int i = 0; i < sources; i++) {
		struct memory_plan plan;

		memory_plan(settings, image_bytes[i], lanes, &plan);
		needed += plan.total_bytes;
		largest = RTE_MAX(largest, plan.slab_bytes);
	}
	if (free_hugepage_bytes() >= needed) {
		add(a, "--in-memory");
		return 0;
	}
	if (available_bytes() < needed)
		return dip_fail(err, ENOMEM,
			"main.slabs = %" PRId64
			": needs %zu bytes (slabs of %zu bytes), found %zu bytes "
			"available; expected fewer slabs",
			settings->main.slabs, needed, largest, available_bytes());
	snprintf(a->megabytes, sizeof(a->megabytes), "%zu", needed / MIB + SPARE_MIB);
	add(a, "--no-huge");
	add(a, "--no-shconf");
	add(a, "-m");
	add(a, a->megabytes);
	return 0;
}

static int choose_arguments(struct arguments *a, const struct settings *settings,
	const size_t *image_bytes, unsigned int sources, struct dip_error *err)
{
	a->argc = 0;
	add(a, "dma-image-processor");
	add(a, "--lcores");
	add(a, a->lcores);
	add(a, "--main-lcore");
	add(a, "0");
	add(a, "--no-pci");
	add(a, "--iova-mode=va");
	/* Telemetry warns at each start that it lacks what nobody asked for. */
	add(a, "--log-level=lib.eal:warning");
	add(a, "--log-level=lib.telemetry:error");
	if (choose_lcores(a, settings, sources, err) < 0)
		return -EINVAL;
	return choose_memory(a, settings, image_bytes, sources, err);
}

static void say_choice(const struct arguments *a)
{
	fprintf(stderr, "dma-image-processor: EAL arguments chosen:");
	for (int i = 1; i < a->argc; i++)
		fprintf(stderr, " %s", a->argv[i]);
	fprintf(stderr, "\n");
}

/* Without a folder of its own EAL puts telemetry's socket where no tool looks for it. */
static void say_run_folder(void)
{
	if (rte_eal_get_runtime_dir()[0] != '\0')
		return;
	fprintf(stderr,
		"dma-image-processor: EAL could not make its run folder: telemetry is at "
		"/tmp/dpdk_telemetry.v2; expected %s that can be written to\n",
		getuid() == 0 ? "a /var/run/dpdk" : "XDG_RUNTIME_DIR to name a folder");
}

int launch_eal(const struct command *command, const struct settings *settings,
	const size_t *image_bytes, unsigned int sources, struct dip_error *err)
{
	static struct arguments chosen; /* EAL keeps pointers into it */
	int argc = command->eal_argc;
	char **argv = command->eal_argv;

	if (argc == 0) {
		int ret = choose_arguments(&chosen, settings, image_bytes, sources, err);

		if (ret < 0)
			return ret;
		say_choice(&chosen);
		argc = chosen.argc;
		argv = chosen.argv;
	}
	rte_errno = 0;
	if (rte_eal_init(argc, argv) < 0) {
		int code = rte_errno != 0 ? rte_errno : EIO; /* it does not always say */

		return dip_fail(err, code,
			"EAL does not start: %s; its own lines above say what it needs, "
			"scripts/doctor what the machine lacks",
			rte_strerror(code));
	}
	say_run_folder();
	if (telemetry_group_admit(settings->main.telemetry_group, err) < 0) {
		rte_eal_cleanup();
		return -EINVAL;
	}
	return 0;
}
