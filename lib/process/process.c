/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "frame/check.h"
#include "process/process.h"
#include "process/site_stats.h"

/* One writer each: the processor. */
static struct counters {
	uint64_t proc_frames;
	uint64_t results_offered;
	uint64_t proc_occupied;
	uint64_t proc_stale_desc;
	uint64_t proc_discarded;
	uint64_t proc_late;
	uint64_t proc_empty_polls;
} __attribute__((aligned(64))) all_counters[DIP_PROCESSORS];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, proc_frames, "frames", "frames decided"),
	DIP_METRIC(struct counters, results_offered, "frames", "results handed on to be written"),
	DIP_METRIC(
		struct counters, proc_occupied, "sites", "sites found occupied, over all frames"),
	DIP_METRIC(struct counters, proc_stale_desc, "frames",
		"descriptors refused: their frame was overwritten while it was queued (overwrite)"),
	DIP_METRIC(struct counters, proc_discarded, "frames",
		"frames queued for processing and discarded at a stop"),
	DIP_METRIC(struct counters, proc_late, "frames",
		"frames decided later than proc.deadline_us after their arrival"),
	DIP_METRIC(struct counters, proc_empty_polls, "polls", "polls that found no frame"),
};

DIP_METRICS_REGISTER(process_metrics, rows, all_counters)

static struct dip_histogram latency[DIP_STAGES][DIP_PROCESSORS];
static struct dip_worst worst[DIP_PROCESSORS];

struct dip_process {
	struct dip_process_conf conf;
	struct counters *counters;
	struct dip_site_stats *site_stats;
	double ns_per_tsc;
	void *sums;                  /* where a result has no room for them */
	struct dip_result *unwanted; /* takes results when nobody wants them */
	bool discard;                /* atomic, written by the control thread */
};

/* Nanoseconds; none when the frame came just now, by the clock of another core. */
static uint64_t since(const struct dip_process *p, uint64_t then_tsc, uint64_t now_tsc)
{
	return now_tsc > then_tsc ? (uint64_t)((now_tsc - then_tsc) * p->ns_per_tsc) : 0;
}

static void note_latency(
	const struct dip_process *p, const struct dip_result *result, uint64_t dequeued_ns)
{
	unsigned int i = p->conf.index;
	uint64_t result_ns = result->latency_ns;

	dip_histogram_record(&latency[DIP_STAGE_DEQUEUED][i], dequeued_ns);
	dip_histogram_record(&latency[DIP_STAGE_DECISION][i], result_ns - dequeued_ns);
	dip_histogram_record(&latency[DIP_STAGE_RESULT][i], result_ns);
	if (result_ns > p->conf.deadline_ns)
		dip_count(&p->counters->proc_late, 1);
	if (dip_worst_wants(&worst[i], result_ns))
		dip_worst_note(&worst[i], &(struct dip_worst_frame){.seq = result->seq,
						  .timestamp_ns = result->timestamp_ns,
						  .dequeued_ns = dequeued_ns,
						  .result_ns = result_ns});
}

static void decide(struct dip_process *p, const struct dip_frame *frame, uint64_t dequeued_tsc,
	struct dip_result *slot)
{
	const struct dip_detector *det = p->conf.detector;
	void *sums = p->conf.sums ? dip_result_sums(slot, det->sites) : p->sums;

	slot->occupied = det->ops->detect(det, frame->pixels, sums, slot->bits);
	slot->latency_ns = since(p, frame->tsc, rte_rdtsc());
	slot->seq = frame->seq;
	slot->timestamp_ns = frame->timestamp_ns;
	note_latency(p, slot, since(p, frame->tsc, dequeued_tsc));
	dip_count(&p->counters->proc_occupied, slot->occupied);
	dip_count(&p->counters->proc_frames, 1);
	dip_site_stats_note(p->site_stats, det, sums, slot->seq, slot->occupied, slot->latency_ns);
}

