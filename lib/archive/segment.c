/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/segment_impl.h"
#include "format/format.h"
#include "util/file.h"

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
static void working_path(const struct dip_segment *s, char *path)
{
	snprintf(path, DIP_SEGMENT_PATH, "%s%s", s->path, s->named ? "" : ".new");
}

static int open_folder(struct dip_segment *s, int i, const char *path)
{
	s->folder_fd[i] = s->conf->files->open(path, O_RDONLY | O_DIRECTORY, 0);
	return s->folder_fd[i] < 0 ? s->folder_fd[i] : 0;
}

/* Held from before there is an entry in them, so that no error that befalls it is told to others
 * only, and whatever becomes of their own names. The folder itself is new with the first segment,
 * or when it has to be made again. */
static int open_folders(struct dip_segment *s, unsigned int number)
{
	const struct dip_file_ops *files = s->conf->files;
	char parent[sizeof(s->conf->dir)];
	int ret = open_folder(s, 0, s->conf->dir);

	memcpy(parent, s->conf->dir, sizeof(parent));
	if (ret < 0 ? ret == -ENOENT : number == 0) {
		int found = open_folder(s, 1, dirname(parent));

		if (found < 0)
			return found;
	}
	if (ret != -ENOENT)
		return ret;
	ret = files->mkdir(s->conf->dir);
	s->made_dir = ret == 0;
	return ret < 0 ? ret : open_folder(s, 0, s->conf->dir);
}

static int open_data(struct dip_segment *s)
{
	char path[DIP_SEGMENT_PATH];

	working_path(s, path);
	s->fd = s->conf->files->open(path, O_CREAT | O_EXCL | O_RDWR, DIP_FILE_MODE);
	return s->fd < 0 ? s->fd : 0;
}

/* What O_DIRECT asks of offsets and lengths in this file, bytes; 0: it is not to be had. */
static size_t direct_alignment(const struct dip_segment *s)
{
#ifdef STATX_DIOALIGN
	struct statx st;

	if (statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
		(st.stx_mask & STATX_DIOALIGN))
		return st.stx_dio_mem_align <= DIP_HEADER_BYTES ? st.stx_dio_offset_align : 0;
#endif
	return s->conf->block_bytes; /* an older kernel does not tell: try */
}

/* Bypass the page cache if that is wanted and works for this record size on this file system. */
static void set_direct(struct dip_segment *s)
{
	size_t align = s->conf->direct ? direct_alignment(s) : 0;

	if (align == 0 || s->stride % align != 0 || DIP_HEADER_BYTES % align != 0)
		return;
	s->direct = fcntl(s->fd, F_SETFL, O_DIRECT) == 0;
	if (s->direct)
		s->align = align;
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
	if (ret == 0)
		ret = s->conf->files->write(s->fd, buf, DIP_HEADER_BYTES, 0);
	free(buf);
	return ret;
}

/* O_DIRECT that was accepted and the first write refuses: do without. */
static int write_first_header(struct dip_segment *s)
{
	int ret = write_header(s, s->capacity);

	if (ret == -EINVAL && s->direct) {
		s->direct = false;
		s->align = 1;
		if (fcntl(s->fd, F_SETFL, 0) < 0)
			return -errno;
		ret = write_header(s, s->capacity);
	}
	return ret;
}

/* Reserve the blocks, for speed; a disk too full for that is used up to its last block. */
static int preallocate(struct dip_segment *s)
{
	const struct dip_file_ops *files = s->conf->files;
	uint64_t bytes = dip_segment_offset(s, s->capacity);
	int ret = files->reserve(s->fd, bytes, !s->conf->npy);

	s->reserved = ret == 0;
	if (ret != -EOPNOTSUPP && ret != -ENOSPC && ret != -EFBIG)
		return ret;
	/* What a failed reservation has taken is given back first. */
	ret = files->truncate(s->fd, 0);
	/* Where files may not get that large the segment grows with its records. */
	if (ret == 0 && s->conf->npy)
		ret = files->truncate(s->fd, bytes);
	return ret == -EFBIG ? 0 : ret;
}

