/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tests that have a short form, of every day, and a long one, which DIP_LONG=1 asks for
 * (scripts/test --long); both say what they did in a line "R<number>: ...", which scripts/test
 * shows. */

static inline bool proof_long(void)
{
	const char *text = getenv("DIP_LONG");

	return text != NULL && text[0] != '\0' && strcmp(text, "0") != 0;
}

static inline unsigned int proof_count(unsigned int brief, unsigned int all)
{
	return proof_long() ? all : brief;
}

/* DIP_SEED in place of the usual one, to repeat what has failed. */
static inline unsigned int proof_seed(unsigned int usual)
{
	const char *text = getenv("DIP_SEED");

	return text == NULL ? usual : (unsigned int)strtoul(text, NULL, 10);
}

static inline void __attribute__((format(printf, 1, 2))) proof_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* A new folder, in memory where there is such a file system: what is tested is in the journal. */
static inline int proof_folder(char *path, size_t size)
{
	snprintf(path, size, "%s/dip_proof_XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(path) == NULL ? -1 : 0;
}