static void handle(struct dip_process *p, const struct dip_desc *desc, uint64_t dequeued_tsc)
{
	struct dip_window *w = p->conf.window;
	struct dip_result *slot = w != NULL ? dip_window_slot(w, desc->ticket) : p->unwanted;
	struct dip_frame *frame = dip_desc_frame(desc);

	slot->kind = DIP_RESULT_HOLE;
	if (frame == NULL) {
		dip_count(&p->counters->proc_stale_desc, 1);
	} else if (__atomic_load_n(&p->discard, __ATOMIC_RELAXED)) {
		dip_count(&p->counters->proc_discarded, 1);
	} else {
		slot->kind = DIP_RESULT_FRAME;
		dip_frame_verify(frame);
		decide(p, frame, dequeued_tsc, slot);
		dip_frame_verify(frame);
	}
	if (w != NULL) {
		if (slot->kind == DIP_RESULT_FRAME)
			dip_count(&p->counters->results_offered, 1);
		dip_window_publish(slot, desc->ticket);
	}
	if (frame != NULL)
		dip_frame_put(frame);
}

static unsigned int process_poll(void *arg)
{
	struct dip_process *p = arg;
	struct dip_desc desc[DIP_PROCESS_BURST];
	unsigned int n = rte_ring_dequeue_burst_elem(
		p->conf.ring, desc, sizeof(desc[0]), p->conf.burst, NULL);
	uint64_t dequeued_tsc;

	if (n == 0) {
		dip_count(&p->counters->proc_empty_polls, 1);
		return 0;
	}
	dequeued_tsc = rte_rdtsc();
	for (unsigned int i = 0; i < n; i++)
		handle(p, &desc[i], dequeued_tsc);
	return n;
}

int dip_process_create(const struct dip_process_conf *conf, struct dip_process **process)
{
	unsigned int sites = conf->detector->sites;
	struct dip_process *p =
		rte_zmalloc_socket("dip_process", sizeof(*p), RTE_CACHE_LINE_SIZE, conf->socket);

	if (p == NULL)
		return -ENOMEM;
	p->conf = *conf;
	p->counters = &all_counters[conf->index];
	dip_metrics_own(&process_metrics, conf->index, conf->source);
	worst[conf->index].source = conf->source;
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		latency[stage][conf->index].max.source = conf->source;
	p->ns_per_tsc = 1e9 / rte_get_tsc_hz();
	p->sums = rte_zmalloc_socket("dip_process", sites * dip_detector_sum_bytes(conf->detector),
		RTE_CACHE_LINE_SIZE, conf->socket);
	p->unwanted =
		rte_zmalloc_socket("dip_process", sizeof(*p->unwanted) + dip_occupancy_bytes(sites),
			RTE_CACHE_LINE_SIZE, conf->socket);
	p->site_stats = dip_site_stats_create(conf->index, conf->detector, conf->site_stats);
	if (p->sums == NULL || p->unwanted == NULL || p->site_stats == NULL) {
		dip_process_free(p);
		return -ENOMEM;
	}
	*process = p;
	return 0;
}

void dip_process_free(struct dip_process *p)
{
	if (p == NULL)
		return;
	rte_free(p->sums);
	rte_free(p->unwanted);
	rte_free(p);
}

static uint64_t process_due(void *arg)
{
	(void)arg;
	return DIP_DUE_NEVER;
}

struct dip_poller dip_process_poller(struct dip_process *p)
{
	return (struct dip_poller){
		.role = "process", .poll = process_poll, .due = process_due, .arg = p};
}

void dip_process_discard(struct dip_process *p)
{
	__atomic_store_n(&p->discard, true, __ATOMIC_RELAXED);
}

const struct dip_histogram *dip_process_latency(enum dip_stage stage)
{
	return latency[stage];
}

const struct dip_worst *dip_process_worst(void)
{
	return worst;
}
