/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_rawdev.h>
#include <rte_ring.h>

#include "build.h"
#include "memory.h"

/* Small frames come in bursts of about this many bytes: half of an L1 cache and a fraction of any
 * L2, so that a frame is decided before later ones push it out. */
#define BURST_BYTES 65536

/* Frames that one of several processors takes at once: few, so that they share a short queue. */
#define SHARED_BURST 4

static bool archiving(const struct settings *s)
{
	return s->main.nth_archive > 0;
}

static bool overwriting(const struct settings *s)
{
	return overrun_of(s) == OVERRUN_OVERWRITE;
}

static bool wants_results(const struct pipeline *p)
{
	return p->outputs.results_fd >= 0 || p->settings->proc.print_stdout;
}

static int create_ring(const char *name, unsigned int index, unsigned int size, unsigned int flags,
	struct rte_ring **ring, struct dip_error *err)
{
	char full[RTE_RING_NAMESIZE];

	snprintf(full, sizeof(full), "dip_%s%u", name, index);
	*ring = rte_ring_create_elem(
		full, sizeof(struct dip_desc), size, SOCKET_ID_ANY, flags | RING_F_EXACT_SZ);
	if (*ring == NULL)
		return dip_fail(err, rte_errno, "ring %s of %u frames: %s", full, size,
			rte_strerror(rte_errno));
	/* Who dequeues never waits for another who was interrupted in it. */
	if (flags & RING_F_MC_RTS_DEQ)
		rte_ring_set_cons_htd_max(*ring, rte_ring_get_size(*ring));
	return 0;
}

/* How a ring is dequeued from: where frames are overwritten, ingest takes the oldest out itself. */
static unsigned int dequeue_flags(const struct pipeline *p, unsigned int consumers)
{
	if (p->backlog != NULL)
		return RING_F_MC_RTS_DEQ;
	return consumers == 1 ? RING_F_SC_DEQ : 0;
}

static unsigned int processors_of(const struct placement *p, unsigned int lane)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->processors; i++)
		n += p->process_lane[i] == lane;
	return n;
}

static unsigned int lcores_used(const struct pipeline *p)
{
	return p->placement.lanes + p->placement.processors + 1;
}

static int create_pool(struct pipeline *p, const struct memory_plan *plan, struct dip_error *err)
{
	char name[RTE_MEMZONE_NAMESIZE];
	struct dip_frame_pool_conf conf = {
		.name = name,
		.slabs = p->settings->main.slabs,
		.record_bytes = plan->slab_bytes,
		.total_bytes = plan->total_bytes,
		.lcores = lcores_used(p),
		.socket = SOCKET_ID_ANY,
	};

	snprintf(name, sizeof(name), p->source == 0 ? "dip_frames" : "dip_frames%u", p->source);
	return dip_frame_pool_create(&conf, &p->pool, err);
}

static struct dip_results_shape results_shape(const struct pipeline *p)
{
	return (struct dip_results_shape){.sites = p->detector->sites,
		.sums = p->settings->proc.sums,
		.wide = p->detector->wide,
		.limit = p->detector->limit};
}

static size_t sums_bytes(const struct pipeline *p)
{
	return p->settings->proc.sums ? p->detector->sites * dip_detector_sum_bytes(p->detector)
				      : 0;
}

static int create_outputs(struct pipeline *p, const char *suffix, struct dip_error *err)
{
	struct outputs_results results = {
		.suffix = suffix,
		.format = dip_results_format_find(p->settings->proc.results),
		.shape = results_shape(p),
		.sites = &p->sites,
		.detector = p->detector,
	};

	return outputs_create(p->settings, &results, &p->outputs, err);
}

/* Frames that a lane takes from the source at once. */
static unsigned int ingest_burst(const struct pipeline *p)
{
	unsigned int frames = RTE_MIN((size_t)DIP_INGEST_BURST, BURST_BYTES / p->image_bytes);
	unsigned int lanes = RTE_MAX(p->placement.lanes, 1u);

	return RTE_MAX(RTE_MIN(frames, p->settings->main.slabs / (2 * lanes)), 1u);
}

/* The only processor of a lane takes more at once than the lane does: what has piled up is worked
 * off, or every frame would wait in the queue until it is in no cache any more. */
static unsigned int process_burst(const struct pipeline *p, unsigned int lane)
{
	if (processors_of(&p->placement, lane) > 1)
		return SHARED_BURST;
	return RTE_MIN(2 * ingest_burst(p), (unsigned int)DIP_PROCESS_BURST);
}

