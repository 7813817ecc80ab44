/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "summary.h"

struct summary summary;

void summary_attach(const struct pipeline *p, const char *device)
{
	const struct settings *s = p->settings;
	uint64_t hands = DIP_INGEST_BURST * p->placement.lanes;

	snprintf(summary.device, sizeof(summary.device), "%s", device);
	summary.info = p->info;
	summary.dev_id = p->dev_id;
	snprintf(summary.detector, sizeof(summary.detector), "%s", p->detector->ops->name);
	snprintf(summary.kernel, sizeof(summary.kernel), "%s", p->detector->kernel);
	summary.sites = &p->sites;
	dip_sites_span(&p->sites, &summary.span);
	summary.processors = p->placement.processors;
	summary.wide = p->detector->wide;
	summary.scale = p->detector->scale;
	snprintf(summary.archive, sizeof(summary.archive), "%s", p->outputs.archive);
	snprintf(summary.results, sizeof(summary.results), "%s", p->outputs.results);
	snprintf(summary.stats, sizeof(summary.stats), "%s", p->outputs.stats);
	summary.archive_on = p->archiver != NULL;
	summary.results_on = p->results != NULL;
	/* Of transfers on their way each has a slab. */
	summary.most[LEDGER_DEVICE] = hands + s->main.slabs;
	summary.most[LEDGER_PROC] = summary.most[LEDGER_ARCH] = s->main.slabs;
	summary.most[LEDGER_RESULTS] = p->results != NULL ? dip_results_most(p->results) : 0;
	summary.slabs = s->main.slabs;
	summary_note_pool(p);
	summary.begin_tsc = rte_rdtsc();
	__atomic_store_n(&summary.attached, true, __ATOMIC_RELEASE);
}

void summary_note_pool(const struct pipeline *p)
{
	__atomic_store_n(
		&summary.pool_available, dip_frame_pool_available(p->pool), __ATOMIC_RELAXED);
}

void summary_detach(const struct pipeline *p)
{
	summary_note_pool(p);
	summary.queued[LEDGER_PROC] = pipeline_queued_proc(p);
	summary.queued[LEDGER_ARCH] = pipeline_queued_arch(p);
	snprintf(summary.archive, sizeof(summary.archive), "%s", p->outputs.archive);
	__atomic_store_n(&summary.final, true, __ATOMIC_RELEASE);
}

/* Seconds from the begin to a moment, to now when it has not come yet. */
static double seconds_to(const uint64_t *moment)
{
	uint64_t end = __atomic_load_n(moment, __ATOMIC_RELAXED);

	if (summary.begin_tsc == 0)
		return 0;
	return (double)((end != 0 ? end : rte_rdtsc()) - summary.begin_tsc) / rte_get_tsc_hz();
}

static double rate(const char *metric, double seconds)
{
	return seconds > 0 ? dip_metric_value(metric) / seconds : 0;
}

void summary_rates(struct rates *r)
{
	r->elapsed_sec = seconds_to(&summary.end_tsc);
	r->drained_sec = seconds_to(&summary.drained_tsc);
	r->dma_fps = rate("dma_frames", r->elapsed_sec);
	r->proc_fps = rate("proc_frames", r->drained_sec);
	r->arch_fps = rate("arch_frames", r->drained_sec);
	r->arch_gbps = rate("arch_bytes", r->drained_sec) / 1e9;
	r->arch_gibps = rate("arch_bytes", r->drained_sec) / (1 << 30);
}

void summary_ledger(struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	bool final = __atomic_load_n(&summary.final, __ATOMIC_ACQUIRE);

	ledger_read(summary.dev_id, final ? summary.queued : NULL, summary.most, accounts);
}

void summary_latencies(struct latencies *l)
{
	unsigned int n = summary.processors;

	dip_histogram_summarise(dip_process_latency(DIP_STAGE_DEQUEUED), NULL, n, &l->dequeued);
	dip_histogram_summarise(dip_process_latency(DIP_STAGE_DECISION), NULL, n, &l->decision);
	dip_histogram_summarise(dip_process_latency(DIP_STAGE_RESULT), NULL, n, &l->result);
	dip_histogram_summarise(dip_archiver_latency(), NULL, 1, &l->archived);
}
