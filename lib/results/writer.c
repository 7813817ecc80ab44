/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_log.h>

#include "metrics/metrics.h"
#include "results/writer.h"
#include "util/file.h"

RTE_LOG_REGISTER(dip_results_log, dip.results, NOTICE);

#define BUFFER_BYTES ((size_t)1 << 20)
/* Results wait at most this long for more of them. */
#define FLUSH_MS 100

/* One writer each: the source's results poller. */
static struct counters {
	uint64_t results_frames;
	uint64_t results_bytes;
	uint64_t results_io_errors;
	uint64_t results_removed;
} __attribute__((aligned(64))) all_counters[DIP_SOURCES];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, results_frames, "frames", "frames whose result is written"),
	DIP_METRIC(struct counters, results_bytes, "bytes", "bytes of results written"),
	DIP_METRIC(struct counters, results_io_errors, "frames",
		"frames whose result could not be written"),
	DIP_METRIC(struct counters, results_removed, "files",
		"results files removed or cut behind our back: what was in them is gone"),
};

DIP_METRICS_REGISTER(results_writer_metrics, rows, all_counters)

struct dip_results_writer {
	const struct dip_results_format *format;
	struct dip_results_shape shape;
	struct counters *counters;
	int fd;
	const char *file;
	uint64_t end;      /* bytes of the file that are good */
	uint64_t records;  /* results in it */
	uint64_t promised; /* and how many it says there are; UINT64_MAX: unknown */
	uint8_t *buffer;
	size_t used;         /* bytes in the buffer */
	uint64_t buffered;   /* results in it */
	uint64_t oldest_tsc; /* when the oldest of them came */
	uint64_t flush_tsc;  /* FLUSH_MS */
	bool begun;          /* what stands before the results is in the file */
	bool failing;        /* inside an episode of write errors */
};

static int begin(struct dip_results_writer *w)
{
	int ret = w->format->begin != NULL ? w->format->begin(&w->shape, w->fd) : 0;

	w->begun = ret >= 0;
	w->end = ret > 0 ? ret : 0;
	w->records = w->promised = 0;
	return ret < 0 ? ret : 0;
}

static void note_loss(struct dip_results_writer *w, const char *how)
{
	if (w->failing)
		return;
	dip_count(&w->counters->results_removed, 1);
	rte_log(RTE_LOG_ERR, dip_results_log,
		"%s: %s while it was written; what was in it is gone\n", w->file, how);
}

/* What is written to a file without a name is written for nobody: go on in a new one. */
static int replace_file(struct dip_results_writer *w)
{
	int fd = dip_results_file_create(w->file, w->format, &w->shape);

	if (fd < 0)
		return fd;
	dup3(fd, w->fd, O_CLOEXEC);
	close(fd);
	w->begun = false;
	return 0;
}

static int cut_file(struct dip_results_writer *w)
{
	return ftruncate(w->fd, w->end) < 0 ? -errno : 0;
}

static int empty_file(struct dip_results_writer *w)
{
	w->begun = false;
	w->end = 0;
	return cut_file(w);
}

/* Before each write: is the file still what we made of it? */
static int keep_file(struct dip_results_writer *w)
{
	struct stat st = {0};
	int ret = 0;

	if (fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0) {
		note_loss(w, "removed");
		ret = replace_file(w);
	} else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < w->end) {
		note_loss(w, "cut");
		ret = empty_file(w);
	} else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > w->end) {
		ret = cut_file(w); /* what a write left that failed */
	}
	return ret == 0 && !w->begun ? begin(w) : ret;
}

/* Write it all, then say so; on failure take back what a short write left, so that no part of a
 * result remains. */
static int write_all(struct dip_results_writer *w)
{
	uint64_t records = w->records + w->buffered;
	int ret = dip_write_at(w->fd, w->buffer, w->used, w->end);

	if (ret == 0 && w->format->promise != NULL) {
		ret = w->format->promise(&w->shape, w->fd, w->promised, records);
		w->promised = ret == 0 ? records : UINT64_MAX;
	}
	if (ret < 0) {
		cut_file(w); /* if it cannot be done now, it will be before the next write */
		return ret;
	}
	w->end += w->used;
	w->records = records;
	return 0;
}

static void note_result(struct dip_results_writer *w, int ret)
{
	if (ret < 0 && !w->failing)
		rte_log(RTE_LOG_ERR, dip_results_log,
			"%s: %s; results are counted as results_io_errors until it works again\n",
			w->file, strerror(-ret));
	if (ret == 0 && w->failing)
		rte_log(RTE_LOG_NOTICE, dip_results_log, "%s: written again\n", w->file);
	w->failing = ret < 0;
}

void dip_results_writer_flush(struct dip_results_writer *w)
{
	int ret;

	if (w->buffered == 0)
		return;
	ret = keep_file(w);
	if (ret == 0)
		ret = write_all(w);
	note_result(w, ret);
	if (ret < 0) {
		dip_count(&w->counters->results_io_errors, w->buffered);
	} else {
		dip_count(&w->counters->results_frames, w->buffered);
		dip_count(&w->counters->results_bytes, w->used);
	}
	w->used = w->buffered = 0;
}

void dip_results_writer_add(struct dip_results_writer *w, const struct dip_result *result)
{
	if (w->fd < 0) {
		dip_count(&w->counters->results_frames, 1);
		return;
	}
	if (w->buffered == 0)
		w->oldest_tsc = rte_rdtsc();
	w->used += w->format->put(&w->shape, result, w->buffer + w->used);
	w->buffered++;
	if (w->used > BUFFER_BYTES) /* the buffer has room for one more */
		dip_results_writer_flush(w);
}

bool dip_results_writer_poll(struct dip_results_writer *w)
{
	if (w->buffered == 0 || rte_rdtsc() - w->oldest_tsc <= w->flush_tsc)
		return false;
	dip_results_writer_flush(w);
	return true;
}

int dip_results_writer_create(const struct dip_results_format *format,
	const struct dip_results_shape *shape, int fd, const char *file, unsigned int source,
	struct dip_results_writer **writer)
{
	struct dip_results_writer *w = calloc(1, sizeof(*w));
	struct stat st;

	if (w == NULL)
		return -ENOMEM;
	w->format = format;
	w->shape = *shape;
	w->counters = &all_counters[source];
	dip_metrics_own(&results_writer_metrics, source, source);
	w->fd = fd;
	w->file = file;
	w->flush_tsc = rte_get_tsc_hz() / 1000 * FLUSH_MS;
	w->begun = true;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		w->end = st.st_size;
	w->buffer = malloc(BUFFER_BYTES + format->most(shape));
	if (w->buffer == NULL) {
		free(w);
		return -ENOMEM;
	}
	*writer = w;
	return 0;
}

void dip_results_writer_free(struct dip_results_writer *w)
{
	if (w == NULL)
		return;
	free(w->buffer);
	free(w);
}

uint64_t dip_results_writer_most(const struct dip_results_writer *w)
{
	/* The buffer is written when it is over its size. */
	return BUFFER_BYTES / w->format->least(&w->shape) + 1;
}
