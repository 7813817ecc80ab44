/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"

/* What the fuzz targets share. libFuzzer's, or replay.c's, one input: returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libconfig does not give back the string that it is in when a file has a syntax error. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig_yylex\nleak:strbuf_append\n";
}

/* Abort, which the fuzzer takes for a find, unless it holds. */
#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A failure says one line of text. */
static inline void check_refusal(int rc, const struct dip_error *err)
{
	HOLDS(rc < 0);
	HOLDS(err->text[0] != '\0' && strlen(err->text) < sizeof(err->text) - 1);
	HOLDS(strchr(err->text, '\n') == NULL);
}

/* The path of a file in memory with that text, the same one at each call. */
static inline const char *memory_file(const uint8_t *data, size_t size)
{
	static char path[64];
	static int file = -1;

	if (file < 0) {
		file = memfd_create("input", MFD_CLOEXEC);
		HOLDS(file >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	HOLDS(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	return path;
}
