/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"

struct list {
	unsigned int id[PLACEMENT_MAX];
	unsigned int n;
};

static bool contains(const struct list *l, unsigned int id)
{
	for (unsigned int i = 0; i < l->n; i++)
		if (l->id[i] == id)
			return true;
	return false;
}

/* --- lists of lcores in the configuration --- */

static bool exists(const struct placement_request *r, unsigned long id)
{
	for (unsigned int i = 0; i < r->worker_count; i++)
		if (r->workers[i] == id)
			return true;
	return id == r->main_lcore;
}

static int append(const struct placement_request *r, const char *key, const char *text,
	unsigned long id, struct list *out, struct dip_error *err)
{
	if (!exists(r, id))
		return dip_fail(err, EINVAL,
			"lcores.%s = \"%s\": lcore %lu does not exist; expected one of those that "
			"EAL was "
			"given (-l or --lcores)",
			key, text, id);
	if (contains(out, id))
		return dip_fail(err, EINVAL,
			"lcores.%s = \"%s\": lcore %lu is named twice; expected each lcore once",
			key, text, id);
	if (out->n == PLACEMENT_MAX)
		return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected at most %d lcores", key,
			text, PLACEMENT_MAX);
	out->id[out->n++] = id;
	return 0;
}

/* "1,3-5" -> 1 3 4 5 */
static int parse_list(const struct placement_request *r, const char *key, const char *text,
	struct list *out, struct dip_error *err)
{
	const char *at = text;

	out->n = 0;
	while (*at != '\0') {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;
		bool ok = *at >= '0' && *at <= '9';

		if (ok && *end == '-') {
			at = end + 1;
			ok = *at >= '0' && *at <= '9';
			to = strtoul(at, &end, 10);
		}
		if (!ok || (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0') ||
			to < from || to - from >= PLACEMENT_MAX)
			return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected lcores as 1,3-5",
				key, text);
		for (unsigned long id = from; id <= to; id++)
			if (append(r, key, text, id, out, err) < 0)
				return -EINVAL;
		at = *end == ',' ? end + 1 : end;
	}
	return 0;
}

static int parse_single(const struct placement_request *r, const char *key, const char *text,
	unsigned int fallback, unsigned int *out, struct dip_error *err)
{
	struct list l;

	if (parse_list(r, key, text, &l, err) < 0)
		return -EINVAL;
	if (l.n > 1)
		return dip_fail(err, EINVAL, "lcores.%s = \"%s\": expected one lcore", key, text);
	*out = l.n == 1 ? l.id[0] : fallback;
	return 0;
}

/* --- automatic placement --- */

static void add_lane(struct placement *p, unsigned int lcore)
{
	p->ingest[p->lanes++] = lcore;
}

static void add_processor(struct placement *p, unsigned int lcore, unsigned int lane)
{
	p->process[p->processors] = lcore;
	p->process_lane[p->processors++] = lane;
}

/* The workers that named roles leave free; all of them when none is left. */
static struct list free_workers(const struct placement_request *r, const struct list *taken)
{
	struct list l = {.n = 0};

	for (unsigned int i = 0; i < r->worker_count && l.n < PLACEMENT_MAX; i++)
		if (!contains(taken, r->workers[i]))
			l.id[l.n++] = r->workers[i];
	if (l.n > 0)
		return l;
	for (unsigned int i = 0; i < r->worker_count && l.n < PLACEMENT_MAX; i++)
		l.id[l.n++] = r->workers[i];
	if (l.n == 0)
		l.id[l.n++] = r->main_lcore;
	return l;
}

static unsigned int at_most(unsigned int wanted, unsigned int there)
{
	return wanted == 0 || wanted > there ? there : wanted;
}

static void place_auto(
	const struct placement_request *r, const struct list *lcores, struct placement *p)
{
	unsigned int wanted = r->settings->proc.worker_threads;
	bool split = strcmp(r->settings->lcores.layout, "split") == 0;

	if (split && lcores->n > 1) {
		unsigned int n = at_most(wanted, lcores->n - 1);

		add_lane(p, lcores->id[0]);
		for (unsigned int i = 0; i < n; i++)
			add_processor(p, lcores->id[i + 1], 0);
		return;
	}
	for (unsigned int i = 0; i < at_most(wanted, lcores->n) && i < r->max_queues; i++) {
		add_lane(p, lcores->id[i]);
		add_processor(p, lcores->id[i], i);
	}
}

