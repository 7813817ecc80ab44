/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The data path, wired:
 *
 *   drivers/dma         lib/ingest               lib/process            lib/results
 *   source queue 0 -->  ingest 0 --> ring 0 --> process 0.. --window-->\
 *   source queue 1 -->  ingest 1 --> ring 1 --> process 1.. --window--> results --> file
 *        |                 |   (a lane each)        |
 *        | slabs           +--> arch ring --> archiver --> writes --> segments
 *        |                                    (lib/archive, drivers/archive)
 *   frame pool <----------- dip_frame_put ---------+------------ after the completion
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_rawdev.h>
#include <rte_ring.h>

#include "build.h"

static void init(struct pipeline *p, const struct settings *settings,
	const struct pipeline_conf *conf, unsigned int source)
{
	memset(p, 0, sizeof(*p));
	p->settings = settings;
	p->source = source;
	snprintf(p->device, sizeof(p->device), "%s", conf->device);
	p->dev_id = conf->dev_id;
	p->outputs.results_fd = p->outputs.stats_fd = -1;
}

/* Whose mistake it is, where that is not clear. */
static void say_whose(const struct pipeline *p, unsigned int count, struct dip_error *err)
{
	struct dip_error why = *err;

	if (count > 1 && why.text[0] != '\0') /* else the device has said it */
		dip_fail(err, 0, "%s: %s", p->device, why.text);
}

int pipelines_create(struct pipeline *p, const struct settings *settings,
	const struct pipeline_conf *conf, unsigned int count, struct dip_error *err)
{
	const char *suffix;
	unsigned int i, archives = 0;
	int ret = 0;

	for (i = 0; i < count; i++) {
		init(&p[i], settings, &conf[i], i);
		archives += conf[i].archive_lcore;
	}
	for (i = 0; ret == 0 && i < count; i++) {
		ret = build_decision(&p[i], err);
		if (ret < 0)
			say_whose(&p[i], count, err);
	}
	if (ret == 0)
		ret = build_placement(p, count, archives, err);
	for (i = 0; ret == 0 && i < count; i++) {
		suffix = count > 1 ? p[i].device : NULL;
		ret = build_parts(&p[i], conf[i].limit, suffix, err);
		if (ret < 0)
			say_whose(&p[i], count, err);
	}
	for (i = count; ret < 0 && i > 0; i--) {
		pipeline_free(&p[i - 1]);
		outputs_remove(&p[i - 1].outputs);
	}
	return ret;
}

/* --- running --- */

static int add(unsigned int lcore, struct dip_poller poller, struct dip_error *err)
{
	return dip_lcore_add(lcore, &poller) < 0
		       ? dip_fail(err, ENOSPC, "lcore %u has too many pollers", lcore)
		       : 0;
}

/* Work that comes from other lcores comes at any time. */
static struct dip_poller fed(struct dip_poller poller, bool from_own_lcore)
{
	if (!from_own_lcore)
		poller.due = NULL;
	return poller;
}

static bool all_ingest_on(const struct placement *at, unsigned int lcore)
{
	for (unsigned int i = 0; i < at->lanes; i++)
		if (at->ingest[i] != lcore)
			return false;
	return true;
}

int pipeline_place(struct pipeline *p, struct dip_error *err)
{
	const struct placement *at = &p->placement;
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < at->lanes; i++)
		ret = add(at->ingest[i], dip_ingest_poller(p->lane[i].ingest), err);
	for (unsigned int i = 0; ret == 0 && i < at->processors; i++)
		ret = add(at->process[i],
			fed(dip_process_poller(p->process[i]),
				at->process[i] == at->ingest[at->process_lane[i]]),
			err);
	if (ret == 0 && p->archiver != NULL)
		ret = add(at->archive,
			fed(dip_archiver_poller(p->archiver), all_ingest_on(at, at->archive)), err);
	if (ret == 0 && p->results != NULL)
		ret = add(at->results, dip_results_poller(p->results), err);
	return ret;
}

int pipeline_start(struct pipeline *p, struct dip_error *err)
{
	int ret = rte_rawdev_start(p->dev_id);

	if (ret < 0)
		return dip_fail(err, -ret, "the source does not start: %s", strerror(-ret));
	p->started = true;
	return 0;
}

void pipeline_stop(struct pipeline *p)
{
	for (unsigned int i = 0; i < p->placement.lanes; i++)
		dip_ingest_stop(p->lane[i].ingest);
}

void pipeline_discard(struct pipeline *p)
{
	for (unsigned int i = 0; i < p->placement.lanes; i++)
		dip_ingest_discard(p->lane[i].ingest);
	for (unsigned int i = 0; i < p->placement.processors; i++)
		dip_process_discard(p->process[i]);
	if (p->archiver != NULL)
		dip_archiver_discard(p->archiver);
}

bool pipeline_finished(const struct pipeline *p)
{
	for (unsigned int i = 0; i < p->placement.lanes; i++)
		if (!dip_ingest_finished(p->lane[i].ingest))
			return false;
	return true;
}

unsigned int pipeline_queued_proc(const struct pipeline *p)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->placement.lanes; i++)
		n += rte_ring_count(p->lane[i].ring);
	return n;
}

unsigned int pipeline_queued_arch(const struct pipeline *p)
{
	/* Held after the ring: a frame on its way from one to the other is then seen twice, not
	 * missed. */
	return p->archiver == NULL ? 0
				   : rte_ring_count(p->arch_ring) + dip_archiver_held(p->archiver);
}

bool pipeline_drained(const struct pipeline *p)
{
	return pipeline_finished(p) && pipeline_queued_proc(p) == 0 &&
	       pipeline_queued_arch(p) == 0 && (p->results == NULL || dip_results_idle(p->results));
}

int pipeline_source_error(const struct pipeline *p)
{
	for (unsigned int i = 0; i < p->placement.lanes; i++)
		if (dip_ingest_error(p->lane[i].ingest) != 0)
			return dip_ingest_error(p->lane[i].ingest);
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (p->started)
		rte_rawdev_stop(p->dev_id);
	dip_results_free(p->results);
	dip_archiver_free(p->archiver);
	for (unsigned int i = 0; i < p->placement.processors; i++)
		dip_process_free(p->process[i]);
	for (unsigned int i = 0; i < p->placement.lanes; i++) {
		dip_ingest_free(p->lane[i].ingest);
		dip_window_free(p->lane[i].window);
		rte_ring_free(p->lane[i].ring);
	}
	rte_ring_free(p->arch_ring);
	dip_backlog_free(p->backlog);
	dip_frame_pool_free(p->pool);
	if (p->detector != NULL)
		p->detector->ops->destroy(p->detector);
}
