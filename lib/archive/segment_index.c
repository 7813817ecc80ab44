/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "archive/segment_impl.h"
#include "util/file.h"

#define LINE_MAX_BYTES 42 /* two numbers of 20 digits, a blank, a newline */
#define LINE_BYTES 32     /* that most lines stay below */
#define LINES 1024        /* written at a time */

void dip_segment_index_path(const struct dip_segment *s, char *path)
{
	size_t stem = strlen(s->path), mark = strlen(DIP_CONDEMNED);
	bool marked = stem > mark && strcmp(s->path + stem - mark, DIP_CONDEMNED) == 0;

	stem -= strlen(".npy") + (marked ? mark : 0);
	snprintf(path, DIP_SEGMENT_PATH, "%.*s.idx%s", (int)stem, s->path,
		marked ? DIP_CONDEMNED : "");
}

/* Lines are written after their records, when those may have filled the disk: keep room for them.
 * Where there is none, they are written as far as that goes. */
static void reserve(struct dip_segment *s)
{
	uint64_t lines = s->capacity;
	struct statvfs fs;

	if (!s->reserved && fstatvfs(s->idx_fd, &fs) == 0) {
		uint64_t records = (uint64_t)fs.f_bavail * fs.f_frsize / s->stride;

		lines = records < lines ? records : lines;
	}
	if (lines > 0)
		s->conf->files->reserve(s->idx_fd, lines * LINE_BYTES, true);
}

int dip_segment_open_index(struct dip_segment *s)
{
	char path[DIP_SEGMENT_PATH];

	if (!s->conf->make_index)
		return 0;
	dip_segment_index_path(s, path);
	s->idx_fd = s->conf->files->open(path, O_CREAT | O_EXCL | O_WRONLY, DIP_FILE_MODE);
	if (s->idx_fd < 0)
		return s->idx_fd;
	reserve(s);
	return 0;
}

/* The lines of records from..to at the end of the file. */
static int write_lines(struct dip_segment *s, uint64_t from, uint64_t to)
{
	char text[LINES * LINE_MAX_BYTES];
	size_t used = 0;
	int ret;

	for (uint64_t i = from; i < to; i++)
		used += snprintf(&text[used], LINE_MAX_BYTES, "%" PRIu64 " %" PRIu64 "\n",
			s->seq[i], dip_segment_offset(s, i));
	ret = s->conf->files->write(s->idx_fd, text, used, s->idx_end);
	if (ret < 0) {
		s->conf->files->truncate(s->idx_fd, s->idx_end);
		return ret;
	}
	s->idx_end += used;
	s->indexed = to;
	return 0;
}

/* What a sync could not write may be gone from the cache as well: write all of it anew. */
static void start_anew(struct dip_segment *s)
{
	s->conf->files->truncate(s->idx_fd, 0);
	s->idx_end = 0;
	s->indexed = 0;
}

void dip_segment_index_synced(struct dip_segment *s, int ret)
{
	s->idx_unsynced = false;
	s->idx_error = s->idx_sync_error = -ret;
	if (ret < 0)
		start_anew(s);
}

void dip_segment_cut_index(struct dip_segment *s)
{
	if (s->idx_fd >= 0)
		s->conf->files->truncate(s->idx_fd, s->idx_end);
}

int dip_segment_write_index(struct dip_segment *s)
{
	uint64_t durable = s->durable;
	int ret = 0;

	if (s->idx_fd < 0 || s->gone || s->indexed == durable)
		return 0;
	while (ret == 0 && s->indexed < durable) {
		uint64_t most = s->indexed + LINES;

		ret = write_lines(s, s->indexed, most < durable ? most : durable);
	}
	s->idx_unsynced = s->idx_end > 0;
	s->idx_error = -ret;
	return ret;
}
