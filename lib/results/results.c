/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_log.h>

#include "results/results.h"
#include "results/text.h"

RTE_LOG_REGISTER(dip_results_log, dip.results, NOTICE);

#define BUFFER_BYTES (1 << 20)
/* Text waits at most this long for more of it. */
#define FLUSH_MS 100
/* Results taken a poll, so that a stop is seen in time. */
#define BURST 1024

/* One writer: the results poller. */
static struct counters {
	uint64_t results_frames;
	uint64_t results_bytes;
	uint64_t results_io_errors;
	uint64_t results_holes;
	uint64_t results_removed;
} __attribute__((aligned(64))) all_counters[1];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, results_frames, "frames", "frames whose result is written"),
	DIP_METRIC(struct counters, results_bytes, "bytes", "bytes of results written"),
	DIP_METRIC(struct counters, results_io_errors, "frames",
		"frames whose result could not be written"),
	DIP_METRIC(struct counters, results_removed, "files",
		"results files removed behind our back: what was in them is gone"),
	DIP_METRIC(struct counters, results_holes, "frames",
		"queued frames that have no result: stale or discarded"),
};

DIP_METRICS_REGISTER(results_metrics, rows, all_counters)

struct dip_results {
	struct dip_results_conf conf;
	struct counters *counters;
	char *buffer;
	size_t used;          /* bytes of text in the buffer */
	size_t frame_bytes;   /* the most that one frame's text takes */
	uint64_t buffered;    /* frames in the buffer; atomic, read by the control thread */
	uint64_t oldest_tsc;  /* when the oldest of them came */
	uint64_t until_print; /* frames until the next one is printed */
	bool failing;         /* inside an episode of write errors */
};

/* Write it all; on failure take back what a short write left, so that no half line remains. */
static int write_all(int fd, const char *text, size_t bytes)
{
	size_t done = 0;
	off_t at = lseek(fd, 0, SEEK_CUR);

	while (done < bytes) {
		ssize_t n = write(fd, text + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;

			if (at >= 0 && (ftruncate(fd, at) < 0 || lseek(fd, at, SEEK_SET) < 0))
				return -error;
			return -error;
		}
		done += n;
	}
	return 0;
}

static void note_failure(struct dip_results *r, int ret)
{
	if (!r->failing)
		rte_log(RTE_LOG_ERR, dip_results_log,
			"%s: %s; results are counted as results_io_errors until it works "
			"again\n",
			r->conf.file, strerror(-ret));
	r->failing = true;
}

