/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "telemetry_impl.h"
#include "window.h"

#define NO_PROCESSOR (-2)

static void add_histogram(
	struct rte_tel_data *d, const char *name, const struct dip_histogram_summary *h)
{
	struct rte_tel_data *o = rte_tel_data_alloc();

	if (o == NULL)
		return;
	rte_tel_data_start_dict(o);
	rte_tel_data_add_dict_u64(o, "count", h->count);
	rte_tel_data_add_dict_u64(o, "mean_ns", h->mean);
	rte_tel_data_add_dict_u64(o, "p50_ns", h->p50);
	rte_tel_data_add_dict_u64(o, "p90_ns", h->p90);
	rte_tel_data_add_dict_u64(o, "p99_ns", h->p99);
	rte_tel_data_add_dict_u64(o, "p999_ns", h->p999);
	rte_tel_data_add_dict_u64(o, "p9999_ns", h->p9999);
	rte_tel_data_add_dict_u64(o, "max_ns", h->max);
	rte_tel_data_add_dict_container(d, name, o, 0);
}

/* A number of at most three digits, else -1. */
static int small_number(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 3 || strspn(text, "0123456789") != length)
		return -1;
	return atoi(text);
}

static void add_numbers(
	struct rte_tel_data *d, const char *name, const uint64_t *number, unsigned int n)
{
	struct rte_tel_data *array = rte_tel_data_alloc();

	if (array == NULL)
		return;
	rte_tel_data_start_array(array, RTE_TEL_U64_VAL);
	for (unsigned int i = 0; i < n; i++)
		rte_tel_data_add_array_u64(array, number[i]);
	rte_tel_data_add_dict_container(d, name, array, 0);
}

static void add_steps(
	struct rte_tel_data *d, const char *name, const struct dip_histogram_steps *steps)
{
	struct rte_tel_data *o = rte_tel_data_alloc();

	if (o == NULL)
		return;
	rte_tel_data_start_dict(o);
	rte_tel_data_add_dict_u64(o, "count", steps->count);
	rte_tel_data_add_dict_u64(o, "sum_ns", steps->sum);
	add_numbers(o, "at_most", steps->at_most, DIP_HISTOGRAM_STEPS);
	rte_tel_data_add_dict_container(d, name, o, 0);
}

static int answer_buckets(const struct summary *s, struct rte_tel_data *d)
{
	uint64_t bounds[DIP_HISTOGRAM_STEPS];
	struct latency_steps steps;

	for (unsigned int i = 0; i < DIP_HISTOGRAM_STEPS; i++)
		bounds[i] = dip_histogram_step(i);
	window_latency_steps(s, &steps);
	rte_tel_data_start_dict(d);
	add_numbers(d, "bounds_ns", bounds, DIP_HISTOGRAM_STEPS);
	add_steps(d, "dequeued", &steps.stage[DIP_STAGE_DEQUEUED]);
	add_steps(d, "decision", &steps.stage[DIP_STAGE_DECISION]);
	add_steps(d, "result", &steps.stage[DIP_STAGE_RESULT]);
	add_steps(d, "archived", &steps.archived);
	return 0;
}

int telemetry_latency(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct telemetry_choice c = telemetry_choose(params);
	bool reset = strcmp(c.rest, "reset") == 0;
	int processor = c.rest[0] == '\0' || reset ? WINDOW_ALL : small_number(c.rest);
	struct latencies l;

	(void)cmd;
	if (strcmp(c.rest, "buckets") == 0)
		return answer_buckets(c.summary, d);
	if (c.rest[0] != '\0' && !reset && processor < 0)
		processor = NO_PROCESSOR;
	if (window_latencies(c.summary, processor, reset, &l) < 0)
		return telemetry_error(d,
			"%.32s: expected no parameter, the number of a processor, 0 to %u, reset "
			"or "
			"buckets%s",
			c.rest, summary_processors(c.summary).count - 1,
			summary_count > 1 ? "; or a source's name" : "");
	rte_tel_data_start_dict(d);
	add_histogram(d, "dequeued", &l.dequeued);
	add_histogram(d, "decision", &l.decision);
	add_histogram(d, "result", &l.result);
	if (processor == WINDOW_ALL)
		add_histogram(d, "archived", &l.archived);
	return 0;
}

static struct rte_tel_data *worst_dict(const struct dip_worst_frame *frame)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d == NULL)
		return NULL;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_u64(d, "seq", frame->seq);
	rte_tel_data_add_dict_u64(d, "timestamp_ns", frame->timestamp_ns);
	rte_tel_data_add_dict_u64(d, "dequeued_ns", frame->dequeued_ns);
	rte_tel_data_add_dict_u64(d, "decision_ns", frame->result_ns - frame->dequeued_ns);
	rte_tel_data_add_dict_u64(d, "result_ns", frame->result_ns);
	return d;
}

int telemetry_worst(const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct dip_worst_frame worst[DIP_WORST];
	struct telemetry_choice c;
	unsigned int n;

	(void)cmd;
	if (!telemetry_choose_only(params, d, &c))
		return 0;
	n = window_worst(c.summary, worst);
	/* An array of telemetry's cannot hold dicts: the names are places, 0 is the slowest. */
	rte_tel_data_start_dict(d);
	for (unsigned int i = 0; i < n; i++) {
		struct rte_tel_data *frame = worst_dict(&worst[i]);
		char place[16];

		snprintf(place, sizeof(place), "%u", i);
		if (frame != NULL)
			rte_tel_data_add_dict_container(d, place, frame, 0);
	}
	return 0;
}

static struct rte_tel_data *lcore_dict(unsigned int id)
{
	struct rte_tel_data *d = rte_tel_data_alloc();
	struct lcore_load load;

	if (d == NULL)
		return NULL;
	window_lcore(id, &load);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "role", dip_lcore_roles(id));
	telemetry_decimal(d, "busy", load.busy);
	telemetry_decimal(d, "idle", load.idle);
	rte_tel_data_add_dict_u64(d, "turns", load.turns);
	telemetry_decimal(d, "longest_turn_us", load.longest_turn_us);
	telemetry_decimal(d, "longest_idle_us", load.longest_idle_us);
	rte_tel_data_add_dict_u64(d, "busy_ns", load.busy_ns);
	rte_tel_data_add_dict_u64(d, "idle_ns", load.idle_ns);
	return d;
}

int telemetry_lcores(const char *cmd, const char *params, struct rte_tel_data *d)
{
	unsigned int id;

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	RTE_LCORE_FOREACH(id)
	{
		struct rte_tel_data *lcore = lcore_dict(id);
		char name[16];

		snprintf(name, sizeof(name), "%u", id);
		if (lcore != NULL)
			rte_tel_data_add_dict_container(d, name, lcore, 0);
	}
	return 0;
}