/* Named lcores: those that ingest and process are fused; the other processors are dealt out. */
static int place_named(const struct list *ingest, const struct list *process,
	const struct placement_request *r, struct placement *p, struct dip_error *err)
{
	unsigned int next = 0;
	struct list lane_has = {.n = 0};

	if (ingest->n > r->max_queues)
		return dip_fail(err, EINVAL,
			"lcores.ingest: %u lcores, but the source has %u queues; expected as many "
			"at most",
			ingest->n, r->max_queues);
	for (unsigned int i = 0; i < ingest->n; i++) {
		add_lane(p, ingest->id[i]);
		if (contains(process, ingest->id[i])) {
			add_processor(p, ingest->id[i], i);
			lane_has.id[lane_has.n++] = i;
		}
	}
	for (unsigned int i = 0; i < process->n; i++) {
		if (contains(ingest, process->id[i]))
			continue;
		/* Lanes without a processor first, then in turn. */
		for (unsigned int lane = 0; lane_has.n < p->lanes && lane < p->lanes; lane++)
			if (!contains(&lane_has, lane))
				next = lane;
		add_processor(p, process->id[i], next);
		if (!contains(&lane_has, next))
			lane_has.id[lane_has.n++] = next;
		next = (next + 1) % p->lanes;
	}
	if (lane_has.n < p->lanes)
		return dip_fail(err, EINVAL,
			"lcores.process: %u lcores for the %u of lcores.ingest; expected at least "
			"one for "
			"each that does not process itself",
			process->n, ingest->n);
	return 0;
}

/* --- lcores with one role only --- */

static unsigned int roles_on(
	const struct placement *p, const struct placement_request *r, unsigned int lcore)
{
	unsigned int roles = 0;

	for (unsigned int i = 0; i < p->lanes; i++)
		roles += p->ingest[i] == lcore;
	for (unsigned int i = 0; i < p->processors; i++)
		roles += p->process[i] == lcore;
	roles += r->archiving && p->archive == lcore;
	roles += p->results == lcore;
	roles += r->main_lcore == lcore; /* which controls */
	return roles;
}

static int check_exclusive(
	const struct placement *p, const struct placement_request *r, struct dip_error *err)
{
	const char *text = r->settings->lcores.exclusive;
	struct list l;

	if (parse_list(r, "exclusive", text, &l, err) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < l.n; i++)
		if (roles_on(p, r, l.id[i]) > 1)
			return dip_fail(err, EINVAL,
				"lcores.exclusive = \"%s\": lcore %u has %u roles; expected one, "
				"give it "
				"one with lcores.ingest, process, archive or results",
				text, l.id[i], roles_on(p, r, l.id[i]));
	return 0;
}

/* For the archive: the last worker that the results have not been given. */
static unsigned int last_worker(const struct placement_request *r, unsigned int results)
{
	for (unsigned int i = r->worker_count; i > 0; i--)
		if (r->workers[i - 1] != results || r->worker_count == 1)
			return r->workers[i - 1];
	return r->main_lcore;
}

int place(const struct placement_request *r, struct placement *p, struct dip_error *err)
{
	const struct settings *s = r->settings;
	struct list ingest, process, taken = {.n = 0}, rest;
	unsigned int least = strcmp(s->lcores.layout, "split") == 0 ? 2 : 1;

	memset(p, 0, sizeof(*p));
	if (parse_list(r, "ingest", s->lcores.ingest, &ingest, err) < 0 ||
		parse_list(r, "process", s->lcores.process, &process, err) < 0 ||
		parse_single(r, "results", s->lcores.results, r->main_lcore, &p->results, err) <
			0 ||
		parse_single(r, "archive", s->lcores.archive, last_worker(r, p->results),
			&p->archive, err) < 0)
		return -EINVAL;
	/* An lcore for the archive alone, unless the user or a split on two leaves none. */
	if (r->archiving && (s->lcores.archive[0] != '\0' || r->worker_count > least))
		taken.id[taken.n++] = p->archive;
	if (s->lcores.results[0] != '\0' && !contains(&taken, p->results))
		taken.id[taken.n++] = p->results;
	if (ingest.n == 0 && process.n == 0) {
		rest = free_workers(r, &taken);
		place_auto(r, &rest, p);
	} else {
		if (ingest.n == 0)
			ingest = process;
		if (process.n == 0)
			process = ingest;
		if (place_named(&ingest, &process, r, p, err) < 0)
			return -EINVAL;
	}
	return check_exclusive(p, r, err);
}
