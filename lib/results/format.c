/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "results/format.h"
#include "util/file.h"

#define ENTRY(name) &dip_results_##name,

static const struct dip_results_format *const formats[] = {DIP_RESULTS_FORMATS(ENTRY)};

const struct dip_results_format *dip_results_format_find(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	return NULL;
}

static int begin(
	const struct dip_results_format *format, const struct dip_results_shape *shape, int fd)
{
	int ret = format->begin != NULL ? format->begin(shape, fd) : 0;

	return ret < 0 ? ret : 0;
}

/* A file without a name in the folder of path. */
static int open_nameless(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096];

	if (slash == NULL)
		return open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE);
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
	return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE);
}

static int give_name(int fd, const char *path)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Where a file cannot be made without a name: it has one while its header is still to come. */
static int create_named(const char *path, const struct dip_results_format *format,
	const struct dip_results_shape *shape)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE), ret;

	if (fd < 0)
		return -errno;
	ret = begin(format, shape, fd);
	if (ret == 0)
		return fd;
	unlink(path);
	close(fd);
	return ret;
}

int dip_results_file_create(const char *path, const struct dip_results_format *format,
	const struct dip_results_shape *shape)
{
	int fd = open_nameless(path), ret;

	if (fd < 0)
		return create_named(path, format, shape);
	ret = begin(format, shape, fd);
	if (ret == 0)
		ret = give_name(fd, path);
	if (ret == 0)
		return fd;
	close(fd);
	return ret == -EEXIST ? ret : create_named(path, format, shape);
}
