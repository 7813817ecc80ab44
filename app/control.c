/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>

#include "control.h"
#include "report.h"

/* How often the main lcore looks at the world. */
#define PERIOD_US 500
/* How often it counts the slabs that are free: that reads what every lcore writes. */
#define POOL_S 0.01
/* A paced source ends by its own count; when it has not by then, it is behind and is stopped. */
#define GRACE_S 0.25

static unsigned int signals; /* atomic: any thread may be the one that is interrupted */

static void on_signal(int number)
{
	int error = errno;

	if (__atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED) >= 2)
		signal(number, SIG_DFL);
	errno = error;
}

static unsigned int signals_caught(void)
{
	return __atomic_load_n(&signals, __ATOMIC_RELAXED);
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

void control_init(struct control *c, struct pipeline *pipelines, unsigned int count,
	const struct command *command, double seconds)
{
	const struct settings *settings = pipelines[0].settings;

	*c = (struct control){.pipelines = pipelines,
		.count = count,
		.command = command,
		.drain = settings->main.drain_queues};
	for (unsigned int i = 0; i < count; i++)
		ledger_watch_init(&c->of[i].ledger, i, count > 1 ? summaries[i].device : NULL);
	if (seconds > 0)
		c->deadline_tsc = after(seconds + (settings->dma.pace_frames ? GRACE_S : 0));
	c->next_report_tsc = after(command->stats_interval);
	c->next_ledger_tsc = after(1);
}

static void discard(struct control *c, unsigned int i)
{
	if (c->of[i].discarding)
		return;
	c->of[i].discarding = true;
	pipeline_discard(&c->pipelines[i]);
}

static void stop(struct control *c, unsigned int i)
{
	c->of[i].stopping = true;
	pipeline_stop(&c->pipelines[i]);
	if (!c->drain)
		discard(c, i);
}

static void mark(uint64_t *moment)
{
	if (*moment == 0)
		__atomic_store_n(moment, rte_rdtsc(), __ATOMIC_RELAXED);
}

static void watch_ledger(struct control *c, unsigned int i)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];

	summary_ledger(&summaries[i], accounts);
	c->of[i].unbalanced = ledger_watch_note(&c->of[i].ledger, accounts, stderr);
}

/* Returns whether there was something to do. */
static bool report(struct control *c, uint64_t now)
{
	bool work = false;

	if (now >= c->next_ledger_tsc) {
		for (unsigned int i = 0; i < c->count; i++)
			watch_ledger(c, i);
		c->next_ledger_tsc = after(1);
		work = true;
	}
	if (c->command->stats_interval > 0 && now >= c->next_report_tsc) {
		for (unsigned int i = 0; i < c->count; i++)
			report_progress(stderr, &summaries[i]);
		c->next_report_tsc += (uint64_t)(c->command->stats_interval * rte_get_tsc_hz());
		work = true;
	}
	return work;
}

/* Tell at once of a source that failed while others go on: the report may be hours away. */
static void note_error(struct control *c, unsigned int i)
{
	int error = pipeline_source_error(&c->pipelines[i]);

	if (error == 0 || __atomic_load_n(&summaries[i].error, __ATOMIC_RELAXED) != 0)
		return;
	__atomic_store_n(&summaries[i].error, error, __ATOMIC_RELAXED);
	if (c->count > 1)
		fprintf(stderr,
			"dma-image-processor: %s: the device has failed: %s; the others go on\n",
			summaries[i].device, strerror(error));
}

/* Look after one source. Returns whether it is drained. */
static bool tend(struct control *c, unsigned int i, uint64_t now)
{
	struct pipeline *p = &c->pipelines[i];
	bool finished = pipeline_finished(p);

	if (finished) {
		mark(&summaries[i].end_tsc);
		note_error(c, i);
	}
	if (!c->of[i].stopping &&
		(finished || signals_caught() > 0 || (c->deadline_tsc != 0 && now >= c->deadline_tsc)))
		stop(c, i);
	if (signals_caught() > 1)
		discard(c, i);
	if (!c->of[i].stopping || !pipeline_drained(p))
		return false;
	mark(&summaries[i].drained_tsc);
	return true;
}

static unsigned int control_poll(void *arg)
{
	struct control *c = arg;
	uint64_t now = rte_rdtsc();
	bool work, drained = true;

	if (now < c->next_tsc)
		return 0;
	c->next_tsc = now + rte_get_tsc_hz() / 1000000 * PERIOD_US;
	if (now >= c->next_pool_tsc) {
		for (unsigned int i = 0; i < c->count; i++)
			summary_note_pool(&c->pipelines[i]);
		c->next_pool_tsc = after(POOL_S);
	}
	for (unsigned int i = 0; i < c->count; i++)
		drained &= tend(c, i, now);
	work = report(c, now);
	if (drained)
		dip_lcores_halt();
	return work;
}

struct dip_poller control_poller(struct control *c)
{
	return (struct dip_poller){.role = "control", .poll = control_poll, .arg = c};
}
