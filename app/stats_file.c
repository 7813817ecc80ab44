/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
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
#include "summary.h"

RTE_LOG_REGISTER(dip_stats_log, dip.stats, NOTICE);

/* One writer: the thread, and after it the main lcore. */
static struct counters {
	uint64_t stats_errors;
} __attribute__((aligned(64))) all_counters[1];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, stats_errors, "episodes",
		"times from which on the file of figures could not be written"),
};

DIP_METRICS_REGISTER(stats_file_metrics, rows, all_counters)

static struct {
	const struct outputs *outputs;
	const struct settings *settings;
	pthread_t thread;
	pthread_mutex_t lock; /* of stop */
	pthread_cond_t wake;
	bool stop, running;
	bool failing; /* inside an episode of write errors */
} file = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

static void note(int ret)
{
	if (ret == 0 && file.failing)
		rte_log(RTE_LOG_NOTICE, dip_stats_log, "%s: written again\n", file.outputs->stats);
	if (ret < 0 && !file.failing) {
		dip_count(&all_counters[0].stats_errors, 1);
		rte_log(RTE_LOG_ERR, dip_stats_log,
			"%s: %s; the run goes on, lines of this file are missing\n",
			file.outputs->stats, strerror(-ret));
	}
	file.failing = ret < 0;
}

static void write_line(enum stats_line_place place)
{
	char *text = stats_line_make(place, file.settings);
	size_t length = text != NULL ? strlen(text) : 0;
	int ret = -ENOMEM;

	if (text != NULL) {
		text[length] = '\n'; /* instead of the zero: the text is not one any more */
		ret = append(file.outputs->stats_fd, text, length + 1);
	}
	free(text);
	note(ret);
}

/* Wait until a moment of the monotonic clock; whether to stop. */
static bool wait_until(const struct timespec *due)
{
	bool stop;
	int ret = 0;

	pthread_mutex_lock(&file.lock);
	while (!file.stop && ret == 0)
		ret = pthread_cond_timedwait(&file.wake, &file.lock, due);
	stop = file.stop;
	pthread_mutex_unlock(&file.lock);
	return stop;
}

static void *write_lines(void *arg)
{
	struct timespec due, now;

	clock_gettime(CLOCK_MONOTONIC, &due);
	write_line(STATS_LINE_FIRST);
	for (;;) {
		due.tv_sec++;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > due.tv_sec) /* a write took long: do not run after it */
			due.tv_sec = now.tv_sec;
		if (wait_until(&due))
			return arg;
		write_line(STATS_LINE_MIDDLE);
	}
}

void stats_file_start(const struct outputs *outputs, const struct settings *settings)
{
	pthread_condattr_t attributes;
	int ret;

	file.outputs = outputs;
	file.settings = settings;
	if (outputs->stats_fd < 0)
		return;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&file.wake, &attributes);
	pthread_condattr_destroy(&attributes);
	ret = rte_ctrl_thread_create(&file.thread, "dip-stats", NULL, write_lines, NULL);
	file.running = ret == 0;
	if (ret != 0)
		note(-abs(ret));
}

void stats_file_stop(void)
{
	if (!file.running)
		return;
	pthread_mutex_lock(&file.lock);
	file.stop = true;
	pthread_cond_signal(&file.wake);
	pthread_mutex_unlock(&file.lock);
	pthread_join(file.thread, NULL);
	file.running = false;
}

void stats_file_finish(struct outputs *outputs)
{
	if (outputs->stats_fd < 0)
		return;
	write_line(STATS_LINE_LAST);
	close(outputs->stats_fd);
	outputs->stats_fd = -1;
}
