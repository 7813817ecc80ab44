/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "tool.h"

/* The command line of dma-image-archive: options are rows, and a command says which it takes. */

#define PATHS_MANY 0

enum option_id {
	JSON,
	SHAPE,
	BLOCK,
	MAX_LINES,
	COMPLETE,
	FORCE,
	FIRST,
	STEP,
	OUTPUT,
	STACK,
	RAW,
	SEQ,
	UNTIL_CLOSED,
	ABSOLUTE,
	OPTIONS
};

#define OPTION(id) (1u << (id))

struct command {
	const char *name, *paths, *help;
	enum status (*run)(const struct arguments *args);
	int path_count; /* exactly, or PATHS_MANY: one or more */
	unsigned int options;
};

struct invocation {
	struct arguments args;
	struct dip_shape shape; /* args.shape points here */
	bool help;
};

/* argv[0] is the command's name. False when it is wrong, which has been said. */
bool parse_arguments(
	const struct command *command, int argc, char **argv, struct invocation *invocation);

void print_help(const struct command *commands);
void print_command_help(const struct command *command);
