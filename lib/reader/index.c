/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader/index.h"
#include "reader/reader_impl.h"
#include "util/file.h"

#define PATH_BYTES 4500
#define LINE_MAX_BYTES 42 /* two numbers of 20 digits, a blank, a newline */

void dip_index_path(const char *segment, char *path, size_t size)
{
	const char *dot = strrchr(segment, '.');

	snprintf(path, size, "%.*s.idx", dot == NULL ? (int)strlen(segment) : (int)(dot - segment),
		segment);
}

/* 1 with the whole file, 0 when there is none. */
static int read_all(const char *path, char **bytes, size_t *size, struct dip_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret = 1;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return dip_fail(err, errno, "%s: cannot be opened: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0) {
		ret = dip_fail(err, errno, "%s: cannot be examined: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = dip_fail(err, EINVAL, "%s: found no regular file; expected an index", path);
		goto out;
	}
	*bytes = malloc(st.st_size + 1);
	if (*bytes == NULL) {
		ret = dip_fail(err, ENOMEM, "%s: no memory for it", path);
		goto out;
	}
	n = dip_read_at(fd, *bytes, st.st_size, 0);
	*size = n;
	if (n < 0) {
		ret = dip_fail(err, -n, "%s: cannot be read: %s", path, strerror(-n));
		free(*bytes);
	}
out:
	close(fd);
	return ret;
}

static const char *parse_number(const char *p, const char *end, uint64_t *value)
{
	const char *first = p;
	uint64_t v = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			return NULL;
	*value = v;
	return p == first ? NULL : p;
}

/* end: behind the text, on the newline if there is one. */
static void parse_line(struct dip_index_line *line, const char *text, const char *end, bool newline)
{
	uint64_t seq = 0, offset = 0;
	const char *p = parse_number(text, end, &seq);

	*line = (struct dip_index_line){.text = text, .length = end - text, .malformed = true};
	if (p == NULL || p == end || *p != ' ')
		return;
	p = parse_number(p + 1, end, &offset);
	if (p != end || !newline || end - text >= LINE_MAX_BYTES)
		return;
	line->malformed = false;
	line->seq = seq;
	line->offset = offset;
}

int dip_index_read(const char *segment, struct dip_index *index, struct dip_error *err)
{
	char path[PATH_BYTES];
	const char *p, *end;
	size_t size = 0, count = 1;
	int ret;

	dip_index_path(segment, path, sizeof(path));
	*index = (struct dip_index){0};
	ret = read_all(path, &index->bytes, &size, err);
	if (ret <= 0)
		return ret;
	end = index->bytes + size;
	for (p = index->bytes; p < end; p++)
		count += *p == '\n';
	index->lines = calloc(count, sizeof(*index->lines));
	if (index->lines == NULL) {
		dip_index_free(index);
		return dip_fail(err, ENOMEM, "%s: no memory for it", path);
	}
	for (p = index->bytes; p < end;) {
		const char *newline = memchr(p, '\n', end - p);
		const char *stop = newline == NULL ? end : newline;

		parse_line(&index->lines[index->count++], p, stop, newline != NULL);
		p = stop + 1;
	}
	return 1;
}

void dip_index_free(struct dip_index *index)
{
	free(index->bytes);
	free(index->lines);
	*index = (struct dip_index){0};
}

int dip_index_append(struct dip_index_text *text, uint64_t seq, uint64_t offset)
{
	if (text->room - text->used < LINE_MAX_BYTES + 1) {
		size_t room = text->room * 2 + 65536;
		char *bytes = realloc(text->bytes, room);

		if (bytes == NULL)
			return -ENOMEM;
		text->bytes = bytes;
		text->room = room;
	}
	text->used += sprintf(text->bytes + text->used, "%" PRIu64 " %" PRIu64 "\n", seq, offset);
	return 0;
}

int dip_sync_folder(const char *path)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int fd, ret;

	snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
		slash == NULL ? "." : path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems keep no folder that could be synced. */
	ret = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
	close(fd);
	return ret;
}

static int write_file(const char *path, const struct dip_index_text *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE), ret = 0;
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (ret == 0 && done < text->used) {
		ssize_t n = write(fd, text->bytes + done, text->used - done);

		if (n < 0 && errno != EINTR)
			ret = -errno;
		done += n > 0 ? n : 0;
	}
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int dip_index_replace(const char *segment, const struct dip_index_text *text, struct dip_error *err)
{
	char path[PATH_BYTES], part[PATH_BYTES + 8], *old = NULL;
	size_t size = 0;
	int ret;

	dip_index_path(segment, path, sizeof(path));
	snprintf(part, sizeof(part), "%s.part", path);
	ret = read_all(path, &old, &size, err);
	if (ret < 0)
		return ret;
	if (ret == 1) {
		bool same =
			size == text->used && (size == 0 || memcmp(old, text->bytes, size) == 0);

		free(old);
		if (same)
			return 0;
	}
	ret = write_file(part, text);
	if (ret == 0 && rename(part, path) < 0)
		ret = -errno;
	if (ret == 0)
		ret = dip_sync_folder(path);
	if (ret == 0)
		return 1;
	unlink(part);
	return dip_fail(err, -ret, "%s: cannot be written: %s", path, strerror(-ret));
}
