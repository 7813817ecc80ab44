/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "dma/dmadev.h"
#include "dma/source_impl.h"

static bool is_auto(const struct dip_source *s)
{
	return strcmp(s->common.engine, "auto") == 0;
}

static bool wants_dmadev(const struct dip_source *s)
{
	return !is_auto(s) && dip_copier_find(s->common.engine) == NULL;
}

bool dip_source_dma_memory(const void *priv)
{
	const struct dip_source *s =
		(const void *)((const uint8_t *)priv - offsetof(struct dip_source, priv));

	return wants_dmadev(s);
}

/* --- whether there is something to copy --- */

static int refuse(const struct dip_source *s, struct dip_error *err)
{
	const char *why = s->ops->uncopied;

	return dip_fail(err, EINVAL, "engine=%s: there is nothing to copy: %s", s->common.engine,
		why != NULL ? why
			    : "this source makes its frames in the slabs; expected no engine");
}

int dip_engine_examine(const struct dip_source *s, struct dip_error *err)
{
	return is_auto(s) || s->ops->locate != NULL ? 0 : refuse(s, err);
}

static bool copies_frames(const struct dip_source *s)
{
	return s->ops->locate != NULL && s->ops->locate(s->priv, 0) != NULL;
}

int dip_engine_open(const struct dip_source *s, struct dip_error *err)
{
	return is_auto(s) || copies_frames(s) ? 0 : refuse(s, err);
}

/* --- the CPU --- */

static const void *frame_of(const void *priv, uint64_t i)
{
	const struct dip_source *s = priv;

	if (s->info.frames > 0)
		i %= s->info.frames;
	return s->ops->locate(s->priv, i);
}

/* Frames that another core is to read go to memory at once: it would have to fetch them from this
 * core's cache. The core that copied them may find them in its cache, or not: that is measured. */
static void choose_copier(struct dip_source *s, const struct dip_dma_conf *conf)
{
	char *text = s->info.engine;
	struct dip_copy_cost cost;
	struct dip_frame *slab;
	double us = 1e6 / rte_get_tsc_hz();

	if (conf->handed_over) {
		s->copier = &dip_copy_streaming;
		snprintf(
			text, DIP_DMA_ENGINE_TEXT, "streaming: another lcore processes the frames");
		return;
	}
	if (dip_frame_alloc(conf->pool, &slab, 1) == 0) {
		s->copier = &dip_copy_cached;
		snprintf(text, DIP_DMA_ENGINE_TEXT, "cached: no slab to measure with");
		return;
	}
	cost = dip_copy_measure(slab->pixels, s->frame_bytes, frame_of, s);
	dip_frame_put(slab);
	s->copier = cost.streaming < cost.cached ? &dip_copy_streaming : &dip_copy_cached;
	snprintf(text, DIP_DMA_ENGINE_TEXT,
		"%s: a copy and a read take %.1f us cached, %.1f us streaming", s->copier->name,
		cost.cached * us, cost.streaming * us);
}

/* --- a dmadev --- */

static int unknown(const struct dip_source *s, struct dip_error *err)
{
	char names[256];

	dip_dmadev_names(names, sizeof(names));
	return dip_fail(err, EINVAL,
		"engine=%s: there is no such engine; expected auto, cached, streaming or a dmadev; "
		"dmadevs found: %s; the EAL option --vdev makes some, --allow finds others",
		s->common.engine, names);
}

static int choose_dmadev(struct dip_source *s, const struct dip_dma_conf *conf,
	const struct dip_mover **mover, struct dip_error *err)
{
	struct dip_offload_conf offload = {.dmadev = dip_dmadev_find(s->common.engine),
		.name = s->common.engine,
		.copies = s->common.copies,
		.queues = conf->queues,
		.bytes = s->frame_bytes,
		.locate = s->ops->locate,
		.priv = s->priv};
	int ret;

	if (offload.dmadev < 0)
		return unknown(s, err);
	ret = dip_offload_create(&offload, &s->offload, err);
	if (ret < 0)
		return ret;
	*mover = dip_offload_mover(s->offload);
	s->mover_priv = s->offload;
	s->info.uncached = true;
	snprintf(s->info.engine, DIP_DMA_ENGINE_TEXT,
		"dmadev %s: as asked for, %" PRId64 " copies in flight", s->common.engine,
		s->common.copies);
	return 0;
}

uint16_t dip_engine_queues(const struct dip_source *s)
{
	unsigned int channels;
	int16_t id;

	if (!wants_dmadev(s))
		return s->info.max_queues;
	id = dip_dmadev_find(s->common.engine);
	if (id < 0)
		return s->info.max_queues; /* its configuration will fail, with a better word */
	channels = dip_dmadev_free_channels(id);
	if (s->offload != NULL)
		channels += s->conf.queues;
	return RTE_MIN(s->info.max_queues, RTE_MAX(channels, 1u));
}

/* --- */

int dip_engine_configure(struct dip_source *s, const struct dip_dma_conf *conf,
	const struct dip_mover **mover, struct dip_error *err)
{
	dip_engine_close(s);
	if (!copies_frames(s))
		return 0;
	if (wants_dmadev(s))
		return choose_dmadev(s, conf, mover, err);
	if (is_auto(s)) {
		choose_copier(s, conf);
	} else {
		s->copier = dip_copier_find(s->common.engine);
		snprintf(s->info.engine, DIP_DMA_ENGINE_TEXT, "%s: as asked for", s->copier->name);
	}
	s->info.uncached = s->copier == &dip_copy_streaming;
	return 0;
}

void dip_engine_close(struct dip_source *s)
{
	if (s->offload != NULL)
		s->mover = NULL; /* it was the offload's */
	dip_offload_free(s->offload);
	s->offload = NULL;
	s->copier = &dip_copy_cached;
	s->info.engine[0] = '\0';
}
