/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a loss of power leaves of the files in a journal (journal.h). What was not safe is there,
 * or gone, or, of a write, torn: any of its sectors; each operation by itself, by the dice. */

#define CRASH_SECTOR 512

struct crash_conf {
	uint32_t moment; /* what began before it may be there, what was safe before it is */
	unsigned int seed;
	/* What lies in a file's blocks before anything is written there: size bytes, zeros when it
	 * comes. NULL: zeros stay. */
	void (*fill)(const char *path, uint8_t *bytes, uint64_t size, unsigned int *seed);
};

struct crash_file {
	char path[256]; /* below the folder of the journal */
	unsigned int number;
	bool folder;
	uint8_t *bytes;
	uint64_t size;
};

struct crash_state {
	struct crash_file *files; /* in order of their making, a folder before what is in it */
	unsigned int count, room;
};

void crash_make(const struct crash_conf *conf, struct crash_state *state);
void crash_free(struct crash_state *state);

/* Make the files in the folder, which is there and empty. */
void crash_store(const struct crash_state *state, const char *folder);
