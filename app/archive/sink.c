/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"
#include "npy/npy.h"
#include "sink.h"

#define HEADER 128
#define PATH_BYTES 4500

static int fail(const char *path, int error, struct dip_error *err)
{
	if (error == EEXIST)
		return dip_fail(err, error,
			"%s: found a file there; expected none; name another place, or give "
			"--force to replace it",
			path);
	return dip_fail(err, error, "%s: cannot be written: %s", path, strerror(error));
}

static void part_path(const struct sink *s, char *path)
{
	snprintf(path, PATH_BYTES, "%s.part", s->path);
}

int sink_open(struct sink *s, const struct arguments *args, struct dip_error *err)
{
	char part[PATH_BYTES];

	*s = (struct sink){.args = args, .fd = -1};
	s->path = args->stack != NULL ? args->stack : args->raw;
	if (s->path == NULL) {
		if (mkdir(args->output, DIP_FOLDER_MODE) < 0 && errno != EEXIST)
			return fail(args->output, errno, err);
		return 0;
	}
	if (!args->force && access(s->path, F_OK) == 0)
		return fail(s->path, EEXIST, err);
	part_path(s, part);
	s->fd = open(part, O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE);
	if (s->fd < 0)
		return fail(part, errno, err);
	s->end = args->stack != NULL ? HEADER : 0;
	return 0;
}

static int header(char *buf, const struct dip_shape *shape, bool stack, uint64_t frames)
{
	char text[80], count[24] = "";

	if (stack)
		snprintf(count, sizeof(count), "%" PRIu64 ", ", frames);
	snprintf(text, sizeof(text), "(%s%" PRIu32 ", %" PRIu32 ")", count, shape->height,
		shape->width);
	return dip_npy_header_write(buf, HEADER, "'<u2'", text);
}

static int put_file(struct sink *s, const struct dip_reader *r, const struct dip_record *record,
	struct dip_error *err)
{
	char path[PATH_BYTES], head[HEADER];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/frame_%012" PRIu64 ".npy", s->args->output,
		record->trailer.seq);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | (s->args->force ? O_TRUNC : O_EXCL), DIP_FILE_MODE);
	if (fd < 0)
		return fail(path, errno, err);
	ret = header(head, &r->shape, false, 0);
	if (ret == 0)
		ret = dip_write_at(fd, head, sizeof(head), 0);
	if (ret == 0)
		ret = dip_write_at(fd, record->image, r->image_bytes, sizeof(head));
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	if (ret == 0)
		return 0;
	unlink(path);
	return fail(path, -ret, err);
}

static int note_seq(struct sink *s, uint64_t seq)
{
	if (s->frames == s->room) {
		uint64_t room = s->room * 2 + 1024;
		uint64_t *more = realloc(s->seq, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		s->seq = more;
		s->room = room;
	}
	s->seq[s->frames] = seq;
	return 0;
}

int sink_put(struct sink *s, const struct dip_reader *r, const struct dip_record *record,
	struct dip_error *err)
{
	int ret;

	if (s->frames > 0 &&
		(s->shape.height != r->shape.height || s->shape.width != r->shape.width))
		return dip_fail(err, EINVAL,
			"%s: found frames of %" PRIu32 "x%" PRIu32 "; expected %" PRIu32 "x%" PRIu32
			" as before; extract it alone",
			r->path, r->shape.height, r->shape.width, s->shape.height, s->shape.width);
	s->shape = r->shape;
	if (s->path == NULL) {
		ret = put_file(s, r, record, err);
		s->frames += ret == 0;
		return ret;
	}
	if (note_seq(s, record->trailer.seq) < 0)
		return dip_fail(err, ENOMEM, "%s: out of memory", s->path);
	ret = dip_write_at(s->fd, record->image, r->image_bytes, s->end);
	if (ret < 0)
		return fail(s->path, -ret, err);
	s->end += r->image_bytes;
	s->frames++;
	return 0;
}

/* FILE.seq.npy beside FILE.npy. */
static int write_seq(const struct sink *s, struct dip_error *err)
{
	size_t len = strlen(s->path);
	char path[PATH_BYTES], head[HEADER], shape[32];
	int fd, ret;

	if (len > 4 && strcmp(s->path + len - 4, ".npy") == 0)
		len -= 4;
	snprintf(path, sizeof(path), "%.*s.seq.npy", (int)len, s->path);
	fd = open(path, O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE);
	if (fd < 0)
		return fail(path, errno, err);
	snprintf(shape, sizeof(shape), "(%" PRIu64 ",)", s->frames);
	ret = dip_npy_header_write(head, HEADER, "'<u8'", shape);
	if (ret == 0)
		ret = dip_write_at(fd, head, HEADER, 0);
	if (ret == 0 && s->frames > 0)
		ret = dip_write_at(fd, s->seq, s->frames * sizeof(*s->seq), HEADER);
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	return ret < 0 ? fail(path, -ret, err) : 0;
}

static int finish(struct sink *s, struct dip_error *err)
{
	char part[PATH_BYTES], head[HEADER];
	int ret = 0;

	if (s->args->stack != NULL) {
		ret = header(head, &s->shape, true, s->frames);
		if (ret == 0)
			ret = dip_write_at(s->fd, head, HEADER, 0);
		if (ret < 0)
			return fail(s->path, -ret, err);
		ret = write_seq(s, err);
		if (ret < 0)
			return ret;
	}
	part_path(s, part);
	if (rename(part, s->path) < 0)
		return fail(s->path, errno, err);
	return 0;
}

int sink_close(struct sink *s, bool good, struct dip_error *err)
{
	char part[PATH_BYTES];
	int ret = 0;

	if (s->fd >= 0) {
		if (good)
			ret = finish(s, err);
		if (close(s->fd) < 0 && ret == 0)
			ret = fail(s->path, errno, err);
		part_path(s, part);
		if (!good || ret < 0)
			unlink(part);
	}
	free(s->seq);
	return ret;
}
