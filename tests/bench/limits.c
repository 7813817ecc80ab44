/* SPDX-License-Identifier: BSD-3-Clause */

/* Limits of the machine, each for that many seconds on one CPU; the hop between that and another.
 * Usage: limits read|copy|gaps SECONDS CPU, or limits hop SECONDS CPU CPU
 *
 *	read  bytes a second of a linear read of memory that is in no cache
 *	copy  bytes a second of a copy from such memory into one slab that stays in a cache
 *	gaps  an event each millisecond: how late a loop that only reads the clock sees it
 *	hop   a descriptor through an rte_ring to another core and back, half of that time */

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_pause.h>
#include <rte_ring.h>

#include "metrics/histogram.h"

#define HUGE ((size_t)2 << 20)
#define STORE ((size_t)512 << 20) /* more than any cache holds */
#define SLAB 180000
#define EVENT_NS 1000000
#define RING 64
#define HOPS 1000 /* between two looks at the clock */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *reserve(size_t bytes)
{
	uint8_t *p =
		mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("limits: mmap");
		exit(1);
	}
	madvise(p, bytes + HUGE, MADV_HUGEPAGE);
	memset(p, 1, bytes);
	return p;
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		perror("limits: CPU");
		exit(2);
	}
}

static uint64_t add_up(const uint64_t *from, size_t bytes)
{
	uint64_t sum[8] = {0};

	for (size_t i = 0; i < bytes / 8; i += 8)
		for (unsigned int k = 0; k < 8; k++)
			sum[k] += from[i + k];
	return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static void measure_memory(double seconds, bool copy)
{
	uint8_t *store = reserve(STORE), *slab = reserve(SLAB);
	volatile uint64_t sink = 0;
	double begin = now(), elapsed;
	size_t at = 0;
	uint64_t n = 0;

	do {
		for (unsigned int i = 0; i < 64; i++, n++) {
			if (copy)
				memcpy(slab, store + at, SLAB);
			else
				sink += add_up((uint64_t *)(store + at), SLAB);
			__asm__ volatile("" : : "r"(slab) : "memory");
			at = at + 2 * SLAB < STORE ? at + SLAB : 0;
		}
		elapsed = now() - begin;
	} while (elapsed < seconds);
	printf("{\"gbps\": %.4f, \"us_a_frame\": %.4f}\n", n * SLAB / elapsed / 1e9,
		elapsed / n * 1e6);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static void measure_gaps(double seconds)
{
	static struct dip_histogram late;
	struct dip_histogram_summary summary;
	uint64_t due = now_ns() + EVENT_NS, end = due + seconds * 1e9;

	while (due < end) {
		uint64_t seen = now_ns();

		for (; due <= seen; due += EVENT_NS)
			dip_histogram_record(&late, seen - due);
	}
	dip_histogram_summarise(&late, NULL, 1, &summary);
	printf("{\"p50_ns\": %lu, \"p99_ns\": %lu, \"p999_ns\": %lu, \"max_ns\": %lu}\n",
		(unsigned long)summary.p50, (unsigned long)summary.p99, (unsigned long)summary.p999,
		(unsigned long)summary.max);
}

static struct {
	struct rte_ring *there, *back;
	int cpu;
	bool quit; /* atomic */
} hop;

static void *echo(void *arg)
{
	void *what;

	pin(hop.cpu);
	while (!__atomic_load_n(&hop.quit, __ATOMIC_RELAXED))
		if (rte_ring_sc_dequeue(hop.there, &what) == 0)
			rte_ring_sp_enqueue(hop.back, what);
	return arg;
}

static struct rte_ring *make_ring(const char *name)
{
	struct rte_ring *ring = aligned_alloc(4096, 4096);

	if (ring == NULL || rte_ring_init(ring, name, RING, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0) {
		fprintf(stderr, "limits: no ring\n");
		exit(1);
	}
	return ring;
}

static void measure_hop(double seconds, int cpu)
{
	double begin, elapsed;
	pthread_t thread;
	uint64_t n = 0;
	void *what;

	hop.there = make_ring("there");
	hop.back = make_ring("back");
	hop.cpu = cpu;
	pthread_create(&thread, NULL, echo, NULL);
	begin = now();
	do {
		for (unsigned int i = 0; i < HOPS; i++, n++) {
			rte_ring_sp_enqueue(hop.there, &hop);
			while (rte_ring_sc_dequeue(hop.back, &what) != 0)
				rte_pause();
		}
		elapsed = now() - begin;
	} while (elapsed < seconds);
	__atomic_store_n(&hop.quit, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("{\"ns\": %.2f}\n", elapsed / n / 2 * 1e9);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool two = strcmp(what, "hop") == 0;

	if (argc != (two ? 5 : 4)) {
		fprintf(stderr, "usage: limits read|copy|gaps SECONDS CPU, or hop SECONDS CPU CPU\n");
		return 2;
	}
	pin(atoi(argv[3]));
	if (two)
		measure_hop(atof(argv[2]), atoi(argv[4]));
	else if (strcmp(what, "gaps") == 0)
		measure_gaps(atof(argv[2]));
	else
		measure_memory(atof(argv[2]), strcmp(what, "copy") == 0);
	return 0;
}
