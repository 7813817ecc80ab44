/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "cmdline.h"

/* The source of a run: a device that EAL has, or one made here: for NPY_DIR, or for --device when the
 * program chooses EAL's arguments itself. */
struct source {
	char name[64];
	uint16_t dev_id;
	bool ours;       /* made here, to be removed here */
	char *arguments; /* of a device to be made, on the heap; NULL: it is there */
};

/* All of them. */
struct sources {
	struct source of[DIP_SOURCES];
	unsigned int count;
};

/* Before EAL starts: look at what is asked for, so that what is wrong there is said at once. bytes[i]:
 * of a frame of source i, 0 when only the device will tell. Returns 0, or a negative errno with *err. */
int sources_examine(const struct command *command, const struct settings *settings,
	struct sources *sources, size_t bytes[DIP_SOURCES], struct dip_error *err);

/* After. Returns 0, or a negative errno with *err, which is empty when the driver has said why. */
int sources_open(const struct command *command, struct sources *sources, struct dip_error *err);

/* Whatever of them is there. */
void sources_close(struct sources *sources);

/* For --check-config: where source i of several writes, as a comment. */
void source_print(
	const struct command *command, unsigned int i, const struct settings *settings, FILE *out);

/* Print the drivers that this program holds. */
void source_list_drivers(void);