static int create_backlog(struct pipeline *p, struct dip_error *err)
{
	int ret = dip_backlog_create(p->placement.lanes, p->settings->main.slabs, &p->backlog);

	return ret < 0 ? dip_fail(err, -ret, "backlog of queued frames: out of memory") : 0;
}

/* Frames in a lane's queue. What is overwritten there leaves its ticket behind for a while: some must be
 * left, or the newest frame would find none. */
static unsigned int proc_ring(
	const struct pipeline *p, const struct lane *lane, const struct memory_plan *plan)
{
	if (p->backlog == NULL || lane->window == NULL)
		return plan->proc_ring;
	return RTE_MIN(plan->proc_ring, lane->window->size / 2);
}

static int create_lane(
	struct pipeline *p, unsigned int i, const struct memory_plan *plan, struct dip_error *err)
{
	const struct settings *s = p->settings;
	struct lane *lane = &p->lane[i];
	struct dip_ingest_conf conf = {
		.source = p->source,
		.lane = p->first_lane + i,
		.dev_id = p->dev_id,
		.queue = i,
		.burst = ingest_burst(p),
		.arch = p->arch_ring,
		.backlog = p->backlog,
		.nth_archive = s->main.nth_archive,
		.image_bytes = p->image_bytes,
		.block = overrun_of(s) == OVERRUN_BLOCK,
		.nice = s->dma.thread_nice,
	};
	unsigned int flags = RING_F_SP_ENQ | dequeue_flags(p, processors_of(&p->placement, i));
	int ret = 0;

	if (wants_results(p))
		ret = dip_window_create(s->proc.results_window, p->detector->sites, sums_bytes(p),
			&lane->window, err);
	if (ret == 0)
		ret = create_ring("proc", p->first_lane + i, proc_ring(p, lane, plan), flags,
			&lane->ring, err);
	if (ret < 0)
		return ret;
	conf.proc = lane->ring;
	conf.window = lane->window;
	ret = dip_ingest_create(&conf, &lane->ingest);
	return ret < 0 ? dip_fail(err, -ret, "ingest: out of memory") : 0;
}

static int create_process(struct pipeline *p, unsigned int i, struct dip_error *err)
{
	const struct lane *lane = &p->lane[p->placement.process_lane[i]];
	int64_t deadline = p->settings->proc.deadline_us;
	struct dip_process_conf conf = {
		.source = p->source,
		.index = p->first_processor + i,
		.ring = lane->ring,
		.burst = process_burst(p, p->placement.process_lane[i]),
		.detector = p->detector,
		.window = lane->window,
		.sums = p->settings->proc.sums,
		.deadline_ns = deadline > 0 ? (uint64_t)deadline * 1000 : UINT64_MAX,
		.socket = rte_lcore_to_socket_id(p->placement.process[i]),
		.site_stats = p->settings->proc.site_stats,
	};
	int ret = dip_process_create(&conf, &p->process[i]);

	return ret < 0 ? dip_fail(err, -ret, "processor: out of memory") : 0;
}

const char *build_backend(const struct settings *s, struct dip_io_delay *delay)
{
	const char *usual = s->arch.use_io_uring ? "uring" : "pwrite";

	*delay = (struct dip_io_delay){.over = usual,
		.delay_ns = s->arch.delay_us * 1000,
		.stall_write = s->arch.stall_write,
		.stall_ns = s->arch.stall_ms * 1000000};
	return strcmp(s->arch.backend, "auto") != 0 ? s->arch.backend : usual;
}

static int create_archiver(
	struct pipeline *p, const struct memory_plan *plan, struct dip_error *err)
{
	const struct settings *s = p->settings;
	struct dip_archiver_conf conf = {
		.source = p->source,
		.segment =
			{
				.files = &dip_files,
				.npy = strcmp(s->arch.format, "npy") == 0,
				.width = p->info.width,
				.height = p->info.height,
				.segment_bytes = s->arch.segment_bytes,
				.block_bytes = s->arch.block_bytes,
				.direct = s->arch.direct_io,
				.make_index = s->arch.make_index,
			},
		.ring = p->arch_ring,
		.pool = p->pool,
		.depth = s->arch.uring_qd,
		.max_inflight = plan->arch_inflight,
		.gather_bytes = s->arch.io_buffer_bytes,
		.checksum = s->arch.checksum,
		.sync_interval_ms = s->arch.sync_interval_ms,
		.max_rate = s->arch.max_rate,
		.sidecar = s->arch.hdf5,
	};

