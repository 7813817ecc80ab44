/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "archive/segment.h"
#include "util/file.h"

#define IDX_LINE_MAX 42 /* two numbers of 20 digits, a blank, a newline */
#define IDX_BYTES (1 << 20)

static size_t image_bytes(const struct dip_segment_conf *conf)
{
	return (size_t)conf->width * conf->height * sizeof(uint16_t);
}

size_t dip_segment_stride(const struct dip_segment_conf *conf)
{
	return conf->npy ? dip_record_bytes(image_bytes(conf), conf->block_bytes)
			 : image_bytes(conf);
}

static uint64_t data_offset(const struct dip_segment_conf *conf)
{
	return conf->npy ? DIP_HEADER_BYTES : 0;
}

uint64_t dip_segment_capacity(const struct dip_segment_conf *conf)
{
	uint64_t stride = dip_segment_stride(conf), head = data_offset(conf);

	return conf->segment_bytes > head + stride ? (conf->segment_bytes - head) / stride : 1;
}

uint64_t dip_segment_offset(const struct dip_segment *s, uint64_t slot)
{
	return data_offset(s->conf) + slot * s->stride;
}

/* Where the segment is made until it has its name. */
static void working_path(const struct dip_segment *s, char *path, size_t size)
{
	snprintf(path, size, "%s%s", s->path, s->named ? "" : ".new");
}

static void index_path(const struct dip_segment *s, char *path, size_t size)
{
	snprintf(path, size, "%.*s.idx", (int)(strlen(s->path) - strlen(".npy")), s->path);
}

/* Open with O_DIRECT if that is wanted and works for this record size on this file system. */
static int open_data(struct dip_segment *s)
{
	const struct dip_segment_conf *conf = s->conf;
	int flags = O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC;
	char path[sizeof(s->path) + 8];

	s->direct = conf->direct && s->stride % conf->block_bytes == 0;
	working_path(s, path, sizeof(path));
	s->fd = open(path, flags | (s->direct ? O_DIRECT : 0), 0644);
	if (s->fd < 0 && errno == ENOENT && mkdir(conf->dir, 0755) == 0) {
		s->made_dir = true;
		s->fd = open(path, flags | (s->direct ? O_DIRECT : 0), 0644);
	}
	if (s->fd < 0 && errno == EINVAL && s->direct) {
		unlink(path); /* some file systems create the file before they refuse */
		s->direct = false;
		s->fd = open(path, flags, 0644);
	}
	return s->fd < 0 ? -errno : 0;
}

/* Only what has its header gets the name of a segment, so that a crash leaves no half-made one.
 * Never takes the place of a file that is there. */
static int give_name(struct dip_segment *s)
{
	char path[sizeof(s->path) + 8];

	working_path(s, path, sizeof(path));
	if (renameat2(AT_FDCWD, path, AT_FDCWD, s->path, RENAME_NOREPLACE) < 0) {
		/* Some file systems know only the plain call. */
		if (errno != EINVAL)
			return -errno;
		if (access(s->path, F_OK) == 0)
			return -EEXIST;
		if (rename(path, s->path) < 0)
			return -errno;
	}
	s->named = true;
	return 0;
}

static int write_header(struct dip_segment *s, uint64_t records)
{
	void *buf;
	int ret;

	if (!s->conf->npy)
		return 0;
	if (posix_memalign(&buf, DIP_HEADER_BYTES, DIP_HEADER_BYTES) != 0)
		return -ENOMEM;
	ret = dip_segment_header(buf, s->conf->width, s->conf->height, s->stride, records);
	if (ret == 0) {
		ssize_t n = pwrite(s->fd, buf, DIP_HEADER_BYTES, 0);

		ret = n < 0 ? -errno : n != DIP_HEADER_BYTES ? -ENOSPC : 0;
	}
	free(buf);
	return ret;
}

/* O_DIRECT that open accepted and the first write refuses: do without. */
static int write_first_header(struct dip_segment *s)
{
	int ret = write_header(s, s->capacity);

	if (ret == -EINVAL && s->direct) {
		s->direct = false;
		if (fcntl(s->fd, F_SETFL, 0) < 0)
			return -errno;
		ret = write_header(s, s->capacity);
	}
	return ret;
}

/* Reserve the blocks, for speed; a disk too full for that is used up to its last block. */
static int preallocate(struct dip_segment *s)
{
	off_t bytes = dip_segment_offset(s, s->capacity);
	int mode = s->conf->npy ? 0 : FALLOC_FL_KEEP_SIZE;

	if (fallocate(s->fd, mode, 0, bytes) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSPC && errno != EFBIG)
		return -errno;
	/* What a failed reservation has taken is given back first. */
	if (ftruncate(s->fd, 0) < 0)
		return -errno;
	/* Where files may not get that large the segment grows with its records. */
	if (s->conf->npy && ftruncate(s->fd, bytes) < 0 && errno != EFBIG)
		return -errno;
	return 0;
}

