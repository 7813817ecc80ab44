/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "gate.h"
#include "journal.h"
#include "rig_impl.h"

const char *const rig_op_names[RIG_OPS] = {"record", "open", "write", "truncate", "reserve", "sync",
	"sync of an index", "rename", "unlink", "mkdir", "rmdir"};

ssize_t rig_outcome(enum rig_op op, ssize_t bytes)
{
	rig.ops[op]++;
	return rig.plan != NULL ? rig.plan(op, rig.ops[op], bytes) : bytes;
}

#define DESCRIPTORS 1024 /* the journal has them in bounds */

static bool is_index[DESCRIPTORS], is_open[DESCRIPTORS];
static ino_t inode[DESCRIPTORS];
static int untold[DESCRIPTORS]; /* an error that its next sync tells */

static void note_open(int fd, const char *path)
{
	struct stat st;

	is_index[fd] = strstr(path, ".idx") != NULL;
	is_open[fd] = fstat(fd, &st) == 0;
	inode[fd] = st.st_ino;
	untold[fd] = 0;
}

/* The kernel tells a failure once through each descriptor that was open when it came to it. */
static void fail_others(int failed, int error)
{
	for (int fd = 0; fd < DESCRIPTORS; fd++)
		if (fd != failed && is_open[fd] && inode[fd] == inode[failed])
			untold[fd] = error;
}

static int rig_open(const char *path, int flags, unsigned int mode)
{
	int fd;

	gate_pass("open");
	fd = rig_outcome(RIG_OPEN, 0);
	if (fd == 0)
		fd = dip_files.open(path, flags, mode);
	if (fd >= 0) {
		journal_opened(fd, path, flags & O_CREAT);
		note_open(fd, path);
	}
	return fd;
}

static void rig_close(int fd)
{
	journal_closed(fd);
	is_open[fd] = false;
	dip_files.close(fd);
}

/* A write that fails may have written some of it. */
static int rig_write(int fd, const void *buf, size_t bytes, uint64_t offset)
{
	const struct iovec iov = {.iov_base = (void *)buf, .iov_len = bytes};
	unsigned int op;
	ssize_t ret;

	gate_pass("write");
	ret = rig_outcome(RIG_WRITE, bytes);
	op = journal_write(fd, offset, &iov, 1);
	if (ret > 0)
		assert_int_equal(dip_files.write(fd, buf, ret, offset), 0);
	if (ret >= 0)
		ret = ret < (ssize_t)bytes ? -ENOSPC : 0;
	journal_written(op, ret < 0 ? ret : (ssize_t)bytes);
	return ret;
}

static int rig_truncate(int fd, uint64_t bytes)
{
	int ret;

	gate_pass("truncate");
	ret = rig_outcome(RIG_TRUNCATE, 0);
	if (ret == 0)
		ret = dip_files.truncate(fd, bytes);
	if (ret == 0)
		journal_sized(fd, bytes, false);
	return ret;
}

static int rig_reserve(int fd, uint64_t bytes, bool keep_size)
{
	int ret;

	gate_pass("reserve");
	ret = rig_outcome(RIG_RESERVE, 0);
	if (ret == 0)
		ret = dip_files.reserve(fd, bytes, keep_size);
	if (ret == 0 && !keep_size)
		journal_sized(fd, bytes, true);
	return ret;
}

/* Records may be written while it lasts. */
static int rig_sync(int fd)
{
	uint32_t begun;
	int ret;

	gate_pass("sync");
	begun = journal_sync(fd);
	gate_pass("sync's end");
	ret = rig_outcome(is_index[fd] ? RIG_SYNC_INDEX : RIG_SYNC, 0);
	journal_synced(fd, begun, ret);
	/* What it tells of an earlier failure says nothing of what came since. */
	if (ret < 0)
		fail_others(fd, ret);
	else
		ret = untold[fd];
	untold[fd] = 0;
	return ret;
}

static int rig_rename(const char *from, const char *to)
{
	int ret;

	gate_pass("rename");
	ret = rig_outcome(RIG_RENAME, 0);
	if (ret == 0)
		ret = dip_files.rename(from, to);
	if (ret == 0)
		journal_renamed(from, to);
	return ret;
}

static int rig_unlink(const char *path)
{
	int ret;

	gate_pass("unlink");
	ret = rig_outcome(RIG_UNLINK, 0);
	if (ret == 0)
		ret = dip_files.unlink(path);
	if (ret == 0)
		journal_removed(path);
	return ret;
}

static int rig_mkdir(const char *path)
{
	int ret;

	gate_pass("mkdir");
	ret = rig_outcome(RIG_MKDIR, 0);
	if (ret == 0)
		ret = dip_files.mkdir(path);
	if (ret == 0)
		journal_made_folder(path);
	return ret;
}

static int rig_rmdir(const char *path)
{
	int ret;

	gate_pass("rmdir");
	ret = rig_outcome(RIG_RMDIR, 0);
	if (ret == 0)
		ret = dip_files.rmdir(path);
	if (ret == 0)
		journal_removed(path);
	return ret;
}

static uint64_t rig_now_ns(void)
{
	return rig.now;
}

const struct dip_file_ops rig_files = {
	.open = rig_open,
	.close = rig_close,
	.write = rig_write,
	.truncate = rig_truncate,
	.reserve = rig_reserve,
	.sync = rig_sync,
	.rename = rig_rename,
	.unlink = rig_unlink,
	.mkdir = rig_mkdir,
	.rmdir = rig_rmdir,
	.now_ns = rig_now_ns,
	.parallel = false, /* threads that sync would take no turns */
};
