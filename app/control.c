/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "control.h"
#include "report.h"
#include "summary.h"

/* How often the main lcore looks at the world. */
#define PERIOD_US 500
/* How often it counts the slabs that are free: that reads what every lcore writes. */
#define POOL_S 0.01
/* A paced source ends by its own count; when it has not by then, it is behind and is stopped. */
#define GRACE_S 0.25

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	signals++;
	if (signals >= 2)
		signal(number, SIG_DFL);
}

void control_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static uint64_t after(double seconds)
{
	return rte_rdtsc() + (uint64_t)(seconds * rte_get_tsc_hz());
}

void control_init(struct control *c, struct pipeline *pipeline, const struct command *command,
	bool drain, double seconds)
{
	*c = (struct control){.pipeline = pipeline, .command = command, .drain = drain};
	if (seconds > 0)
		c->deadline_tsc =
			after(seconds + (pipeline->settings->dma.pace_frames ? GRACE_S : 0));
	c->next_report_tsc = after(command->stats_interval);
	c->next_ledger_tsc = after(1);
}

static void discard(struct control *c)
{
	if (c->discarding)
		return;
	c->discarding = true;
	pipeline_discard(c->pipeline);
}

static void stop(struct control *c)
{
	c->stopping = true;
	pipeline_stop(c->pipeline);
	if (!c->drain)
		discard(c);
}

static void mark(uint64_t *moment)
{
	if (*moment == 0)
		__atomic_store_n(moment, rte_rdtsc(), __ATOMIC_RELAXED);
}

static void watch_ledger(struct control *c)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];

	summary_ledger(accounts);
	c->unbalanced = ledger_watch_note(&c->ledger, accounts, stderr);
}

/* Returns whether there was something to do. */
static bool report(struct control *c, uint64_t now)
{
	bool work = false;

	if (now >= c->next_ledger_tsc) {
		watch_ledger(c);
		c->next_ledger_tsc = after(1);
		work = true;
	}
	if (c->command->stats_interval > 0 && now >= c->next_report_tsc) {
		report_progress(stderr);
		c->next_report_tsc += (uint64_t)(c->command->stats_interval * rte_get_tsc_hz());
		work = true;
	}
	return work;
}

static unsigned int control_poll(void *arg)
{
	struct control *c = arg;
	uint64_t now = rte_rdtsc();
	bool finished, work;

	if (now < c->next_tsc)
		return 0;
	c->next_tsc = now + rte_get_tsc_hz() / 1000000 * PERIOD_US;
	if (now >= c->next_pool_tsc) {
		summary_note_pool(c->pipeline);
		c->next_pool_tsc = after(POOL_S);
	}
	finished = pipeline_finished(c->pipeline);
	if (finished)
		mark(&summary.end_tsc);
	if (!c->stopping &&
		(finished || signals > 0 || (c->deadline_tsc != 0 && now >= c->deadline_tsc)))
		stop(c);
	if (signals > 1)
		discard(c);
	work = report(c, now);
	if (c->stopping && pipeline_drained(c->pipeline)) {
		mark(&summary.drained_tsc);
		dip_lcores_halt();
	}
	return work;
}

struct dip_poller control_poller(struct control *c)
{
	return (struct dip_poller){.role = "control", .poll = control_poll, .arg = c};
}
