/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_log.h>

#include "metrics/metrics.h"
#include "stats_file.h"
#include "stats_line.h"

RTE_LOG_REGISTER(dip_stats_log, dip.stats, NOTICE);

/* One writer each: the source's thread, and after it the main lcore. */
static struct counters {
	uint64_t stats_errors;
} __attribute__((aligned(64))) all_counters[DIP_SOURCES];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, stats_errors, "episodes",
		"times from which on the file of figures could not be written"),
};

DIP_METRICS_REGISTER(stats_file_metrics, rows, all_counters)

/* All of it, or none. */
static int append(int fd, const char *text, size_t length)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink == 0)
		return -ENOENT;
	n = write(fd, text, length);
	if (n == (ssize_t)length)
		return 0;
	if (n < 0)
		return -errno;
	return ftruncate(fd, st.st_size) < 0 ? -errno : -ENOSPC;
}

static void note(struct stats_file *f, int ret)
{
	if (ret == 0 && f->failing)
		rte_log(RTE_LOG_NOTICE, dip_stats_log, "%s: written again\n", f->outputs->stats);
	if (ret < 0 && !f->failing) {
		dip_count(&all_counters[f->summary->books.source].stats_errors, 1);
		rte_log(RTE_LOG_ERR, dip_stats_log,
			"%s: %s; the run goes on, lines of this file are missing\n",
			f->outputs->stats, strerror(-ret));
	}
	f->failing = ret < 0;
}

static void write_line(struct stats_file *f, enum stats_line_place place)
{
	char *text = stats_line_make(f->summary, place, f->settings, &f->before_tsc);
	size_t length = text != NULL ? strlen(text) : 0;
	int ret = -ENOMEM;

	if (text != NULL) {
		text[length] = '\n'; /* instead of the zero: the text is not one any more */
		ret = append(f->outputs->stats_fd, text, length + 1);
	}
	free(text);
	note(f, ret);
}

/* Wait until a moment of the monotonic clock; whether to stop. */
static bool wait_until(struct stats_file *f, const struct timespec *due)
{
	bool stop;
	int ret = 0;

	pthread_mutex_lock(&f->lock);
	while (!f->stop && ret == 0)
		ret = pthread_cond_timedwait(&f->wake, &f->lock, due);
	stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

static void *write_lines(void *arg)
{
	struct stats_file *f = arg;
	struct timespec due, now;

	clock_gettime(CLOCK_MONOTONIC, &due);
	write_line(f, STATS_LINE_FIRST);
	for (;;) {
		due.tv_sec++;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > due.tv_sec) /* a write took long: do not run after it */
			due.tv_sec = now.tv_sec;
		if (wait_until(f, &due))
			return NULL;
		write_line(f, STATS_LINE_MIDDLE);
	}
}

void stats_file_start(struct stats_file *f, const struct summary *summary, struct outputs *outputs,
	const struct settings *settings)
{
	pthread_condattr_t attributes;
	int ret;

	*f = (struct stats_file){.summary = summary, .outputs = outputs, .settings = settings};
	dip_metrics_own(&stats_file_metrics, summary->books.source, summary->books.source);
	if (outputs->stats_fd < 0)
		return;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	ret = rte_ctrl_thread_create(&f->thread, "dip-stats", NULL, write_lines, f);
	f->running = ret == 0;
	if (ret != 0)
		note(f, -abs(ret));
}

void stats_file_stop(struct stats_file *f)
{
	if (!f->running)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	f->running = false;
}

void stats_file_finish(struct stats_file *f)
{
	if (f->outputs->stats_fd < 0)
		return;
	write_line(f, STATS_LINE_LAST);
	close(f->outputs->stats_fd);
	f->outputs->stats_fd = -1;
}
