/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "summary.h"

struct summary summaries[DIP_SOURCES];
unsigned int summary_count;

static void add_rings(struct summary *s, const struct pipeline *p)
{
	for (unsigned int i = 0; i < p->placement.lanes; i++)
		s->most[LEDGER_PROC] += rte_ring_get_capacity(p->lane[i].ring);
	if (p->arch_ring != NULL)
		s->most[LEDGER_ARCH] += rte_ring_get_capacity(p->arch_ring);
}

static void attach(struct summary *s, const struct pipeline *p, const char *device)
{
	uint64_t hands = DIP_INGEST_BURST * p->placement.lanes, slabs = p->settings->main.slabs;

	snprintf(s->device, sizeof(s->device), "%s", device);
	s->books = (struct ledger_source){.source = p->source, .dev_id = p->dev_id};
	s->info = p->info;
	snprintf(s->detector, sizeof(s->detector), "%s", p->detector->ops->name);
	snprintf(s->kernel, sizeof(s->kernel), "%s", p->detector->kernel);
	s->sites = &p->sites;
	dip_sites_span(&p->sites, &s->span);
	s->first_processor = p->first_processor;
	s->processors = p->placement.processors;
	s->placement = p->placement;
	s->wide = p->detector->wide;
	s->scale = p->detector->scale;
	snprintf(s->archive, sizeof(s->archive), "%s", p->outputs.archive);
	snprintf(s->results, sizeof(s->results), "%s", p->outputs.results);
	snprintf(s->stats, sizeof(s->stats), "%s", p->outputs.stats);
	s->archive_on = p->archiver != NULL;
	s->results_on = p->results != NULL;
	/* Of transfers on their way each has a slab. */
	s->most[LEDGER_DEVICE] = hands + slabs;
	s->most[LEDGER_PROC] = s->most[LEDGER_ARCH] = slabs;
	if (p->backlog != NULL) /* stale descriptors have no slab any more */
		add_rings(s, p);
	s->most[LEDGER_RESULTS] = p->results != NULL ? dip_results_most(p->results) : 0;
	s->slabs = slabs;
	summary_note_pool(p);
	s->begin_tsc = rte_rdtsc();
}

void summary_attach(
	const struct pipeline *pipelines, const char *const *devices, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		attach(&summaries[i], &pipelines[i], devices[i]);
	__atomic_store_n(&summary_count, count, __ATOMIC_RELEASE);
}

const struct summary *summary_find(const char *name, size_t length)
{
	for (unsigned int i = 0; i < summary_count; i++)
		if (strlen(summaries[i].device) == length &&
			memcmp(summaries[i].device, name, length) == 0)
			return &summaries[i];
	return NULL;
}

const char *summary_archive(const struct summary *s)
{
	return __atomic_load_n(&s->archive_gone, __ATOMIC_RELAXED) ? "" : s->archive;
}

unsigned int summary_source(const struct summary *s)
{
	return s != NULL ? s->books.source : DIP_ALL_SOURCES;
}

struct range summary_processors(const struct summary *s)
{
	struct range all = {.first = 0};

	if (s != NULL)
		return (struct range){s->first_processor, s->processors};
	for (unsigned int i = 0; i < summary_count; i++)
		all.count += summaries[i].processors;
	return all;
}

struct range summary_archives(const struct summary *s)
{
	return s != NULL ? (struct range){s->books.source, 1} : (struct range){0, summary_count};
}

void summary_note_pool(const struct pipeline *p)
{
	__atomic_store_n(&summaries[p->source].pool_available, dip_frame_pool_available(p->pool),
		__ATOMIC_RELAXED);
}

void summary_detach(const struct pipeline *p)
{
	struct summary *s = &summaries[p->source];

	summary_note_pool(p);
	s->queued[LEDGER_PROC] = pipeline_queued_proc(p);
	s->queued[LEDGER_ARCH] = pipeline_queued_arch(p);
	__atomic_store_n(&s->archive_gone, p->outputs.archive[0] == '\0', __ATOMIC_RELAXED);
	__atomic_store_n(&s->final, true, __ATOMIC_RELEASE);
}

