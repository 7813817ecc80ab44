/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tool.h"

#define POLL_NS 20000000
#define QUIET_NS 1000000000LL /* without a next segment: the run is over */
#define HOLE_NS 2000000000LL  /* behind a hole, with later records: nobody fills it any more */

struct tail {
	const struct arguments *args;
	struct dip_reader *reader; /* NULL between segments */
	char path[4400];           /* of its segment */
	uint64_t number;           /* the next segment's, at least */
	uint64_t slot;             /* the next record */
	int64_t news_ns;           /* when something last happened */
	enum status status;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void say_error(struct tail *t, const struct dip_error *err, int error)
{
	complain("%s", err->text);
	t->status = worse(t->status, status_of(error));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* Print whole frames up to the first that is not there. */
static int pump(struct tail *t, struct dip_error *err)
{
	uint64_t before = t->slot;
	struct dip_record record;
	int ret = 0;

	while (!stopped && t->slot < t->reader->promised) {
		/* A trailer alone first: that is all there is to see of most polls. */
		ret = dip_reader_peek(t->reader, t->slot, &record, err);
		if (ret == 0 && record.fault == DIP_GOOD)
			ret = dip_reader_read(t->reader, t->slot, &record, err);
		if (ret < 0 || record.fault != DIP_GOOD)
			break;
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", record.trailer.seq,
			record.trailer.timestamp_ns, record.offset, base_name(t->path));
		t->slot++;
	}
	if (t->slot > before) {
		t->news_ns = now_ns();
		if (fflush(stdout) != 0)
			return dip_fail(err, EIO, "standard output: cannot be written");
	}
	return ret;
}

/* The next segment that there is: 1 with its path, 0 for none. */
static int find_next(
	struct tail *t, char *path, size_t size, uint64_t *number, struct dip_error *err)
{
	struct dip_run run;
	int ret = dip_run_list(t->args->paths[0], &run, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < run.count && ret == 0; i++) {
		if (run.segments[i].number < t->number)
			continue;
		snprintf(path, size, "%s", run.segments[i].path);
		*number = run.segments[i].number;
		ret = 1;
	}
	dip_run_free(&run);
	return ret;
}

/* Go on to the next segment, if there is one whose header is there: 1. */
static int open_next(struct tail *t, struct dip_error *err)
{
	uint64_t number = 0;
	int ret = find_next(t, t->path, sizeof(t->path), &number, err);

	if (ret <= 0)
		return ret;
	ret = dip_reader_open(t->path, NULL, &t->reader, err);
	/* It may be just being made, or gone again. */
	if (ret == -EBADMSG || ret == -ENOENT)
		return now_ns() - t->news_ns > HOLE_NS ? ret : 0;
	if (ret < 0)
		return ret;
	t->number = number + 1;
	t->slot = 0;
	t->news_ns = now_ns();
	return 1;
}

static void leave_segment(struct tail *t)
{
	dip_reader_close(t->reader);
	t->reader = NULL;
	t->news_ns = now_ns();
}

static bool next_has_records(struct tail *t, struct dip_error *err)
{
	struct dip_reader *next;
	uint64_t number;
	char path[4400];
	bool has;

	if (find_next(t, path, sizeof(path), &number, err) != 1 ||
		dip_reader_open(path, NULL, &next, err) < 0)
		return false;
	has = next->written > 0;
	dip_reader_close(next);
	return has;
}

/* Nothing has come for long. A hole that later records stand behind stays one; a segment that a
 * later one stands behind is over. */
static int look_behind(struct tail *t, struct dip_error *err)
{
	struct dip_record record;
	struct dip_reader *again;
	char why[160];
	int ret = dip_reader_open(t->path, NULL, &again, err);

	if (ret < 0)
		return ret;
	if (again->written > t->slot) {
		ret = dip_reader_read(t->reader, t->slot, &record, err);
		if (ret == 0 && record.fault != DIP_GOOD) {
			dip_record_describe(t->reader, &record, why, sizeof(why));
			complain("%s: record %" PRIu64 " at byte %" PRIu64 ": %s; left out",
				t->path, record.slot, record.offset, why);
			t->status = worse(t->status, STATUS_BAD);
			t->slot++;
		}
	} else if (next_has_records(t, err)) {
		leave_segment(t);
	} else {
		t->news_ns = now_ns();
	}
	dip_reader_close(again);
	return ret;
}

static bool removed(const struct dip_reader *r)
{
	struct stat st;

	return fstat(r->fd, &st) == 0 && st.st_nlink == 0;
}

/* One look at the segment. */
static int follow(struct tail *t, struct dip_error *err)
{
	int ret = dip_reader_refresh(t->reader, err);

	/* The header may be just being written. */
	if (ret == -EBADMSG && now_ns() - t->news_ns < HOLE_NS)
		return 0;
	if (ret == 0)
		ret = pump(t, err);
	if (ret < 0)
		return ret;
	if (t->slot >= t->reader->promised || removed(t->reader)) {
		leave_segment(t);
		return 0;
	}
	if (now_ns() - t->news_ns > HOLE_NS)
		return look_behind(t, err);
	return 0;
}

static enum status run_tail(struct tail *t)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	struct dip_error err;
	int ret;

	while (!stopped) {
		ret = t->reader != NULL ? follow(t, &err) : open_next(t, &err);
		if (ret < 0) {
			say_error(t, &err, ret);
			break;
		}
		if (t->reader == NULL && ret == 0 && t->args->until_closed && t->number > 0 &&
			now_ns() - t->news_ns > QUIET_NS)
			break;
		/* Between two segments there is nothing to wait for. */
		if (ret == 0)
			nanosleep(&pause, NULL);
	}
	dip_reader_close(t->reader);
	return t->status;
}

enum status tool_tail(const struct arguments *args)
{
	struct sigaction action = {.sa_handler = stop};
	struct tail t = {.args = args, .news_ns = now_ns()};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run_tail(&t);
}
