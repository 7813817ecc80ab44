/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include "lcore/lcore.h"

/* How long without work until the CPU is offered to others. */
#define YIELD_AFTER_US 10
/* The main lcore only controls and writes text: it sleeps at once; where the others sleep, for twice as
 * long after a turn that brought little, so that it does not wake for each frame. */
#define MAIN_SLEEP_US 500u
#define MAIN_SLEEP_MOST_US 4000u
#define MAIN_LITTLE 16
/* How often it looks whether the others have ended. */
#define JOIN_US 200

static struct lcore {
	struct dip_poller poller[DIP_LCORE_POLLERS];
	unsigned int pollers;
	char roles[64];
	bool shares_cpu;
	struct dip_sleep sleep;
	unsigned int main_work; /* since its last sleep */
	unsigned int main_sleep_us;
	struct dip_lcore_stats stats;
} lcores[RTE_MAX_LCORE];

static struct dip_lcore_conf conf;
static bool halt; /* atomic */

static bool has_role(unsigned int lcore_id, const char *role)
{
	for (unsigned int i = 0; i < lcores[lcore_id].pollers; i++)
		if (strcmp(lcores[lcore_id].poller[i].role, role) == 0)
			return true;
	return false;
}

int dip_lcore_add(unsigned int lcore_id, const struct dip_poller *poller)
{
	char *roles = lcores[lcore_id].roles;
	size_t used = strlen(roles);
	bool known = has_role(lcore_id, poller->role);

	if (lcores[lcore_id].pollers == DIP_LCORE_POLLERS)
		return -ENOSPC;
	lcores[lcore_id].poller[lcores[lcore_id].pollers++] = *poller;
	lcores[lcore_id].stats.longest_tsc.source = DIP_ALL_SOURCES;
	lcores[lcore_id].stats.longest_idle_tsc.source = DIP_ALL_SOURCES;
	if (!known)
		snprintf(roles + used, sizeof(lcores[0].roles) - used, "%s%s", used > 0 ? "+" : "",
			poller->role);
	return 0;
}