	conf.backend = build_backend(s, &conf.delay);
	snprintf(conf.segment.dir, sizeof(conf.segment.dir), "%s", p->outputs.archive);
	snprintf(
		conf.segment.prefix, sizeof(conf.segment.prefix), "%s", s->arch.arch_output_prefix);
	if (getrandom(&conf.run_id, sizeof(conf.run_id), 0) != sizeof(conf.run_id))
		return dip_fail(err, errno, "getrandom: %s", strerror(errno));
	return dip_archiver_create(&conf, &p->archiver, err);
}

static int create_results(struct pipeline *p, struct dip_error *err)
{
	const struct settings *s = p->settings;
	struct dip_window *windows[PLACEMENT_MAX];
	struct dip_results_conf conf = {
		.source = p->source,
		.windows = windows,
		.lanes = p->placement.lanes,
		.shape = results_shape(p),
		.format = dip_results_format_find(s->proc.results),
		.fd = p->outputs.results_fd,
		.file = p->outputs.results,
		.print_stdout = s->proc.print_stdout,
		.interval_print = s->proc.interval_print,
	};
	int ret;

	for (unsigned int i = 0; i < p->placement.lanes; i++)
		windows[i] = p->lane[i].window;
	ret = dip_results_create(&conf, &p->results);
	return ret < 0 ? dip_fail(err, -ret, "results: out of memory") : 0;
}

/* Does another lcore than the one that takes a frame process it? */
static bool hands_over(const struct placement *p)
{
	for (unsigned int i = 0; i < p->processors; i++)
		if (p->process[i] != p->ingest[p->process_lane[i]])
			return true;
	return false;
}

static int configure_source(struct pipeline *p, uint64_t limit, struct dip_error *err)
{
	const struct settings *s = p->settings;
	struct dip_dma_conf conf = {
		.pool = p->pool,
		.fps = s->dma.pace_frames ? s->main.fps : 0,
		.limit = limit,
		.queues = p->placement.lanes,
		.loop = s->dma.loop_frames,
		.block = overrun_of(s) == OVERRUN_BLOCK,
		.backlog = p->backlog,
		.handed_over = hands_over(&p->placement),
	};
	struct rte_rawdev_info info = {.dev_private = &conf};
	int ret;

	dip_dma_own(p->dev_id, p->source);
	/* The device says what is wrong; the library would only repeat that it failed. */
	rte_log_set_level_pattern("lib.rawdev", RTE_LOG_CRIT);
	ret = rte_rawdev_configure(p->dev_id, &info, sizeof(conf));

	if (ret == -EINVAL) { /* the device has said why */
		err->text[0] = '\0';
		return ret;
	}
	if (ret < 0)
		return dip_fail(
			err, -ret, "the source refuses its configuration: %s", strerror(-ret));
	info.dev_private = &p->info;
	return rte_rawdev_info_get(p->dev_id, &info, sizeof(p->info));
}

int build_parts(struct pipeline *p, uint64_t limit, const char *suffix, struct dip_error *err)
{
	struct memory_plan plan;
	int ret;

	memory_plan(p->settings, p->image_bytes, p->placement.lanes, &plan);
	ret = create_pool(p, &plan, err);
	if (ret == 0 && overwriting(p->settings))
		ret = create_backlog(p, err);
	if (ret == 0)
		ret = configure_source(p, limit, err);
	if (ret == 0 && p->info.uncached && p->detector->ops->expect_uncached != NULL)
		p->detector->ops->expect_uncached(p->detector);
	if (ret == 0 && archiving(p->settings))
		ret = create_ring("arch", p->source, plan.arch_ring,
			dequeue_flags(p, 1) | (p->placement.lanes == 1 ? RING_F_SP_ENQ : 0),
			&p->arch_ring, err);
	if (ret == 0)
		ret = create_outputs(p, suffix, err);
	for (unsigned int i = 0; ret == 0 && i < p->placement.lanes; i++)
		ret = create_lane(p, i, &plan, err);
	for (unsigned int i = 0; ret == 0 && i < p->placement.processors; i++)
		ret = create_process(p, i, err);
	if (ret == 0 && archiving(p->settings))
		ret = create_archiver(p, &plan, err);
	if (ret == 0 && wants_results(p))
		ret = create_results(p, err);
	return ret;
}
