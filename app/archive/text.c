/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

static void print_line(const char *fmt, va_list ap)
{
	fputs("dma-image-archive: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
}

void lines_add(struct lines *lines, const char *fmt, ...)
{
	va_list ap;

	if (lines->count++ >= lines->max)
		return;
	va_start(ap, fmt);
	print_line(fmt, ap);
	va_end(ap);
}

void lines_end(const struct lines *lines)
{
	if (lines->count > lines->max)
		complain("%" PRIu64 " more such lines; --max-lines N shows more",
			lines->count - lines->max);
}

enum status worse(enum status a, enum status b)
{
	return a > b ? a : b;
}

enum status status_of(int error)
{
	return error == -EBADMSG ? STATUS_BAD : STATUS_TROUBLE;
}

enum status list_run(const char *path, struct dip_run *run)
{
	struct dip_error err;

	if (dip_run_list(path, run, &err) < 0) {
		complain("%s", err.text);
		return STATUS_TROUBLE;
	}
	if (run->count > 0)
		return STATUS_GOOD;
	complain("%s: found no segment; expected files like <prefix>_000000.npy; name the folder "
		 "of a run",
		path);
	dip_run_free(run);
	return STATUS_TROUBLE;
}

#define IN_USE_MS 1000

bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

uint64_t count_missing(const struct dip_run *run, struct lines *lines)
{
	uint64_t expected = 0, missing = 0;

	if (run->condemned > 0) {
		lines_add(lines,
			"%s: found %zu condemned segments beside it, which the disk may not have "
			"kept; expected none; copy them, take .condemned off the copies' names, "
			"recover those",
			run->segments[0].path, run->condemned);
		missing += run->condemned;
	}
	/* A segment named by itself has number 0. */
	for (size_t i = 0; i < run->count; i++) {
		uint64_t number = run->segments[i].number;

		if (number > expected)
			lines_add(lines,
				"%s: found no segment %06" PRIu64 " to %06" PRIu64
				" before it; expected every number; put them back",
				run->segments[i].path, expected, number - 1);
		missing += number > expected ? number - expected : 0;
		expected = number + 1;
	}
	return missing;
}

bool refuse_in_use(const struct dip_reader *reader, const struct arguments *args)
{
	/* The kernel may still be ending the last writes of a program that was killed. */
	for (int waited = 0; waited < IN_USE_MS; waited += 10) {
		if (args->force || !dip_reader_in_use(reader))
			return false;
		usleep(10000);
	}
	complain("%s: found open for writing; expected a run that has ended; stop the program that "
		 "writes it, or give --force",
		reader->path);
	return true;
}
