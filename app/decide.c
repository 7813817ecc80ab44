/* SPDX-License-Identifier: BSD-3-Clause */

/* What is decided before anything is built: which frames, which sites and thresholds, which lcore. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_rawdev.h>

#include "build.h"
#include "check.h"

static int ask_source(struct pipeline *p, struct dip_error *err)
{
	struct rte_rawdev_info info = {.dev_private = &p->info};
	int ret = rte_rawdev_info_get(p->dev_id, &info, sizeof(p->info));

	if (ret < 0)
		return dip_fail(
			err, EINVAL, "the device is no DMA source of ours: %s", strerror(-ret));
	p->image_bytes = (size_t)p->info.width * p->info.height * sizeof(uint16_t);
	return check_geometry(p->settings, p->info.width, p->info.height, err);
}

static bool has_maps(const struct settings *s)
{
	return s->pois.offset_map[0] != '\0' || s->pois.gain_map[0] != '\0' ||
	       s->pois.hot_pixels[0] != '\0' || s->pois.pixel_threshold > 0;
}

/* The sites of the file, or those of the grid. */
static int lay_sites(struct pipeline *p, struct dip_error *err)
{
	const struct settings *s = p->settings;
	const struct dip_prior prior = {
		.lambda_empty = s->pois.lambda_empty,
		.lambda_occ = s->pois.lambda_occ,
		.fill = s->pois.fill,
		.fp_target = s->pois.fp_target,
		.max_k = s->pois.max_k,
	};
	const struct dip_grid grid = {
		.row_start = s->pois.row_start,
		.col_start = s->pois.col_start,
		.row_end = s->pois.row_end,
		.col_end = s->pois.col_end,
		.roi_h = s->pois.roi_h,
		.roi_w = s->pois.roi_w,
	};
	const struct dip_sites_conf conf = {.file = s->pois.sites,
		.width = p->info.width,
		.height = p->info.height,
		.prior = &prior,
		.plain = !has_maps(s)};
	struct dip_threshold threshold;
	int ret;

	if (s->pois.sites[0] != '\0')
		return dip_sites_load(&conf, &p->sites, err);
	ret = dip_threshold_poisson(&prior, "pois.", &threshold, err);
	if (ret == 0)
		ret = dip_sites_grid(&grid, p->info.width, p->info.height, &p->sites, err);
	if (ret == 0)
		dip_sites_poisson(&p->sites, prior.lambda_empty, prior.lambda_occ, &threshold);
	return ret;
}

int build_decision(struct pipeline *p, struct dip_error *err)
{
	const struct settings *s = p->settings;
	const struct dip_detector_ops *ops = dip_detector_find(s->proc.detector);
	struct dip_pixels pixels = {0};
	struct dip_detector_conf conf = {
		.sites = &p->sites, .pixels = &pixels, .kernel = s->proc.kernel};
	struct dip_pixels_conf maps = {.offset_map = s->pois.offset_map,
		.gain_map = s->pois.gain_map,
		.hot_pixels = s->pois.hot_pixels,
		.least = s->pois.pixel_threshold};
	int ret = ask_source(p, err);

	if (ret == 0)
		ret = lay_sites(p, err);
	conf.width = maps.width = p->info.width;
	conf.height = maps.height = p->info.height;
	if (ret == 0)
		ret = dip_pixels_load(&maps, &pixels, err);
	if (ret == 0)
		ret = ops->create(&p->detector, &conf, err);
	dip_pixels_free(&pixels);
	return ret;
}

static bool pinned_to(unsigned int lcore, int64_t cpu)
{
	rte_cpuset_t set = rte_lcore_cpuset(lcore);

	return cpu >= 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set);
}

/* Workers in the order of their use: the one on dma.cpu_affinity's CPU first. */
static int list_workers(
	const struct settings *s, unsigned int *workers, unsigned int *count, struct dip_error *err)
{
	int64_t cpu = s->dma.cpu_affinity;
	bool found = cpu < 0;
	unsigned int id, n = 0;

	RTE_LCORE_FOREACH_WORKER(id)
	{
		workers[n++] = id;
		if (!found && pinned_to(id, cpu)) {
			workers[n - 1] = workers[0];
			workers[0] = id;
			found = true;
		}
	}
	*count = n;
	if (!found && !(n == 0 && pinned_to(rte_get_main_lcore(), cpu)))
		return dip_fail(err, EINVAL,
			"dma.cpu_affinity = %" PRId64
			": no worker lcore is pinned to that CPU; expected "
			"the CPU of one of EAL's lcores, or -1",
			cpu);
	return 0;
}

/* Bare frames without an index: their place is all that tells their numbers. */
static bool in_order(const struct settings *s)
{
	return s->main.nth_archive > 0 && strcmp(s->arch.format, "raw") == 0 && !s->arch.make_index;
}

/* Will the lcore that archives be kept from deciding? */
static bool archive_waits(const struct settings *settings)
{
	struct dip_io_delay delay;
	const char *backend = build_backend(settings, &delay);

	return dip_io_waits(backend, &delay);
}

int build_placement(struct pipeline *pipelines, unsigned int count, unsigned int archives,
	struct dip_error *err)
{
	const struct settings *settings = pipelines[0].settings;
	unsigned int workers[RTE_MAX_LCORE], max_queues[DIP_SOURCES], lane = 0, processor = 0;
	struct placement placed[DIP_SOURCES];
	struct placement_request request = {
		.settings = settings,
		.main_lcore = rte_get_main_lcore(),
		.workers = workers,
		.sources = count,
		.max_queues = max_queues,
		.archiving = settings->main.nth_archive > 0,
		.archives = archives,
		.in_order = in_order(settings),
		.archive_waits = settings->main.nth_archive > 0 && archive_waits(settings),
	};

	/* All lanes together are DIP_LANES at most. */
	for (unsigned int i = 0; i < count; i++)
		max_queues[i] = RTE_MIN(pipelines[i].info.max_queues, DIP_LANES / count);
	if (list_workers(settings, workers, &request.worker_count, err) < 0 ||
		place(&request, placed, err) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		struct pipeline *p = &pipelines[i];

		p->placement = placed[i];
		p->first_lane = lane;
		p->first_processor = processor;
		lane += p->placement.lanes;
		processor += p->placement.processors;
	}
	return 0;
}
