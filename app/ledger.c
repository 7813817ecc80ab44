/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dma/dma.h"
#include "ledger.h"
#include "metrics/metrics.h"

/* One writer: the control thread. One for each source. */
static struct counters {
	uint64_t ledger_checks;
	uint64_t ledger_imbalances;
} __attribute__((aligned(64))) all_counters[DIP_SOURCES];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, ledger_checks, "checks", "times the ledger was looked at"),
	DIP_METRIC(struct counters, ledger_imbalances, "checks",
		"of these, with an account that did not balance"),
};

DIP_METRICS_REGISTER(ledger_metrics, rows, all_counters)

static const struct {
	const char *name, *offered, *done;
	const char *lost[LEDGER_TERMS]; /* NULL at the end */
} books[LEDGER_ACCOUNTS] = {
	[LEDGER_DEVICE] = {"device", "due", "dma_frames", {"dma_missed", "dma_gaps"}},
	[LEDGER_PROC] = {"proc", "proc_offered", "proc_frames",
		{"drops_proc_queue", "drops_results_queue", "proc_stale_desc", "proc_discarded",
			"proc_offer_discarded"}},
	[LEDGER_ARCH] = {"arch", "dma_arch_offered", "arch_frames",
		{"drops_arch_queue", "arch_io_errors", "arch_stale_desc", "arch_discarded",
			"arch_offer_discarded"}},
	[LEDGER_RESULTS] = {"results", "results_offered", "results_frames", {"results_io_errors"}},
};

static uint64_t value_of(const struct ledger_source *s, const char *name)
{
	if (strcmp(name, "due") == 0)
		return __atomic_load_n(dip_dma_next_seq(s->dev_id), __ATOMIC_RELAXED);
	return dip_metric_of(s->source, name);
}

static void read_account(const struct ledger_source *s, int i, struct ledger_account *a)
{
	*a = (struct ledger_account){.name = books[i].name};
	/* What came in is read last: nothing can then be done that was not offered. */
	for (; a->losses < LEDGER_TERMS && books[i].lost[a->losses] != NULL; a->losses++) {
		a->lost[a->losses].name = books[i].lost[a->losses];
		a->lost[a->losses].value = value_of(s, books[i].lost[a->losses]);
	}
	a->done = (struct ledger_term){books[i].done, value_of(s, books[i].done)};
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	a->offered = (struct ledger_term){books[i].offered, value_of(s, books[i].offered)};
}

static int64_t rest_of(const struct ledger_account *a)
{
	int64_t rest = a->offered.value - a->done.value;

	for (unsigned int j = 0; j < a->losses; j++)
		rest -= a->lost[j].value;
	return rest;
}

static void read_standing(
	const struct ledger_source *s, int i, uint64_t queued, struct ledger_account *a)
{
	read_account(s, i, a);
	a->in_flight = queued;
	a->imbalance = rest_of(a) - (int64_t)queued;
}

/* Frames come and go while the counters are read. What is neither done nor lost by them was in flight
 * when the reading began, most frames at most, or has come since. */
static void read_moving(
	const struct ledger_source *s, int i, uint64_t most, struct ledger_account *a)
{
	uint64_t before = value_of(s, books[i].offered);
	int64_t rest, limit;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	read_account(s, i, a);
	rest = rest_of(a);
	limit = most + (a->offered.value - before);
	a->in_flight = rest > 0 ? rest : 0;
	a->imbalance = rest < 0 ? rest : rest > limit ? rest - limit : 0;
}

void ledger_read(const struct ledger_source *s, const uint64_t *queued, const uint64_t *most,
	struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		if (queued != NULL)
			read_standing(s, i, queued[i], &accounts[i]);
		else
			read_moving(s, i, most[i], &accounts[i]);
	}
}

static void add_term(struct ledger_term *sum, const struct ledger_term *term)
{
	sum->name = term->name;
	sum->value += term->value;
}

void ledger_add(struct ledger_account sum[LEDGER_ACCOUNTS],
	const struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		const struct ledger_account *a = &accounts[i];

		sum[i].name = a->name;
		add_term(&sum[i].offered, &a->offered);
		add_term(&sum[i].done, &a->done);
		sum[i].losses = a->losses;
		for (unsigned int j = 0; j < a->losses; j++)
			add_term(&sum[i].lost[j], &a->lost[j]);
		sum[i].in_flight += a->in_flight;
		sum[i].imbalance += llabs(a->imbalance);
	}
}

bool ledger_balanced(const struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	for (int i = 0; i < LEDGER_ACCOUNTS; i++)
		if (accounts[i].imbalance != 0)
			return false;
	return true;
}

void ledger_watch_init(struct ledger_watch *w, unsigned int source, const char *device)
{
	*w = (struct ledger_watch){.source = source, .device = device};
	dip_metrics_own(&ledger_metrics, source, source);
}

bool ledger_watch_note(
	struct ledger_watch *w, const struct ledger_account accounts[LEDGER_ACCOUNTS], FILE *err)
{
	struct counters *c = &all_counters[w->source];
	bool lasting = false;

	dip_count(&c->ledger_checks, 1);
	dip_count(&c->ledger_imbalances, !ledger_balanced(accounts));
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		w->in_a_row[i] = accounts[i].imbalance != 0 ? w->in_a_row[i] + 1 : 0;
		if (w->in_a_row[i] == LEDGER_LASTING && !w->lasting[i]) {
			w->lasting[i] = true;
			fprintf(err,
				"dma-image-processor: %s%sthe ledger of %s does not balance: "
				"%" PRId64 " frames; the counters of /dip/ledger tell more\n",
				w->device != NULL ? w->device : "", w->device != NULL ? ": " : "",
				accounts[i].name, accounts[i].imbalance);
		}
		lasting |= w->lasting[i];
	}
	return lasting;
}
