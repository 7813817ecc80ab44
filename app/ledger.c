/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "dma/dma.h"
#include "ledger.h"
#include "metrics/metrics.h"

/* One writer: the control thread. */
static struct counters {
	uint64_t ledger_checks;
	uint64_t ledger_imbalances;
} __attribute__((aligned(64))) all_counters[1];

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

static uint64_t value_of(uint16_t dev_id, const char *name)
{
	if (strcmp(name, "due") == 0)
		return __atomic_load_n(dip_dma_next_seq(dev_id), __ATOMIC_RELAXED);
	return dip_metric_value(name);
}

static void read_account(uint16_t dev_id, int i, struct ledger_account *a)
{
	*a = (struct ledger_account){.name = books[i].name};
	/* What came in is read last: nothing can then be done that was not offered. */
	for (; a->losses < LEDGER_TERMS && books[i].lost[a->losses] != NULL; a->losses++) {
		a->lost[a->losses].name = books[i].lost[a->losses];
		a->lost[a->losses].value = value_of(dev_id, books[i].lost[a->losses]);
	}
	a->done = (struct ledger_term){books[i].done, value_of(dev_id, books[i].done)};
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	a->offered = (struct ledger_term){books[i].offered, value_of(dev_id, books[i].offered)};
}

static int64_t rest_of(const struct ledger_account *a)
{
	int64_t rest = a->offered.value - a->done.value;

	for (unsigned int j = 0; j < a->losses; j++)
		rest -= a->lost[j].value;
	return rest;
}

static void read_standing(uint16_t dev_id, int i, uint64_t queued, struct ledger_account *a)
{
	read_account(dev_id, i, a);
	a->in_flight = queued;
	a->imbalance = rest_of(a) - (int64_t)queued;
}

/* Frames come and go while the counters are read. What is neither done nor lost by them was in flight
 * when the reading began, most frames at most, or has come since. */
static void read_moving(uint16_t dev_id, int i, uint64_t most, struct ledger_account *a)
{
	uint64_t before = value_of(dev_id, books[i].offered);
	int64_t rest, limit;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	read_account(dev_id, i, a);
	rest = rest_of(a);
	limit = most + (a->offered.value - before);
	a->in_flight = rest > 0 ? rest : 0;
	a->imbalance = rest < 0 ? rest : rest > limit ? rest - limit : 0;
}

void ledger_read(uint16_t dev_id, const uint64_t *queued, const uint64_t *most,
	struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		if (queued != NULL)
			read_standing(dev_id, i, queued[i], &accounts[i]);
		else
			read_moving(dev_id, i, most[i], &accounts[i]);
	}
}

bool ledger_balanced(const struct ledger_account accounts[LEDGER_ACCOUNTS])
{
	for (int i = 0; i < LEDGER_ACCOUNTS; i++)
		if (accounts[i].imbalance != 0)
			return false;
	return true;
}

bool ledger_watch_note(
	struct ledger_watch *w, const struct ledger_account accounts[LEDGER_ACCOUNTS], FILE *err)
{
	bool lasting = false;

	dip_count(&all_counters[0].ledger_checks, 1);
	dip_count(&all_counters[0].ledger_imbalances, !ledger_balanced(accounts));
	for (int i = 0; i < LEDGER_ACCOUNTS; i++) {
		w->in_a_row[i] = accounts[i].imbalance != 0 ? w->in_a_row[i] + 1 : 0;
		if (w->in_a_row[i] == LEDGER_LASTING && !w->lasting[i]) {
			w->lasting[i] = true;
			fprintf(err,
				"dma-image-processor: the ledger of %s does not balance: %" PRId64
				" frames; the counters of /dip/ledger tell more\n",
				accounts[i].name, accounts[i].imbalance);
		}
		lasting |= w->lasting[i];
	}
	return lasting;
}