/* Only what has its header gets the name of a segment, so that a program that ends at any moment
 * leaves no half-made one. Never takes the place of a file that is there. */
static int give_name(struct dip_segment *s)
{
	char path[DIP_SEGMENT_PATH];
	int ret;

	working_path(s, path);
	ret = s->conf->files->rename(path, s->path);
	if (ret < 0)
		return ret;
	s->named = true;
	return 0;
}

void dip_segment_close_folders(struct dip_segment *s)
{
	for (int i = 0; i < DIP_SEGMENT_FOLDERS; i++) {
		if (s->folder_fd[i] >= 0)
			s->conf->files->close(s->folder_fd[i]);
		s->folder_fd[i] = -1;
	}
}

static void remove_files(struct dip_segment *s)
{
	const struct dip_file_ops *files = s->conf->files;
	char path[DIP_SEGMENT_PATH];

	working_path(s, path);
	if (s->fd >= 0)
		files->unlink(path);
	dip_segment_index_path(s, path);
	if (s->idx_fd >= 0)
		files->unlink(path);
	if (s->made_dir)
		files->rmdir(s->conf->dir);
	dip_segment_abandon(s);
}

static int make_files(struct dip_segment *s)
{
	int ret = preallocate(s);

	if (ret == 0)
		ret = write_first_header(s);
	if (ret == 0)
		ret = give_name(s);
	if (ret == 0)
		ret = dip_segment_open_index(s);
	return ret;
}

int dip_segment_open(const struct dip_segment_conf *conf, unsigned int number,
	struct dip_segment *s, struct dip_error *err)
{
	int ret;

	*s = (struct dip_segment){
		.conf = conf, .fd = -1, .idx_fd = -1, .folder_fd = {-1, -1}, .align = 1};
	s->stride = dip_segment_stride(conf);
	s->capacity = dip_segment_capacity(conf);
	snprintf(s->path, sizeof(s->path), "%s/%s_%06u.%s", conf->dir, conf->prefix, number,
		conf->npy ? "npy" : "bin");
	s->seq = calloc(s->capacity, sizeof(*s->seq)); /* pages come with the records */
	if (s->seq == NULL)
		return dip_fail(err, ENOMEM, "%s: out of memory", s->path);
	ret = open_folders(s, number);
	if (ret == 0)
		ret = open_data(s);
	if (ret < 0) {
		remove_files(s);
		return dip_fail(err, -ret, "%s: cannot be made: %s", s->path, strerror(-ret));
	}
	set_direct(s);
	ret = make_files(s);
	if (ret == 0)
		return 0;
	remove_files(s);
	return dip_fail(err, -ret, "%s: %s", s->path, strerror(-ret));
}

bool dip_segment_linked(const struct dip_segment *s)
{
	struct stat st;

	return fstat(s->fd, &st) < 0 || st.st_nlink > 0;
}

void dip_segment_abandon(struct dip_segment *s)
{
	if (s->fd >= 0)
		s->conf->files->close(s->fd);
	if (s->idx_fd >= 0)
		s->conf->files->close(s->idx_fd);
	dip_segment_close_folders(s);
	free(s->seq);
	s->fd = s->idx_fd = -1;
	s->seq = NULL;
}

int dip_segment_cut(struct dip_segment *s, struct dip_error *err)
{
	int ret = write_header(s, s->committed);

	if (ret == 0)
		ret = s->conf->files->truncate(s->fd, dip_segment_offset(s, s->committed));
	s->cut = ret == 0;
	s->error = -ret;
	return dip_segment_failure(s, err);
}

int dip_segment_close(struct dip_segment *s, struct dip_error *err)
{
	int ret;

	if (!s->gone && s->committed == 0) {
		remove_files(s);
		return 0;
	}
	if (!s->gone && !s->condemned && !s->cut && s->error == 0)
		dip_segment_cut(s, err);
	dip_segment_finish(s);
	ret = dip_segment_failure(s, err);
	if (!s->gone)
		dip_segment_cut_index(s);
	dip_segment_abandon(s);
	return ret;
}
