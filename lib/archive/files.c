/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "archive/files.h"
#include "util/file.h"

static int result(int ret)
{
	return ret < 0 ? -errno : ret;
}

/* A new file comes into the folder of a run, which whoever may write beside it could have replaced by
 * a link to elsewhere: that one is not followed. */
static int create(const char *path, int flags, unsigned int mode)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";
	int dir, ret;

	if (slash == NULL)
		return result(open(path, flags | O_CLOEXEC, mode));
	if ((size_t)(slash - path) >= sizeof(folder))
		return -ENAMETOOLONG;
	snprintf(folder, sizeof(folder), "%.*s", slash > path ? (int)(slash - path) : 1, path);
	dir = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	ret = result(openat(dir, slash + 1, flags | O_NOFOLLOW | O_CLOEXEC, mode));
	close(dir);
	return ret;
}

static int files_open(const char *path, int flags, unsigned int mode)
{
	if ((flags & O_CREAT) != 0)
		return create(path, flags, mode);
	return result(open(path, flags | O_CLOEXEC, mode));
}

static void files_close(int fd)
{
	close(fd);
}

static int files_truncate(int fd, uint64_t bytes)
{
	return result(ftruncate(fd, bytes));
}

static int files_reserve(int fd, uint64_t bytes, bool keep_size)
{
	return result(fallocate(fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0, 0, bytes));
}

static int files_sync(int fd)
{
	return result(fdatasync(fd));
}

static int files_rename(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* Some file systems know only the plain call. */
	if (errno != EINVAL)
		return -errno;
	if (access(to, F_OK) == 0)
		return -EEXIST;
	return result(rename(from, to));
}

static int files_unlink(const char *path)
{
	return result(unlink(path));
}

static int files_mkdir(const char *path)
{
	return result(mkdir(path, DIP_FOLDER_MODE));
}

static int files_rmdir(const char *path)
{
	return result(rmdir(path));
}

static uint64_t files_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

const struct dip_file_ops dip_files = {
	.open = files_open,
	.close = files_close,
	.write = dip_write_at,
	.truncate = files_truncate,
	.reserve = files_reserve,
	.sync = files_sync,
	.rename = files_rename,
	.unlink = files_unlink,
	.mkdir = files_mkdir,
	.rmdir = files_rmdir,
	.now_ns = files_now_ns,
	.parallel = true,
};

struct job {
	const struct dip_file_ops *files;
	struct dip_sync *sync;
	pthread_t thread;
	bool started;
};

static void *sync_one(void *arg)
{
	struct job *job = arg;

	job->sync->ret = job->files->sync(job->sync->fd);
	return NULL;
}

/* A thread each, since there is no call for several; there are few, every second or so. */
void dip_files_sync_all(
	const struct dip_file_ops *files, struct dip_sync *syncs, unsigned int count)
{
	struct job jobs[DIP_SYNCS];

	for (unsigned int i = count; i-- > 0;) {
		struct job *job = &jobs[i];

		*job = (struct job){.files = files, .sync = &syncs[i]};
		if (files->parallel && i > 0)
			job->started = pthread_create(&job->thread, NULL, sync_one, job) == 0;
	}
	for (unsigned int i = 0; i < count; i++)
		if (!jobs[i].started)
			sync_one(&jobs[i]);
	for (unsigned int i = 0; i < count; i++)
		if (jobs[i].started)
			pthread_join(jobs[i].thread, NULL);
}
