/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "archive/archiver.h"
#include "window.h"

/* Of readers alone: no writer takes it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What the histograms hold now, and what they held when the window began. */
static struct dip_histogram process_now[DIP_STAGES][DIP_PROCESSORS], archive_now;
static struct dip_histogram process_before[DIP_STAGES][DIP_PROCESSORS], archive_before;

static struct lcore_before {
	uint64_t busy_tsc, idle_tsc, turns;
} lcore_before[RTE_MAX_LCORE];

static void look(void)
{
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		for (unsigned int i = 0; i < summary.processors; i++)
			dip_histogram_copy(&dip_process_latency(stage)[i], &process_now[stage][i]);
	dip_histogram_copy(dip_archiver_latency(), &archive_now);
}

/* The window begins with what look() saw. */
static void begin_window(void)
{
	unsigned int id;

	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		for (unsigned int i = 0; i < summary.processors; i++)
			process_before[stage][i] = process_now[stage][i];
	archive_before = archive_now;
	RTE_LCORE_FOREACH(id)
	{
		const struct dip_lcore_stats *s = dip_lcore_stats(id);

		lcore_before[id] = (struct lcore_before){.busy_tsc = dip_read(&s->busy_tsc),
			.idle_tsc = dip_read(&s->idle_tsc),
			.turns = dip_read(&s->turns)};
	}
	__atomic_store_n(&dip_peak_window, dip_peak_window + 1, __ATOMIC_RELEASE);
}

static void summarise(
	enum dip_stage stage, unsigned int first, unsigned int n, struct dip_histogram_summary *out)
{
	dip_histogram_summarise(&process_now[stage][first], &process_before[stage][first], n, out);
}

int window_latencies(int processor, bool begin, struct latencies *l)
{
	unsigned int first = processor == WINDOW_ALL ? 0 : processor;
	unsigned int n = processor == WINDOW_ALL ? summary.processors : 1;

	if (processor != WINDOW_ALL && (processor < 0 || first >= summary.processors))
		return -EINVAL;
	pthread_mutex_lock(&lock);
	look();
	summarise(DIP_STAGE_DEQUEUED, first, n, &l->dequeued);
	summarise(DIP_STAGE_DECISION, first, n, &l->decision);
	summarise(DIP_STAGE_RESULT, first, n, &l->result);
	dip_histogram_summarise(&archive_now, &archive_before, 1, &l->archived);
	if (begin)
		begin_window();
	pthread_mutex_unlock(&lock);
	return 0;
}

void window_latency_steps(struct latency_steps *steps)
{
	memset(steps, 0, sizeof(*steps));
	pthread_mutex_lock(&lock);
	look();
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		dip_histogram_add_steps(
			process_now[stage], summary.processors, &steps->stage[stage]);
	dip_histogram_add_steps(&archive_now, 1, &steps->archived);
	pthread_mutex_unlock(&lock);
}

/* What n histograms hold together beyond *before, which becomes what they hold. */
static void take_new(const struct dip_histogram *now, unsigned int n, struct dip_histogram *before,
	struct dip_histogram_summary *summary_out, struct dip_histogram_steps *steps)
{
	static struct dip_histogram fresh; /* under the lock */

	memset(&fresh, 0, sizeof(fresh));
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int b = 0; b < DIP_HISTOGRAM_BUCKETS; b++)
			fresh.bucket[b] += now[i].bucket[b];
		fresh.sum += now[i].sum;
		fresh.count += now[i].count;
	}
	for (unsigned int b = 0; b < DIP_HISTOGRAM_BUCKETS; b++) {
		fresh.bucket[b] -= before->bucket[b];
		before->bucket[b] += fresh.bucket[b];
	}
	fresh.sum -= before->sum;
	before->sum += fresh.sum;
	fresh.count -= before->count;
	before->count += fresh.count;
	dip_histogram_summarise(&fresh, NULL, 1, summary_out);
	dip_histogram_add_steps(&fresh, 1, steps);
}

void window_latency_interval(struct latencies *l, struct latency_steps *steps)
{
	static struct dip_histogram before[DIP_STAGES + 1];
	struct dip_histogram_summary *of[DIP_STAGES] = {[DIP_STAGE_DEQUEUED] = &l->dequeued,
		[DIP_STAGE_DECISION] = &l->decision,
		[DIP_STAGE_RESULT] = &l->result};

	memset(steps, 0, sizeof(*steps));
	pthread_mutex_lock(&lock);
	look();
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		take_new(process_now[stage], summary.processors, &before[stage], of[stage],
			&steps->stage[stage]);
	take_new(&archive_now, 1, &before[DIP_STAGES], &l->archived, &steps->archived);
	pthread_mutex_unlock(&lock);
}

unsigned int window_worst(struct dip_worst_frame worst[DIP_WORST])
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = dip_worst_read(dip_process_worst(), summary.processors, worst);
	pthread_mutex_unlock(&lock);
	return n;
}

void window_lcore(unsigned int id, struct lcore_load *load)
{
	const struct dip_lcore_stats *s = dip_lcore_stats(id);
	double us_per_tsc = 1e6 / rte_get_tsc_hz(), all;
	uint64_t busy, idle;

	pthread_mutex_lock(&lock);
	busy = dip_read(&s->busy_tsc);
	idle = dip_read(&s->idle_tsc);
	load->busy_ns = busy * 1e3 * us_per_tsc;
	load->idle_ns = idle * 1e3 * us_per_tsc;
	busy -= lcore_before[id].busy_tsc;
	idle -= lcore_before[id].idle_tsc;
	load->turns = dip_read(&s->turns) - lcore_before[id].turns;
	load->longest_turn_us = dip_peak_read(&s->longest_tsc) * us_per_tsc;
	load->longest_idle_us = dip_peak_read(&s->longest_idle_tsc) * us_per_tsc;
	pthread_mutex_unlock(&lock);
	all = (double)busy + idle;
	load->busy = all > 0 ? busy / all : 0;
	load->idle = all > 0 ? idle / all : 0;
}