static void sleep_ns(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void wait_busy(struct lcore *l, uint64_t now)
{
	(void)l;
	(void)now;
	rte_pause();
}

static void wait_main(struct lcore *l, uint64_t now)
{
	bool little = conf.idle == DIP_IDLE_SLEEP && l->main_work <= MAIN_LITTLE;

	(void)now;
	l->main_sleep_us =
		little ? RTE_MIN(2 * l->main_sleep_us, MAIN_SLEEP_MOST_US) : MAIN_SLEEP_US;
	l->main_work = 0;
	sleep_ns(1000 * l->main_sleep_us);
}

/* When the lcore's next work is due, as far as its pollers can tell; whether some cannot. */
static uint64_t next_due(const struct lcore *l, bool *unsure)
{
	uint64_t earliest = DIP_DUE_NEVER;
	bool known = false;

	*unsure = false;
	for (unsigned int i = 0; i < l->pollers; i++) {
		const struct dip_poller *p = &l->poller[i];
		uint64_t due = p->due != NULL ? p->due(p->arg) : DIP_DUE_UNKNOWN;

		known |= due != DIP_DUE_UNKNOWN;
		*unsure |= due == DIP_DUE_UNKNOWN;
		if (due != DIP_DUE_UNKNOWN)
			earliest = RTE_MIN(earliest, due);
	}
	return known ? earliest : DIP_DUE_UNKNOWN;
}

static void wait_sleep(struct lcore *l, uint64_t now)
{
	bool unsure;
	uint64_t due = next_due(l, &unsure), until = dip_sleep_until(&l->sleep, now, due, unsure);

	if (until > now) {
		sleep_ns((until - now) * 1000 / l->sleep.us);
		dip_sleep_woke(&l->sleep, rte_rdtsc());
	} else if (now - l->sleep.last_work < l->sleep.us * YIELD_AFTER_US) {
		rte_pause();
	} else {
		sched_yield();
	}
}

typedef void idle_fn(struct lcore *l, uint64_t now);

static idle_fn *const idle_fns[] = {
	[DIP_IDLE_BUSY] = wait_busy,
	[DIP_IDLE_SLEEP] = wait_sleep,
};

static unsigned int turn(unsigned int lcore_id)
{
	unsigned int work = 0;

	for (unsigned int i = 0; i < lcores[lcore_id].pollers; i++) {
		const struct dip_poller *p = &lcores[lcore_id].poller[i];

		work += p->poll(p->arg);
	}
	return work;
}

static void loop(unsigned int lcore_id, idle_fn *idle)
{
	struct lcore *l = &lcores[lcore_id];
	struct dip_lcore_stats *stats = &l->stats;
	uint64_t before = rte_rdtsc();

	dip_sleep_init(&l->sleep, rte_get_tsc_hz(), conf.sleep_max_us, before);
	l->main_sleep_us = MAIN_SLEEP_US;
	while (!__atomic_load_n(&halt, __ATOMIC_RELAXED)) {
		unsigned int work = turn(lcore_id);
		uint64_t now = rte_rdtsc();

		dip_peak_record(&stats->longest_tsc, now - before);
		dip_count(&stats->turns, 1);
		if (work > 0) {
			dip_count(&stats->busy_tsc, now - before);
			dip_sleep_worked(&l->sleep, now);
			l->main_work += work;
			before = now;
			continue;
		}
		dip_peak_record(&stats->longest_idle_tsc, now - before);
		idle(l, now);
		/* A pause is a part of the next turn, a sleep is not. */
		if (idle != wait_busy)
			now = rte_rdtsc();
		dip_count(&stats->idle_tsc, now - before);
		before = now;
	}
}

static int run(unsigned int lcore_id, idle_fn *idle)
{
	unsigned int started, n = lcores[lcore_id].pollers;
	const struct dip_poller *p = lcores[lcore_id].poller;
	int ret = 0;

	prctl(PR_SET_TIMERSLACK, 1000);
	for (started = 0; started < n && ret == 0; started++)
		if (p[started].start != NULL)
			ret = p[started].start(p[started].arg);
	if (ret == 0)
		loop(lcore_id, idle);
	else
		started--; /* the one that failed has nothing to stop */
	while (started-- > 0)
		if (p[started].stop != NULL)
			p[started].stop(p[started].arg);
	if (ret < 0)
		dip_lcores_halt();
	return ret;
}

static int worker_main(void *arg)
{
	unsigned int id = rte_lcore_id();

	(void)arg;
	return run(id, lcores[id].shares_cpu ? wait_sleep : idle_fns[conf.idle]);
}

void dip_lcore_share_cpu(unsigned int lcore_id)
{
	lcores[lcore_id].shares_cpu = true;
}

int dip_lcores_launch(const struct dip_lcore_conf *lcore_conf)
{
	unsigned int id;

	conf = *lcore_conf;
	__atomic_store_n(&halt, false, __ATOMIC_RELAXED);
	RTE_LCORE_FOREACH_WORKER(id)
	{
		int ret;

		if (lcores[id].pollers == 0)
			continue;
		ret = rte_eal_remote_launch(worker_main, NULL, id);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int dip_lcores_run_main(void)
{
	return run(rte_lcore_id(), rte_lcore_count() == 1 ? idle_fns[conf.idle] : wait_main);
}

void dip_lcores_halt(void)
{
	__atomic_store_n(&halt, true, __ATOMIC_RELAXED);
}

int dip_lcores_join(void)
{
	unsigned int id;
	int first = 0;

	RTE_LCORE_FOREACH_WORKER(id)
	{
		int ret;

		/* EAL's own waiting spins, while a worker may need this CPU to close its files. */
		while (rte_eal_get_lcore_state(id) == RUNNING)
			usleep(JOIN_US);
		ret = rte_eal_wait_lcore(id);
		if (first == 0)
			first = ret;
	}
	RTE_LCORE_FOREACH(id)
	lcores[id].pollers = 0;
	return first;
}

const struct dip_lcore_stats *dip_lcore_stats(unsigned int lcore_id)
{
	return &lcores[lcore_id].stats;
}

const char *dip_lcore_roles(unsigned int lcore_id)
{
	return lcores[lcore_id].roles;
}