/* From a begin to an end, now when it has not come yet. */
struct span {
	uint64_t begin_tsc, end_tsc;
};

static struct span span_of(const struct summary *s, const uint64_t *moment)
{
	uint64_t end = __atomic_load_n(moment, __ATOMIC_RELAXED);

	return (struct span){s->begin_tsc, end != 0 ? end : rte_rdtsc()};
}

static double seconds(const struct span *span)
{
	if (span->begin_tsc == 0)
		return 0;
	return (double)(span->end_tsc - span->begin_tsc) / rte_get_tsc_hz();
}

static void widen(struct span *span, struct span other)
{
	if (span->begin_tsc == 0 || other.begin_tsc < span->begin_tsc)
		span->begin_tsc = other.begin_tsc;
	span->end_tsc = RTE_MAX(span->end_tsc, other.end_tsc);
}

static double rate(const struct summary *s, const char *metric, double seconds)
{
	return seconds > 0 ? dip_metric_of(summary_source(s), metric) / seconds : 0;
}

void summary_rates(const struct summary *s, struct rates *r)
{
	const struct summary *first = s != NULL ? s : summaries;
	unsigned int count = s != NULL ? 1 : summary_count;
	struct span elapsed = {0}, drained = {0};

	for (unsigned int i = 0; i < count; i++) {
		widen(&elapsed, span_of(&first[i], &first[i].end_tsc));
		widen(&drained, span_of(&first[i], &first[i].drained_tsc));
	}
	r->elapsed_sec = seconds(&elapsed);
	r->drained_sec = seconds(&drained);
	r->dma_fps = rate(s, "dma_frames", r->elapsed_sec);
	r->proc_fps = rate(s, "proc_frames", r->drained_sec);
	r->arch_fps = rate(s, "arch_frames", r->drained_sec);
	r->arch_gbps = rate(s, "arch_bytes", r->drained_sec) / 1e9;
	r->arch_gibps = rate(s, "arch_bytes", r->drained_sec) / (1 << 30);
}

static void read_ledger(const struct summary *s, struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	bool final = __atomic_load_n(&s->final, __ATOMIC_ACQUIRE);

	ledger_read(&s->books, final ? s->queued : NULL, s->most, accounts);
}

void summary_ledger(const struct summary *s, struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	struct ledger_account part[LEDGER_ACCOUNTS];

	if (s != NULL) {
		read_ledger(s, accounts);
		return;
	}
	memset(accounts, 0, LEDGER_ACCOUNTS * sizeof(accounts[0]));
	for (unsigned int i = 0; i < summary_count; i++) {
		read_ledger(&summaries[i], part);
		ledger_add(accounts, part);
	}
}

void summary_latencies(const struct summary *s, struct latencies *l)
{
	struct range p = summary_processors(s), archives = summary_archives(s);
	struct dip_histogram_summary *of[DIP_STAGES] = {[DIP_STAGE_DEQUEUED] = &l->dequeued,
		[DIP_STAGE_DECISION] = &l->decision,
		[DIP_STAGE_RESULT] = &l->result};

	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		dip_histogram_summarise(
			&dip_process_latency(stage)[p.first], NULL, p.count, of[stage]);
	dip_histogram_summarise(
		&dip_archiver_latency()[archives.first], NULL, archives.count, &l->archived);
}

struct pool_figures summary_pool(const struct summary *s)
{
	const struct summary *first = s != NULL ? s : summaries;
	unsigned int count = s != NULL ? 1 : summary_count;
	struct pool_figures pool = {0};

	for (unsigned int i = 0; i < count; i++) {
		pool.slabs += first[i].slabs;
		pool.available += __atomic_load_n(&first[i].pool_available, __ATOMIC_RELAXED);
	}
	return pool;
}
