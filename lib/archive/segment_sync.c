/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "archive/segment_impl.h"

/* A record needs its file, and a file its entry in the folder, and that its own in its parent. */
#define SYNCS_MAX (2 + DIP_SEGMENT_FOLDERS)

_Static_assert(DIP_SYNC_SEGMENTS *SYNCS_MAX <= DIP_SYNCS, "dip_files_sync_all takes no more");

static bool is_open(const struct dip_segment *s)
{
	return !s->gone && !s->condemned;
}

static bool records_unsynced(const struct dip_segment *s)
{
	uint64_t committed = __atomic_load_n(&s->committed, __ATOMIC_ACQUIRE);

	return is_open(s) && committed > 0 &&
	       (committed > s->durable || (s->cut && !s->cut_durable));
}

static bool lines_unsynced(const struct dip_segment *s)
{
	return !s->gone && s->idx_unsynced;
}

/* Under its name, as far as that can be changed: the disk that failed may refuse this as well. */
static void mark(struct dip_segment *s)
{
	const struct dip_file_ops *files = s->conf->files;
	char index[DIP_SEGMENT_PATH], path[DIP_SEGMENT_PATH];

	dip_segment_index_path(s, index);
	snprintf(path, sizeof(path), "%s" DIP_CONDEMNED, s->path);
	if (files->rename(s->path, path) < 0)
		return;
	strcat(s->path, DIP_CONDEMNED); /* it has room for that */
	dip_segment_index_path(s, path);
	if (s->idx_fd >= 0)
		files->rename(index, path);
}

static void condemn(struct dip_segment *s, int ret)
{
	s->error = -ret;
	s->condemned = true;
	__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
	mark(s);
}

static void add(struct dip_sync *syncs, unsigned int *count, int fd)
{
	syncs[(*count)++] = (struct dip_sync){.fd = fd};
}

static void begin(struct dip_segment *s, struct dip_sync *syncs, unsigned int *count)
{
	s->syncing = __atomic_load_n(&s->committed, __ATOMIC_ACQUIRE);
	s->in_round = records_unsynced(s);
	if (s->in_round)
		add(syncs, count, s->fd);
	for (int i = 0; s->in_round && i < DIP_SEGMENT_FOLDERS; i++)
		if (s->folder_fd[i] >= 0)
			add(syncs, count, s->folder_fd[i]);
	s->idx_in_round = lines_unsynced(s);
	if (s->idx_in_round)
		add(syncs, count, s->idx_fd);
}

/* Some file systems do not sync folders; they have no entry to lose either. */
static int folder_result(const struct dip_sync *sync)
{
	return sync->ret == -EINVAL ? 0 : sync->ret;
}

/* Returns the syncs that were the segment's. */
static unsigned int end(struct dip_segment *s, const struct dip_sync *syncs)
{
	const struct dip_sync *next = syncs;
	int ret = 0;

	if (s->in_round)
		ret = next++->ret;
	for (int i = 0; s->in_round && i < DIP_SEGMENT_FOLDERS; i++) {
		if (s->folder_fd[i] < 0)
			continue;
		ret = ret == 0 ? folder_result(next) : ret;
		next++;
	}
	if (s->idx_in_round)
		dip_segment_index_synced(s, next++->ret);
	if (ret < 0) {
		condemn(s, ret);
	} else if (s->in_round) {
		dip_segment_close_folders(s); /* its name is durable */
		s->cut_durable = s->cut;
		__atomic_store_n(&s->durable, s->syncing, __ATOMIC_RELEASE);
	}
	return next - syncs;
}

unsigned int dip_segments_sync(struct dip_segment **segments, unsigned int count)
{
	struct dip_sync syncs[DIP_SYNCS];
	unsigned int n = 0, at = 0, condemned = 0;

	for (unsigned int i = 0; i < count; i++)
		begin(segments[i], syncs, &n);
	if (n > 0)
		dip_files_sync_all(segments[0]->conf->files, syncs, n);
	for (unsigned int i = 0; i < count; i++) {
		at += end(segments[i], &syncs[at]);
		condemned += segments[i]->in_round && segments[i]->condemned;
	}
	return condemned;
}

/* What is written and not durable, or durable and not indexed, and can still be. */
static bool pending(const struct dip_segment *s)
{
	return records_unsynced(s) || lines_unsynced(s) ||
	       (is_open(s) && s->idx_fd >= 0 && s->indexed < s->durable);
}

bool dip_segment_finished(const struct dip_segment *s)
{
	if (!is_open(s) || s->committed == 0 || s->error != 0)
		return true;
	return s->cut && (s->idx_error != 0 || !pending(s));
}

int dip_segment_failure(const struct dip_segment *s, struct dip_error *err)
{
	if (s->gone)
		return 0;
	if (s->condemned)
		return dip_fail(err, s->error,
			"%s: sync: %s; condemned, %" PRIu64 " frames in it may be lost", s->path,
			strerror(s->error), s->committed - s->durable);
	if (s->error != 0)
		return dip_fail(err, s->error, "%s: closing: %s", s->path, strerror(s->error));
	if (s->idx_error != 0)
		return dip_fail(
			err, s->idx_error, "%s: its index: %s", s->path, strerror(s->idx_error));
	return 0;
}

void dip_segment_finish(struct dip_segment *s)
{
	/* The records and the old lines, then the new lines. */
	for (int round = 0; round < 2 && pending(s); round++) {
		dip_segments_sync(&s, 1);
		dip_segment_write_index(s);
	}
	/* Its lines are there, and may be lost. */
	if (lines_unsynced(s) && s->idx_error == 0)
		s->idx_error = s->idx_sync_error;
}
