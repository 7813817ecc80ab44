/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "metrics/metrics.h"
#include "options.h"

enum action { RUN, CHECK_CONFIG, LIST_DRIVERS, LIST_OPTIONS, LIST_ARGUMENTS, HELP, VERSION };

/* What the command line says. */
struct command {
	enum action action;
	int eal_argc; /* arguments before "--", the program's name included; 0: none given */
	char **eal_argv;
	const char *npy_dir; /* or */
	/* devices: made by --vdev, or, without EAL arguments, to be made; in the order given */
	const char *device[DIP_SOURCES];
	unsigned int devices;
	bool has_seconds;
	double seconds; /* 0: until a signal */
	bool json;
	double stats_interval; /* seconds; 0: none */
};

/* Parse the command line and the configuration that it names into settings (defaults, then the
 * file, then each --set in order). Returns 0, or -EINVAL and friends with *err. */
int parse_command(int argc, char **argv, struct command *command, struct settings *settings,
	struct dip_error *err);

void print_help(void);
