/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>

#include <rte_lcore.h>

#include "affinity.h"

/* The CPUs of lcores that take or decide frames. */
static void find_taken(const struct pipeline *pipelines, unsigned int count, cpu_set_t *taken)
{
	CPU_ZERO(taken);
	for (unsigned int i = 0; i < count; i++) {
		const struct placement *at = &pipelines[i].placement;

		for (unsigned int j = 0; j < at->lanes; j++) {
			cpu_set_t cpus = rte_lcore_cpuset(at->ingest[j]);

			CPU_OR(taken, taken, &cpus);
		}
		for (unsigned int j = 0; j < at->processors; j++) {
			cpu_set_t cpus = rte_lcore_cpuset(at->process[j]);

			CPU_OR(taken, taken, &cpus);
		}
	}
}

static void spare(pid_t thread, const cpu_set_t *taken)
{
	cpu_set_t may, both;

	if (sched_getaffinity(thread, sizeof(may), &may) < 0)
		return; /* it has ended */
	CPU_AND(&both, &may, taken);
	if (CPU_COUNT(&both) == 0 || CPU_EQUAL(&both, &may))
		return;
	CPU_XOR(&may, &may, &both);
	sched_setaffinity(thread, sizeof(may), &may);
}

void affinity_spare(const struct pipeline *pipelines, unsigned int count)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;
	cpu_set_t taken;

	if (threads == NULL)
		return; /* no /proc: they go where the scheduler puts them */
	find_taken(pipelines, count, &taken);
	while ((entry = readdir(threads)) != NULL)
		if (entry->d_name[0] != '.')
			spare(atoi(entry->d_name), &taken);
	closedir(threads);
}
