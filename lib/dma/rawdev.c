/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_devargs.h>
#include <rte_eal.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_rawdev_pmd.h>

#include "dma/source_impl.h"

RTE_LOG_REGISTER(dip_dma_log, dip.dma, NOTICE);

static int source_info_get(struct rte_rawdev *dev, rte_rawdev_obj_t info, size_t size)
{
	const struct dip_source *s = dev->dev_private;

	if (info == NULL || size != sizeof(struct dip_dma_info))
		return -EINVAL;
	memcpy(info, &s->info, size);
	((struct dip_dma_info *)info)->max_queues = dip_engine_queues(s);
	return 0;
}

static bool refused_by_fault(struct dip_source *s)
{
	s->configurations++;
	for (unsigned int i = 0; s->faults != NULL && i < s->faults->count; i++)
		if (s->faults->fault[i].kind == DIP_FAULT_REFUSE &&
			dip_fault_hits(s->faults, i, s->configurations))
			return true;
	return false;
}

static int apply(struct dip_source *s, const char *name, const struct dip_dma_conf *conf)
{
	const struct dip_mover *mover = NULL;
	struct dip_queue *queues =
		rte_zmalloc("dip_queues", conf->queues * sizeof(*queues), RTE_CACHE_LINE_SIZE);
	struct dip_error err;
	int ret = 0;

	if (queues == NULL)
		return -ENOMEM;
	if (s->ops->configure != NULL)
		ret = s->ops->configure(s->priv, conf, &mover);
	if (ret == -EINVAL)
		rte_log(RTE_LOG_ERR, dip_dma_log, "%s: cannot be configured: %s\n", name,
			strerror(-ret));
	if (ret < 0)
		goto fail;
	s->mover_priv = s->priv;
	if (dip_engine_configure(s, conf, &mover, &err) < 0) {
		rte_log(RTE_LOG_ERR, dip_dma_log, "%s: %s\n", name, err.text);
		s->configured = false; /* the engine of the last configuration is gone */
		ret = -EINVAL;
		goto fail;
	}
	rte_free(s->queues);
	s->queues = queues;
	s->mover = mover;
	s->conf = *conf;
	s->configured = true;
	return 0;
fail:
	rte_free(queues);
	return ret;
}

static int source_configure(const struct rte_rawdev *dev, rte_rawdev_obj_t config, size_t size)
{
	struct dip_source *s = dev->dev_private;
	const struct dip_dma_conf *conf = config;

	if (conf == NULL || size != sizeof(*conf))
		return -EINVAL;
	if (conf->pool == NULL || conf->queues == 0 || conf->queues > s->info.max_queues ||
		!(conf->fps >= 0) || conf->pool->record_bytes < s->frame_bytes) {
		rte_log(RTE_LOG_ERR, dip_dma_log,
			"%s: no such configuration: expected 1 to %u queues, a rate, and a pool "
			"with slabs of at least %zu bytes\n",
			dev->name, s->info.max_queues, s->frame_bytes);
		return -EINVAL;
	}
	if (refused_by_fault(s))
		return -EIO;
	if (dip_faults_have(s->faults, DIP_FAULT_BURST) && conf->fps == 0) {
		rte_log(RTE_LOG_ERR, dip_dma_log,
			"%s: faults=%s: a burst, but the source is not paced; expected "
			"dma.pace_frames = true, or no burst\n",
			dev->name, s->common.faults);
		return -EINVAL;
	}
	return apply(s, dev->name, conf);
}

static int source_start(struct rte_rawdev *dev)
{
	struct dip_source *s = dev->dev_private;
	int ret;

	if (!s->configured)
		return -EINVAL;
	dip_schedule_init(s);
	dip_play_start(s);
	s->failed = false;
	for (unsigned int i = 0; i < s->conf.queues; i++)
		memset(&s->queues[i], 0, sizeof(s->queues[i]));
	dip_dma_reset_counters(dev->dev_id);
	ret = s->offload != NULL ? dip_offload_start(s->offload) : 0;
	if (ret == 0 && s->ops->start != NULL)
		ret = s->ops->start(s->priv, s->next_seq);
	s->start_tsc = rte_rdtsc();
	return ret;
}

/* The queues' threads have been joined; a poll that comes all the same finds the end. */
static void source_stop(struct rte_rawdev *dev)
{
	struct dip_source *s = dev->dev_private;

	s->end = 0;
	for (unsigned int i = 0; i < s->conf.queues; i++) {
		struct dip_queue *q = &s->queues[i];

		if (q->again != NULL)
			dip_frame_put(q->again);
		q->again = NULL;
		if (s->mover != NULL)
			dip_flights_stop(s, i);
	}
	if (s->ops->stop != NULL)
		s->ops->stop(s->priv);
}

void dip_source_unconfigure(uint16_t dev_id)
{
	struct dip_source *s = rte_rawdevs[dev_id].dev_private;

	s->configured = false;
	dip_engine_close(s);
}

static int source_close(struct rte_rawdev *dev)
{
	struct dip_source *s = dev->dev_private;

	/* The device may be closed and then removed, which closes it again. */
	if (s->open && s->ops->close != NULL)
		s->ops->close(s->priv);
	dip_engine_close(s);
	dip_source_arguments_free(s);
	rte_free(s->queues);
	s->queues = NULL;
	s->open = s->configured = false;
	return 0;
}