static int open_index(struct dip_segment *s)
{
	char path[sizeof(s->path) + 8];

	s->idx_fd = -1;
	if (!s->conf->make_index)
		return 0;
	s->idx = malloc(IDX_BYTES);
	if (s->idx == NULL)
		return -ENOMEM;
	index_path(s, path, sizeof(path));
	s->idx_fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	return s->idx_fd < 0 ? -errno : 0;
}

static void remove_files(struct dip_segment *s)
{
	char path[sizeof(s->path) + 8];

	working_path(s, path, sizeof(path));
	if (s->fd >= 0)
		unlink(path);
	index_path(s, path, sizeof(path));
	if (s->idx_fd >= 0)
		unlink(path);
	if (s->made_dir)
		rmdir(s->conf->dir);
	dip_segment_abandon(s);
}

int dip_segment_open(const struct dip_segment_conf *conf, unsigned int number,
	struct dip_segment *s, struct dip_error *err)
{
	int ret;

	*s = (struct dip_segment){.conf = conf, .fd = -1, .idx_fd = -1};
	s->stride = dip_segment_stride(conf);
	s->capacity = dip_segment_capacity(conf);
	snprintf(s->path, sizeof(s->path), "%s/%s_%06u.%s", conf->dir, conf->prefix, number,
		conf->npy ? "npy" : "bin");
	ret = open_data(s);
	if (ret < 0) {
		remove_files(s);
		return dip_fail(err, -ret, "%s: cannot be made: %s", s->path, strerror(-ret));
	}
	ret = preallocate(s);
	if (ret == 0)
		ret = write_first_header(s);
	if (ret == 0)
		ret = give_name(s);
	if (ret == 0)
		ret = open_index(s);
	if (ret == 0)
		return 0;
	remove_files(s);
	return dip_fail(err, -ret, "%s: %s", s->path, strerror(-ret));
}

static void note_line(struct dip_segment *s, uint64_t seq)
{
	if (s->idx_used + IDX_LINE_MAX > IDX_BYTES)
		dip_segment_write_index(s);
	if (s->idx_used + IDX_LINE_MAX > IDX_BYTES)
		s->idx_lost++;
	else
		s->idx_used += sprintf(s->idx + s->idx_used, "%" PRIu64 " %" PRIu64 "\n", seq,
			dip_segment_offset(s, s->committed));
}

void dip_segment_commit(struct dip_segment *s, uint64_t seq)
{
	if (s->idx != NULL)
		note_line(s, seq);
	s->committed++;
}

int dip_segment_write_index(struct dip_segment *s)
{
	int ret = dip_write_at(s->idx_fd, s->idx, s->idx_used, s->idx_end);

	if (ret < 0)
		return ftruncate(s->idx_fd, s->idx_end) < 0 ? -errno : ret;
	s->idx_end += s->idx_used;
	s->idx_used = 0;
	return 0;
}

bool dip_segment_linked(const struct dip_segment *s)
{
	struct stat st;

	return fstat(s->fd, &st) < 0 || st.st_nlink > 0;
}

void dip_segment_abandon(struct dip_segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->idx_fd >= 0)
		close(s->idx_fd);
	free(s->idx);
	s->fd = s->idx_fd = -1;
	s->idx = NULL;
}

static int cut_to_truth(struct dip_segment *s)
{
	int ret = write_header(s, s->committed);

	if (ret == 0 && ftruncate(s->fd, dip_segment_offset(s, s->committed)) < 0)
		ret = -errno;
	if (ret == 0 && fsync(s->fd) < 0)
		ret = -errno;
	return ret;
}

int dip_segment_close(struct dip_segment *s, struct dip_error *err)
{
	int ret, idx_ret;

	if (s->gone) {
		dip_segment_abandon(s);
		return 0;
	}
	if (s->committed == 0) {
		remove_files(s);
		return 0;
	}
	ret = cut_to_truth(s);
	idx_ret = dip_segment_write_index(s);
	if (idx_ret == 0 && s->idx_fd >= 0 && fsync(s->idx_fd) < 0)
		idx_ret = -errno;
	if (idx_ret == 0 && s->idx_lost > 0)
		idx_ret = -ENOSPC;
	dip_segment_abandon(s);
	if (ret < 0)
		return dip_fail(err, -ret, "%s: closing: %s", s->path, strerror(-ret));
	if (idx_ret < 0)
		return dip_fail(err, -idx_ret, "%s: its index: %s", s->path, strerror(-idx_ret));
	return 0;
}
