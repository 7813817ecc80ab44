/* SPDX-License-Identifier: BSD-3-Clause */

/* The limit that the pipeline is measured against: one core copies each frame into one slab and
 * decides its sites, and nothing else: no pool, no rings, no results. The frames, the copy and the
 * kernel are the program's.
 * Usage: bare_loop NPY_DIR SECONDS CPU [row_start col_start row_end col_end roi_h roi_w] */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "detect/detector.h"
#include "npy/npy.h"

#define HUGE ((size_t)2 << 20)
#define BATCH 256

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(p, bytes + HUGE, MADV_HUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

static void die(const struct dip_error *err)
{
	fprintf(stderr, "bare_loop: %s\n", err->text);
	exit(2);
}

static uint8_t *load(struct dip_npy_set *set, size_t stride)
{
	uint64_t frames = dip_npy_set_frames(set);
	uint8_t *store = reserve(frames * stride);
	struct dip_error err;

	for (uint64_t i = 0; i < frames; i++)
		if (dip_npy_set_read(set, i, (uint16_t *)(store + i * stride), &err) < 0)
			die(&err);
	return store;
}

static struct dip_detector *make_detector(const struct dip_npy_set *set, const struct dip_grid *grid)
{
	uint32_t width = dip_npy_set_width(set), height = dip_npy_set_height(set);
	struct dip_sites sites;
	struct dip_detector_conf conf = {.width = width,
		.height = height,
		.sites = &sites,
		.kernel = "auto"};
	const struct dip_threshold threshold = {.t = 5};
	struct dip_detector *det;
	struct dip_error err;

	if (dip_sites_grid(grid, width, height, &sites, &err) < 0)
		die(&err);
	dip_sites_poisson(&sites, 0.5, 10, &threshold);
	if (dip_detector_find("patch")->create(&det, &conf, &err) < 0)
		die(&err);
	dip_sites_free(&sites);
	return det;
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		perror("bare_loop: CPU");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct dip_grid grid = {50, 50, 250, 250, 10, 10};
	struct dip_npy_set *set;
	struct dip_detector *det;
	struct dip_error err;
	uint64_t frames = 0, occupied = 0, count;
	double seconds, begin, elapsed;
	size_t bytes, stride;
	uint8_t *store, *slab;
	void *sums;
	uint8_t *bits;

	if (argc != 4 && argc != 10) {
		fprintf(stderr, "usage: bare_loop NPY_DIR SECONDS CPU [row_start col_start row_end "
				"col_end roi_h roi_w]\n");
		return 2;
	}
	if (argc == 10)
		grid = (struct dip_grid){atol(argv[4]), atol(argv[5]), atol(argv[6]), atol(argv[7]),
			atol(argv[8]), atol(argv[9])};
	pin(atoi(argv[3]));
	if (dip_npy_set_open(argv[1], &set, &err) < 0)
		die(&err);
	det = make_detector(set, &grid);
	bytes = (size_t)dip_npy_set_width(set) * dip_npy_set_height(set) * sizeof(uint16_t);
	stride = (bytes + 63) / 64 * 64;
	count = dip_npy_set_frames(set);
	store = load(set, stride);
	slab = reserve(stride);
	sums = reserve(det->sites * dip_detector_sum_bytes(det));
	bits = reserve(dip_occupancy_bytes(det->sites));
	seconds = atof(argv[2]);
	begin = now();
	do {
		for (int i = 0; i < BATCH; i++, frames++) {
			memcpy(slab, store + frames % count * stride, bytes);
			occupied += det->ops->detect(det, (uint16_t *)slab, sums, bits);
		}
		elapsed = now() - begin;
	} while (elapsed < seconds);
	printf("{\"frames\": %lu, \"seconds\": %.6f, \"fps\": %.1f, \"occupied\": %lu}\n",
		(unsigned long)frames, elapsed, frames / elapsed, (unsigned long)occupied);
	dip_npy_set_close(set);
	return 0;
}