static uint16_t source_queue_count(struct rte_rawdev *dev)
{
	const struct dip_source *s = dev->dev_private;

	return s->configured ? s->conf.queues : s->info.max_queues;
}

/* Transfers that go on by themselves are to be looked after all the time. */
static int source_get_attr(struct rte_rawdev *dev, const char *name, uint64_t *value)
{
	const struct dip_source *s = dev->dev_private;

	if (strcmp(name, DIP_DMA_DUE_TSC) != 0)
		return -ENOENT;
	if (!s->configured || !dip_source_paced(s))
		return -EAGAIN;
	*value = s->mover != NULL ? s->start_tsc : dip_schedule_next_tsc(s);
	return 0;
}

static int source_dump(struct rte_rawdev *dev, FILE *f)
{
	const struct dip_source *s = dev->dev_private;

	fprintf(f,
		"%s: %u x %u pixels, %" PRIu64 " frames, %g frames a second, %u queues%s%s%s%s\n",
		dev->name, s->info.width, s->info.height, s->info.frames, s->conf.fps,
		s->conf.queues, s->conf.loop ? ", loop" : "", s->conf.block ? ", block" : "",
		s->info.engine[0] != '\0' ? ", engine " : "", s->info.engine);
	return 0;
}

uint64_t dip_source_expected(uint16_t dev_id, uint64_t index, uint16_t *pixels, int *result)
{
	struct dip_source *s = rte_rawdevs[dev_id].dev_private;
	uint64_t seq = dip_source_number(s, index);

	*result = dip_source_copy(s, 0, seq, pixels);
	return seq;
}

static const struct rte_rawdev_ops rawdev_ops = {
	.dev_info_get = source_info_get,
	.dev_configure = source_configure,
	.dev_start = source_start,
	.dev_stop = source_stop,
	.dev_close = source_close,
	.queue_count = source_queue_count,
	.attr_get = source_get_attr,
	.dequeue_bufs = dip_source_dequeue,
	.dump = source_dump,
	.xstats_get = dip_dma_xstats_get,
	.xstats_get_names = dip_dma_xstats_get_names,
	.xstats_get_by_name = dip_dma_xstats_get_by_name,
	.dev_selftest = dip_source_selftest,
};

static void free_source(struct dip_source *s)
{
	if (s->ops->close != NULL)
		s->ops->close(s->priv);
	dip_source_arguments_free(s);
	rte_free(s);
}

static struct dip_source *open_source(
	struct rte_vdev_device *vdev, const struct dip_source_ops *ops, struct dip_error *err)
{
	const struct rte_devargs *devargs = rte_dev_devargs(&vdev->device);
	const char *text = devargs != NULL && devargs->args != NULL ? devargs->args : "";
	struct dip_source *s;
	int ret;

	s = rte_zmalloc("dip_source", sizeof(*s) + ops->private_size, RTE_CACHE_LINE_SIZE);
	if (s == NULL) {
		dip_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	s->ops = ops;
	s->copier = &dip_copy_cached;
	if (dip_source_arguments(s, text, err) < 0) {
		rte_free(s);
		return NULL;
	}
	ret = ops->examine(s->priv, &s->info, err);
	if (ret == 0)
		ret = dip_engine_examine(s, err);
	if (ret == 0 && ops->open != NULL)
		ret = ops->open(s->priv, &s->info, err);
	if (ret == 0)
		ret = dip_engine_open(s, err);
	if (ret < 0) {
		free_source(s);
		return NULL;
	}
	s->frame_bytes = (size_t)s->info.width * s->info.height * sizeof(uint16_t);
	return s;
}

int dip_source_probe(struct rte_vdev_device *vdev, const struct dip_source_ops *ops)
{
	const char *name = rte_dev_name(&vdev->device);
	struct dip_error err = {0};
	struct rte_rawdev *dev;
	struct dip_source *s;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return -ENOTSUP;
	s = open_source(vdev, ops, &err);
	if (s == NULL) {
		rte_log(RTE_LOG_ERR, dip_dma_log, "%s: %s\n", name, err.text);
		return -EINVAL;
	}
	dev = rte_rawdev_pmd_allocate(name, 0, rte_socket_id());
	if (dev == NULL) {
		rte_log(RTE_LOG_ERR, dip_dma_log,
			"%s: no room for another rawdev, or the name is used\n", name);
		free_source(s);
		return -ENODEV;
	}
	s->next_seq = dip_dma_next_seq(dev->dev_id);
	s->counters = dip_dma_counters(dev->dev_id, 0);
	dip_dma_reset_counters(dev->dev_id);
	s->open = true;
	dev->dev_ops = &rawdev_ops;
	dev->device = &vdev->device;
	dev->driver_name = ops->name;
	dev->dev_private = s;
	return 0;
}

int dip_source_remove(struct rte_vdev_device *vdev)
{
	struct rte_rawdev *dev = rte_rawdev_pmd_get_named_dev(rte_dev_name(&vdev->device));

	return dev != NULL ? rte_rawdev_pmd_release(dev) : -ENODEV;
}
