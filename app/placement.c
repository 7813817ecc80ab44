/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <rte_common.h>

#include "lcore_list.h"

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
static struct lcore_list free_workers(
	const struct placement_request *r, const struct lcore_list *taken)
{
	struct lcore_list l = {.n = 0};

	for (unsigned int i = 0; i < r->worker_count && l.n < PLACEMENT_MAX; i++)
		if (!lcore_list_has(taken, r->workers[i]))
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

/* That a source is to be polled with when the lcores are chosen here. */
static unsigned int queues_of(const struct placement_request *r, unsigned int source)
{
	return r->in_order ? 1 : r->max_queues[source];
}

static void place_auto(const struct placement_request *r, unsigned int max_queues,
	const struct lcore_list *lcores, struct placement *p)
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
	for (unsigned int i = 0; i < at_most(wanted, lcores->n) && i < max_queues; i++) {
		add_lane(p, lcores->id[i]);
		add_processor(p, lcores->id[i], i);
	}
}

/* Named lcores: those that ingest and process are fused; the other processors are dealt out. */
static int place_named(const struct lcore_list *ingest, const struct lcore_list *process,
	unsigned int max_queues, struct placement *p, struct dip_error *err)
{
	unsigned int next = 0;
	struct lcore_list lane_has = {.n = 0};

	if (ingest->n > max_queues)
		return dip_fail(err, EINVAL,
			"lcores.ingest: %u lcores, but the source has %u queues; expected as many "
			"at most",
			ingest->n, max_queues);
	for (unsigned int i = 0; i < ingest->n; i++) {
		add_lane(p, ingest->id[i]);
		if (lcore_list_has(process, ingest->id[i])) {
			add_processor(p, ingest->id[i], i);
			lane_has.id[lane_has.n++] = i;
		}
	}
	for (unsigned int i = 0; i < process->n; i++) {
		if (lcore_list_has(ingest, process->id[i]))
			continue;
		/* Lanes without a processor first, then in turn. */
		for (unsigned int lane = 0; lane_has.n < p->lanes && lane < p->lanes; lane++)
			if (!lcore_list_has(&lane_has, lane))
				next = lane;
		add_processor(p, process->id[i], next);
		if (!lcore_list_has(&lane_has, next))
			lane_has.id[lane_has.n++] = next;
		if (++next >= p->lanes)
			next = 0;
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

static unsigned int roles_of(
	const struct placement *p, const struct placement_request *r, unsigned int lcore)
{
	unsigned int roles = 0;

	for (unsigned int i = 0; i < p->lanes; i++)
		roles += p->ingest[i] == lcore;
	for (unsigned int i = 0; i < p->processors; i++)
		roles += p->process[i] == lcore;
	roles += r->archiving && p->archive == lcore;
	roles += p->results == lcore;
	return roles;
}

static unsigned int roles_on(
	const struct placement *all, const struct placement_request *r, unsigned int lcore)
{
	unsigned int roles = r->main_lcore == lcore; /* which controls */

	for (unsigned int i = 0; i < r->sources; i++)
		roles += roles_of(&all[i], r, lcore);
	return roles;
}

static int check_exclusive(
	const struct placement *all, const struct placement_request *r, struct dip_error *err)
{
	const char *text = r->settings->lcores.exclusive;
	struct lcore_list l;

	if (lcore_list_parse(r, "exclusive", text, &l, err) < 0)
		return -EINVAL;
	for (unsigned int i = 0; i < l.n; i++)
		if (roles_on(all, r, l.id[i]) > 1)
			return dip_fail(err, EINVAL,
				"lcores.exclusive = \"%s\": lcore %u has %u roles; expected one, "
				"give it "
				"one with lcores.ingest, process, archive or results",
				text, l.id[i], roles_on(all, r, l.id[i]));
	return 0;
}

/* --- all together --- */

/* What the configuration names; an empty list: it does not. */
struct named {
	struct lcore_list ingest, process, archive, results;
};

static int read_named(const struct placement_request *r, struct named *named, struct dip_error *err)
{
	const struct settings *s = r->settings;

	if (lcore_list_parse(r, "ingest", s->lcores.ingest, &named->ingest, err) < 0 ||
		lcore_list_parse(r, "process", s->lcores.process, &named->process, err) < 0 ||
		lcore_list_parse_single(r, "results", s->lcores.results, &named->results, err) <
			0 ||
		lcore_list_parse_single(r, "archive", s->lcores.archive, &named->archive, err) < 0)
		return -EINVAL;
	if (named->ingest.n == 0)
		named->ingest = named->process;
	if (named->process.n == 0)
		named->process = named->ingest;
	return 0;
}

/* The lcores that each source needs before one is spared for its archive. */
static unsigned int needed(const struct placement_request *r)
{
	bool split = strcmp(r->settings->lcores.layout, "split") == 0;
	bool one = !split && (r->archive_waits || r->settings->proc.worker_threads == 1);
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->sources; i++)
		n += one || (!split && queues_of(r, i) == 1) ? 1 : 2;
	return n;
}

/* Lcores for archives alone: one for each source, if that many are left; the last ones, which the
 * results have not been given. */
static struct lcore_list archive_lcores(
	const struct placement_request *r, const struct lcore_list *free)
{
	unsigned int least = needed(r), n = RTE_MIN(r->archives, free->n);
	struct lcore_list l = {.n = 0};

	if (!r->archiving)
		n = 0;
	else if (n == 0 && free->n > least)
		n = at_most(r->sources, free->n - least);
	for (unsigned int i = free->n - n; i < free->n; i++)
		l.id[l.n++] = free->id[i];
	return l;
}

/* Source i: its part of what is named, or of the lcores that are left. */
static int place_source(const struct placement_request *r, unsigned int i,
	const struct named *named, const struct lcore_list *rest, struct placement *p,
	struct dip_error *err)
{
	unsigned int n = r->sources;
	struct lcore_list ingest, process, lcores;

	if (named->ingest.n == 0) {
		lcores = lcore_list_deal(rest, n, i);
		place_auto(r, queues_of(r, i), &lcores, p);
		return 0;
	}
	ingest = lcore_list_deal(&named->ingest, n, i);
	process = lcore_list_deal(&named->process, n, i);
	return place_named(&ingest, &process, r->max_queues[i], p, err);
}

int place(const struct placement_request *r, struct placement *out, struct dip_error *err)
{
	struct lcore_list taken = {.n = 0}, free, rest, archive;
	struct named named;

	if (read_named(r, &named, err) < 0)
		return -EINVAL;
	free = free_workers(r, &named.results);
	archive = named.archive.n > 0 ? named.archive : archive_lcores(r, &free);
	for (unsigned int i = 0; r->archiving && i < archive.n; i++)
		taken.id[taken.n++] = archive.id[i];
	if (named.results.n > 0 && !lcore_list_has(&taken, named.results.id[0]))
		taken.id[taken.n++] = named.results.id[0];
	rest = free_workers(r, &taken);
	for (unsigned int i = 0; i < r->sources; i++) {
		struct placement *p = &out[i];

		memset(p, 0, sizeof(*p));
		p->results = named.results.n > 0 ? named.results.id[0] : r->main_lcore;
		if (archive.n == 0) { /* with the source's own, on the last of them */
			struct lcore_list own = lcore_list_deal(&free, r->sources, i);

			p->archive = own.id[own.n - 1];
		} else {
			p->archive = archive.id[i % archive.n];
		}
		if (place_source(r, i, &named, &rest, p, err) < 0)
			return -EINVAL;
	}
	return check_exclusive(out, r, err);
}
