/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* EAL, started once for each test program: a main lcore and EAL_WORKERS workers on the CPUs there
 * are, ordinary memory, or hugepages when the environment says DIP_MEMORY=huge. A program that
 * needs more memory defines EAL_MEGABYTES first. */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_log.h>

#ifndef EAL_MEGABYTES
#define EAL_MEGABYTES "128"
#endif
#define EAL_WORKERS 4

static inline bool eal_huge(void)
{
	const char *memory = getenv("DIP_MEMORY");

	return memory != NULL && strcmp(memory, "huge") == 0;
}

/* Lcore 0 is the main one; lcores 1, 2, ... take turns on the CPUs. */
static inline void eal_lcores(char *text, size_t size)
{
	unsigned int cpus[CPU_SETSIZE], n = 0;
	size_t used = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = cpu;
	for (unsigned int i = 0; i <= EAL_WORKERS; i++)
		used += snprintf(
			text + used, size - used, "%s%u@%u", i > 0 ? "," : "", i, cpus[i % n]);
}

static inline int eal_start(void **state)
{
	static char lcores[128], prefix[64];
	char *ordinary[] = {"test", "--lcores", lcores, "--no-pci", "--iova-mode=va",
		"--no-telemetry", "--no-huge", "-m", EAL_MEGABYTES, "--no-shconf", "--file-prefix",
		prefix};
	char *huge[] = {"test", "--lcores", lcores, "--no-pci", "--iova-mode=va", "--no-telemetry",
		"--in-memory"};

	(void)state;
	eal_lcores(lcores, sizeof(lcores));
	snprintf(prefix, sizeof(prefix), "dip_unit_%d", (int)getpid());
	if (eal_huge())
		return rte_eal_init(sizeof(huge) / sizeof(huge[0]), huge) < 0 ? -1 : 0;
	return rte_eal_init(sizeof(ordinary) / sizeof(ordinary[0]), ordinary) < 0 ? -1 : 0;
}

static inline int eal_stop(void **state)
{
	(void)state;
	return rte_eal_cleanup();
}

/* What is logged from eal_log_begin on, until eal_log_end, which returns it, to be freed. */
static struct {
	FILE *file;
	char *text;
	size_t bytes;
} eal_log;

static inline void eal_log_begin(void)
{
	eal_log.file = open_memstream(&eal_log.text, &eal_log.bytes);
	assert_non_null(eal_log.file);
	rte_openlog_stream(eal_log.file);
}

static inline char *eal_log_end(void)
{
	rte_openlog_stream(NULL);
	fclose(eal_log.file);
	return eal_log.text;
}

/* How often the word is in the text. */
static inline unsigned int count_of(const char *text, const char *word)
{
	unsigned int n = 0;

	for (; (text = strstr(text, word)) != NULL; text += strlen(word))
		n++;
	return n;
}
