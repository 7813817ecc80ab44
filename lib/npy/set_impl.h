/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/npy: a set's state, shared by set.c, which finds the files, and read.c, which reads
 * their pixels. */

#include <sys/types.h>

#include "npy/npy.h"

#define NONE SIZE_MAX

struct npy_file {
	char *name; /* the path to open */
	struct dip_npy_header header;
	uint64_t first; /* its first frame's index in the set */
};

struct dip_npy_set {
	struct npy_file *files;
	size_t count;
	uint64_t frames;

	/* A folder may have more files than a process may have descriptors: one is kept. */
	int fd;
	size_t fd_file; /* index of the file that fd is of, or NONE */

	/* Data of a file that cannot be read straight into the caller's pixels. */
	void *raw;
	size_t raw_size;
	size_t raw_file; /* index of the file that raw holds whole, or NONE */
};

/* Open a regular file for reading, and say its size in bytes. */
int dip_npy_file_open(const char *name, int *fd, uint64_t *size, struct dip_error *err);

/* Read len bytes at offset. Returns how many there were before the end of the file. */
ssize_t dip_npy_read_at(int fd, void *buf, size_t len, uint64_t offset);

/* Close the descriptor that is kept open. */
void dip_npy_set_release(struct dip_npy_set *set);
