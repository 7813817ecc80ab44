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
static struct dip_histogram process_now[DIP_STAGES][DIP_PROCESSORS], archive_now[DIP_SOURCES];
static struct dip_histogram process_before[DIP_STAGES][DIP_PROCESSORS], archive_before[DIP_SOURCES];

static struct lcore_before {
	uint64_t busy_tsc, idle_tsc, turns;
} lcore_before[RTE_MAX_LCORE];

static void look(const struct summary *s)
{
	struct range p = summary_processors(s), a = summary_archives(s);

	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		for (unsigned int i = p.first; i < p.first + p.count; i++)
			dip_histogram_copy(&dip_process_latency(stage)[i], &process_now[stage][i]);
	for (unsigned int i = a.first; i < a.first + a.count; i++)
		dip_histogram_copy(&dip_archiver_latency()[i], &archive_now[i]);
}

static void begin_lcores(void)
{
	unsigned int id;

	RTE_LCORE_FOREACH(id)
	{
		const struct dip_lcore_stats *s = dip_lcore_stats(id);

		lcore_before[id] = (struct lcore_before){.busy_tsc = dip_read(&s->busy_tsc),
			.idle_tsc = dip_read(&s->idle_tsc),
			.turns = dip_read(&s->turns)};
	}
}

/* The window begins with what look() saw. Lcores are of no source: their window begins with all. */
static void begin_window(const struct summary *s)
{
	struct range p = summary_processors(s), a = summary_archives(s);
	uint64_t *window = s != NULL && summary_count > 1 ? &dip_peak_ahead[s->books.source]
							  : &dip_peak_window;

	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		for (unsigned int i = p.first; i < p.first + p.count; i++)
			process_before[stage][i] = process_now[stage][i];
	for (unsigned int i = a.first; i < a.first + a.count; i++)
		archive_before[i] = archive_now[i];
	if (window == &dip_peak_window)
		begin_lcores();
	__atomic_store_n(window, *window + 1, __ATOMIC_RELEASE);
}

static void summarise(enum dip_stage stage, struct range p, struct dip_histogram_summary *out)
{
	dip_histogram_summarise(
		&process_now[stage][p.first], &process_before[stage][p.first], p.count, out);
}

int window_latencies(const struct summary *s, int processor, bool begin, struct latencies *l)
{
	struct range p = summary_processors(s), a = summary_archives(s);

	if (processor != WINDOW_ALL && (processor < 0 || (unsigned int)processor >= p.count))
		return -EINVAL;
	if (processor != WINDOW_ALL)
		p = (struct range){p.first + processor, 1};
	pthread_mutex_lock(&lock);
	look(s);
	summarise(DIP_STAGE_DEQUEUED, p, &l->dequeued);
	summarise(DIP_STAGE_DECISION, p, &l->decision);
	summarise(DIP_STAGE_RESULT, p, &l->result);
	dip_histogram_summarise(
		&archive_now[a.first], &archive_before[a.first], a.count, &l->archived);
	if (begin)
		begin_window(s);
	pthread_mutex_unlock(&lock);
	return 0;
}

void window_latency_steps(const struct summary *s, struct latency_steps *steps)
{
	struct range p = summary_processors(s), a = summary_archives(s);

	memset(steps, 0, sizeof(*steps));
	pthread_mutex_lock(&lock);
	look(s);
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		dip_histogram_add_steps(
			&process_now[stage][p.first], p.count, &steps->stage[stage]);
	dip_histogram_add_steps(&archive_now[a.first], a.count, &steps->archived);
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

void window_latency_interval(
	const struct summary *s, struct latencies *l, struct latency_steps *steps)
{
	static struct dip_histogram all_before[DIP_SOURCES][DIP_STAGES + 1];
	struct dip_histogram *before = all_before[s->books.source];
	struct range p = summary_processors(s);
	struct dip_histogram_summary *of[DIP_STAGES] = {[DIP_STAGE_DEQUEUED] = &l->dequeued,
		[DIP_STAGE_DECISION] = &l->decision,
		[DIP_STAGE_RESULT] = &l->result};

	memset(steps, 0, sizeof(*steps));
	pthread_mutex_lock(&lock);
	look(s);
	for (unsigned int stage = 0; stage < DIP_STAGES; stage++)
		take_new(&process_now[stage][p.first], p.count, &before[stage], of[stage],
			&steps->stage[stage]);
	take_new(&archive_now[s->books.source], 1, &before[DIP_STAGES], &l->archived,
		&steps->archived);
	pthread_mutex_unlock(&lock);
}

unsigned int window_worst(const struct summary *s, struct dip_worst_frame worst[DIP_WORST])
{
	struct range p = summary_processors(s);
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = dip_worst_read(&dip_process_worst()[p.first], p.count, worst);
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
