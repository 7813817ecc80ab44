/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything that the archive asks of the file system and of the clock, except for the records
 * themselves, which a back end writes (archive/io.h). A table, so that a journal, a plan of faults
 * or a clock of a test's own can take the place of the system. Each returns a negative errno when
 * it fails. Any thread. */
struct dip_file_ops {
	int (*open)(const char *path, int flags, unsigned int mode); /* a descriptor */
	void (*close)(int fd);
	int (*write)(int fd, const void *buf, size_t bytes, uint64_t offset); /* all or an error */
	int (*truncate)(int fd, uint64_t bytes);
	int (*reserve)(int fd, uint64_t bytes, bool keep_size); /* blocks from the start on */
	int (*sync)(int fd);                                    /* a file's data, or a folder */
	int (*rename)(const char *from, const char *to);        /* -EEXIST: never replaces */
	int (*unlink)(const char *path);
	int (*mkdir)(const char *path);
	int (*rmdir)(const char *path);
	uint64_t (*now_ns)(void); /* monotonic */
	bool parallel;            /* sync may be called by several threads at once */
};

extern const struct dip_file_ops dip_files; /* the system's */

#define DIP_SYNCS 64 /* in one call, at most */

struct dip_sync {
	int fd;
	int ret; /* of sync */
};

/* Sync them all, at once if that is possible: a disk empties its cache for each sync, and for those
 * that wait for it together only once. Returns when all have ended. */
void dip_files_sync_all(
	const struct dip_file_ops *files, struct dip_sync *syncs, unsigned int count);
