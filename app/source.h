/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmdline.h"

/* The source of a run: a device that EAL has, or one made here: for NPY_DIR, or for --device when the
 * program chooses EAL's arguments itself. */
struct source {
	char name[64];
	uint16_t dev_id;
	bool ours;       /* made here, to be removed here */
	char *arguments; /* of a device to be made, on the heap; NULL: it is there */
};

/* Before EAL starts: look at what is asked for, so that what is wrong there is said at once. *bytes:
 * of a frame, 0 when only the device will tell. Returns 0, or a negative errno with *err. */
int source_examine(const struct command *command, const struct settings *settings,
	struct source *source, size_t *bytes, struct dip_error *err);

/* After. Returns 0, or a negative errno with *err, which is empty when the driver has said why. */
int source_open(const struct command *command, struct source *source, struct dip_error *err);

void source_close(struct source *source);

/* Print the drivers that this program holds. */
void source_list_drivers(void);
