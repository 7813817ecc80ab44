/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>

#include "options.h"
#include "outputs.h"
#include "summary.h"

/* The file of figures of a source: a line each second, from a thread of EAL's control threads, which run where no
 * worker does. So neither a slow disk nor the making of a line ever delays a frame, a signal or a
 * result, even where the main lcore is the only one. Lines are appended whole; what a failed write
 * left of one is cut off. A write that fails costs its line only: metric stats_errors and one line of
 * the log for each episode. */

/* Of one source. */
struct stats_file {
	const struct summary *summary;
	struct outputs *outputs;
	const struct settings *settings;
	uint64_t before_tsc; /* the line before */
	pthread_t thread;
	pthread_mutex_t lock; /* of stop */
	pthread_cond_t wake;
	bool stop, running;
	bool failing; /* inside an episode of write errors */
};

/* Begin, with the first line; does nothing where outputs have no such file. All that is given stays
 * until stats_file_finish. Main lcore. */
void stats_file_start(struct stats_file *file, const struct summary *summary,
	struct outputs *outputs, const struct settings *settings);

/* No line more; waits for one that is being written. Main lcore. */
void stats_file_stop(struct stats_file *file);

/* The last line, which has what the final report has; then close. Main lcore, when everything stands
 * still. */
void stats_file_finish(struct stats_file *file);