/* What is written to a file without a name is written for nobody: go on in a new one. */
static int keep_file(struct dip_results *r)
{
	struct stat st;
	int fd;

	if (fstat(r->conf.fd, &st) < 0 || st.st_nlink > 0)
		return 0;
	if (!r->failing) {
		dip_count(&r->counters->results_removed, 1);
		rte_log(RTE_LOG_ERR, dip_results_log,
			"%s: removed while it was written; what was in it is gone\n", r->conf.file);
	}
	fd = open(r->conf.file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	dup3(fd, r->conf.fd, O_CLOEXEC);
	close(fd);
	return 0;
}

static void flush(struct dip_results *r)
{
	uint64_t frames = r->buffered;
	int ret;

	if (r->used == 0)
		return;
	ret = keep_file(r);
	if (ret == 0)
		ret = write_all(r->conf.fd, r->buffer, r->used);
	if (ret < 0) {
		note_failure(r, ret);
		dip_count(&r->counters->results_io_errors, frames);
	} else {
		if (r->failing)
			rte_log(RTE_LOG_NOTICE, dip_results_log, "%s: written again\n",
				r->conf.file);
		r->failing = false;
		dip_count(&r->counters->results_frames, frames);
		dip_count(&r->counters->results_bytes, r->used);
	}
	r->used = 0;
	__atomic_store_n(&r->buffered, 0, __ATOMIC_RELEASE);
}

static void write_result(struct dip_results *r, const struct dip_result *result)
{
	char *text = r->buffer + r->used;
	size_t bytes = dip_text_format(text, result, r->conf.sites);

	if (r->conf.print_stdout && --r->until_print == 0) {
		r->until_print = r->conf.interval_print;
		fwrite(text, 1, bytes, stdout);
	}
	if (r->conf.fd < 0) {
		dip_count(&r->counters->results_frames, 1);
		return;
	}
	if (r->used == 0)
		r->oldest_tsc = rte_rdtsc();
	r->used += bytes;
	__atomic_store_n(&r->buffered, r->buffered + 1, __ATOMIC_RELAXED);
	if (r->used > BUFFER_BYTES) /* the buffer has room for one frame more */
		flush(r);
}

/* The lane whose next result comes first in seq, or NULL while that cannot be known: a frame of
 * another lane with a smaller seq may still be on its way. */
static struct dip_window *next_lane(const struct dip_results *r)
{
	struct dip_window *first = NULL;
	uint64_t lowest = UINT64_MAX, floor = UINT64_MAX;

	for (unsigned int i = 0; i < r->conf.lanes; i++) {
		struct dip_window *w = r->conf.windows[i];
		/* The floor before the tickets: whoever reads a floor sees all tickets below it. */
		uint64_t lane_floor = __atomic_load_n(&w->seq_floor, __ATOMIC_ACQUIRE);
		const struct dip_result *head = dip_window_peek(w);

		if (head == NULL && __atomic_load_n(&w->issued, __ATOMIC_ACQUIRE) > w->consumed)
			return NULL;
		if (head == NULL) {
			floor = lane_floor < floor ? lane_floor : floor;
		} else if (head->kind == DIP_RESULT_HOLE) {
			return w; /* holes have no seq and no place in the order */
		} else if (head->seq < lowest) {
			lowest = head->seq;
			first = w;
		}
	}
	return lowest < floor ? first : NULL;
}

static unsigned int results_poll(void *arg)
{
	struct dip_results *r = arg;
	unsigned int work;

	for (work = 0; work < BURST; work++) {
		struct dip_window *w = next_lane(r);
		const struct dip_result *head;

		if (w == NULL)
			break;
		head = dip_window_peek(w);
		if (head->kind == DIP_RESULT_FRAME)
			write_result(r, head);
		else
			dip_count(&r->counters->results_holes, 1);
		dip_window_consume(w);
	}
	if (r->used > 0 && rte_rdtsc() - r->oldest_tsc > rte_get_tsc_hz() / 1000 * FLUSH_MS)
		flush(r);
	return work;
}

static void results_stop(void *arg)
{
	struct dip_results *r = arg;

	flush(r);
	if (r->conf.print_stdout)
		fflush(stdout);
}

int dip_results_create(const struct dip_results_conf *conf, struct dip_results **results)
{
	struct dip_results *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->conf = *conf;
	r->counters = &all_counters[0];
	r->until_print = 1;
	r->frame_bytes = dip_text_bytes(conf->sites);
	r->buffer = malloc(BUFFER_BYTES + r->frame_bytes);
	r->conf.windows = calloc(conf->lanes, sizeof(r->conf.windows[0]));
	if (r->buffer == NULL || r->conf.windows == NULL) {
		dip_results_free(r);
		return -ENOMEM;
	}
	memcpy(r->conf.windows, conf->windows, conf->lanes * sizeof(r->conf.windows[0]));
	*results = r;
	return 0;
}

void dip_results_free(struct dip_results *r)
{
	if (r == NULL)
		return;
	free(r->buffer);
	free(r->conf.windows);
	free(r);
}

struct dip_poller dip_results_poller(struct dip_results *r)
{
	return (struct dip_poller){
		.role = "results", .poll = results_poll, .stop = results_stop, .arg = r};
}

uint64_t dip_results_most(const struct dip_results *r)
{
	/* The buffer is written when it is over its size; no frame's text is shorter than its sites. */
	uint64_t most = BUFFER_BYTES / (r->conf.sites + 1) + 1;

	for (unsigned int i = 0; i < r->conf.lanes; i++)
		most += r->conf.windows[i]->size;
	return most;
}

bool dip_results_idle(const struct dip_results *r)
{
	for (unsigned int i = 0; i < r->conf.lanes; i++) {
		const struct dip_window *w = r->conf.windows[i];

		if (__atomic_load_n(&w->consumed, __ATOMIC_ACQUIRE) !=
			__atomic_load_n(&w->issued, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}
