/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tool_run.h"

const struct dip_shape *tool_shape;

enum status tool_run(enum status (*command)(const struct arguments *), char *path, size_t block,
	char *words, size_t size)
{
	struct arguments args = {
		.paths = &path, .count = 1, .max_lines = 20, .block = block, .shape = tool_shape};
	int out, err, file = memfd_create("words", MFD_CLOEXEC);
	enum status status;
	ssize_t n;

	fflush(stdout);
	fflush(stderr);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(file, STDOUT_FILENO);
	dup2(file, STDERR_FILENO);
	status = command(&args);
	fflush(stdout);
	fflush(stderr);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	n = pread(file, words, size - 1, 0);
	words[n < 0 ? 0 : n] = '\0';
	close(file);
	return status;
}
