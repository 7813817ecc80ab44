/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics.h"
#include "results/results.h"
#include "results/writer.h"

/* Results taken a poll, so that a stop is seen in time. */
#define BURST 1024
/* Results taken from a lane before ingest is told that there is room again. */
#define RUN 32

/* One writer each: the source's results poller. */
static struct counters {
	uint64_t results_holes;
} __attribute__((aligned(64))) all_counters[DIP_SOURCES];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, results_holes, "frames",
		"queued frames that have no result: stale or discarded"),
};

DIP_METRICS_REGISTER(results_metrics, rows, all_counters)

struct dip_results {
	struct dip_results_conf conf;
	struct counters *counters;
	struct dip_results_writer *writer;
	uint8_t *line;        /* room for one result as text, for stdout; NULL: not wanted */
	uint64_t until_print; /* frames until the next one is printed */
};

static void print(struct dip_results *r, const struct dip_result *result)
{
	if (--r->until_print > 0)
		return;
	r->until_print = r->conf.interval_print;
	fwrite(r->line, 1, dip_results_text.put(&r->conf.shape, result, r->line), stdout);
}

static void take(struct dip_results *r, const struct dip_result *result)
{
	if (result->kind == DIP_RESULT_HOLE) {
		dip_count(&r->counters->results_holes, 1);
		return;
	}
	if (r->line != NULL)
		print(r, result);
	dip_results_writer_add(r->writer, result);
}

/* Where results can be taken now: from this lane, in their order, while their seq is below the
 * limit: what any other lane has yet to give is not. */
struct run {
	struct dip_window *window; /* NULL: nothing can be taken */
	uint64_t limit;
};

/* The lane whose next result comes first in seq; none while that cannot be known: a frame of another
 * lane with a smaller seq may still be on its way. */
static struct run next_run(const struct dip_results *r)
{
	uint64_t lowest = UINT64_MAX, second = UINT64_MAX;
	struct dip_window *first = NULL;

	for (unsigned int i = 0; i < r->conf.lanes; i++) {
		struct dip_window *w = r->conf.windows[i];
		/* The floor before the tickets: whoever reads a floor sees all tickets below it. */
		uint64_t bound = __atomic_load_n(&w->seq_floor, __ATOMIC_ACQUIRE);
		const struct dip_result *head = dip_window_peek(w, w->consumed);

		if (head == NULL && __atomic_load_n(&w->issued, __ATOMIC_ACQUIRE) > w->consumed)
			return (struct run){.window = NULL};
		if (head != NULL && head->kind == DIP_RESULT_HOLE)
			return (struct run){w, 0}; /* holes have no seq, no place in the order */
		if (head != NULL)
			bound = head->seq;
		if (head != NULL && bound < lowest) {
			second = lowest < second ? lowest : second;
			lowest = bound;
			first = w;
		} else {
			second = bound < second ? bound : second;
		}
	}
	return (struct run){lowest < second ? first : NULL, second};
}

/* Take what is there of a run, RUN at most. */
static unsigned int take_run(struct dip_results *r, const struct run *run)
{
	struct dip_window *w = run->window;
	uint64_t begin = w->consumed, at = begin;

	for (; at - begin < RUN; at++) {
		const struct dip_result *result = dip_window_peek(w, at);

		if (result == NULL ||
			(result->kind == DIP_RESULT_FRAME && result->seq >= run->limit))
			break;
		take(r, result);
	}
	dip_window_consume(w, at - begin);
	return at - begin;
}

static unsigned int results_poll(void *arg)
{
	struct dip_results *r = arg;
	unsigned int work = 0;

	while (work < BURST) {
		struct run run = next_run(r);

		if (run.window == NULL)
			break;
		work += take_run(r, &run);
	}
	return work + dip_results_writer_poll(r->writer);
}

static void results_stop(void *arg)
{
	struct dip_results *r = arg;

	dip_results_writer_flush(r->writer);
	if (r->conf.print_stdout)
		fflush(stdout);
}

int dip_results_create(const struct dip_results_conf *conf, struct dip_results **results)
{
	const struct dip_results_format *format =
		conf->format != NULL ? conf->format : &dip_results_text;
	struct dip_results *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->conf = *conf;
	r->counters = &all_counters[conf->source];
	dip_metrics_own(&results_metrics, conf->source, conf->source);
	r->until_print = 1;
	r->conf.windows = calloc(conf->lanes, sizeof(r->conf.windows[0]));
	if (conf->print_stdout)
		r->line = malloc(dip_results_text.most(&conf->shape));
	if (r->conf.windows == NULL || (conf->print_stdout && r->line == NULL) ||
		dip_results_writer_create(
			format, &conf->shape, conf->fd, conf->file, conf->source, &r->writer) < 0) {
		dip_results_free(r);
		return -ENOMEM;
	}
	memcpy(r->conf.windows, conf->windows, conf->lanes * sizeof(r->conf.windows[0]));
	*results = r;
	return 0;
}

void dip_results_free(struct dip_results *r)
{
	if (r == NULL)
		return;
	dip_results_writer_free(r->writer);
	free(r->line);
	free(r->conf.windows);
	free(r);
}

struct dip_poller dip_results_poller(struct dip_results *r)
{
	return (struct dip_poller){
		.role = "results", .poll = results_poll, .stop = results_stop, .arg = r};
}

uint64_t dip_results_most(const struct dip_results *r)
{
	uint64_t most = dip_results_writer_most(r->writer);

	for (unsigned int i = 0; i < r->conf.lanes; i++)
		most += r->conf.windows[i]->size;
	return most;
}

bool dip_results_idle(const struct dip_results *r)
{
	for (unsigned int i = 0; i < r->conf.lanes; i++) {
		const struct dip_window *w = r->conf.windows[i];

		if (__atomic_load_n(&w->consumed, __ATOMIC_ACQUIRE) !=
			__atomic_load_n(&w->issued, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}
