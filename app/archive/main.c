/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"

static const struct command commands[] = {
	{"info", "RUN|SEGMENT", "what a run holds, by its headers and trailers", tool_info, 1,
		OPTION(JSON) | OPTION(SHAPE)},
	{"verify", "RUN|SEGMENT...", "check every record, checksum, number and index line",
		tool_verify, PATHS_MANY, OPTION(SHAPE) | OPTION(MAX_LINES) | OPTION(COMPLETE)},
	{"recover", "RUN|SEGMENT...",
		"mend torn segments: keep every whole frame, cut the rest off into SEGMENT.cut",
		tool_recover, PATHS_MANY, OPTION(SHAPE) | OPTION(BLOCK) | OPTION(FORCE)},
	{"index", "RUN|SEGMENT...", "rebuild the index from the records", tool_index, PATHS_MANY,
		OPTION(SHAPE) | OPTION(FIRST) | OPTION(STEP) | OPTION(FORCE)},
	{"extract", "RUN|SEGMENT", "copy good frames out, as NumPy files or bare pixels",
		tool_extract, 1,
		OPTION(OUTPUT) | OPTION(STACK) | OPTION(RAW) | OPTION(SEQ) | OPTION(SHAPE) |
			OPTION(FORCE) | OPTION(MAX_LINES)},
	{"tail", "RUN|SEGMENT",
		"follow a run being written: \"seq timestamp_ns offset segment\" for each whole "
		"frame",
		tool_tail, 1, OPTION(UNTIL_CLOSED)},
	{"h5", "RUN...", "write run.h5, which presents the run as one HDF5 dataset", tool_h5,
		PATHS_MANY, OPTION(SHAPE) | OPTION(ABSOLUTE)},
	{.name = NULL},
};

static int finish(enum status status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	complain("standard output: cannot be written");
	return STATUS_TROUBLE;
}

int main(int argc, char **argv)
{
	const struct command *command = commands;
	struct invocation invocation;

	/* The kernel breaks a lease, which is held for a moment only, with a SIGIO. */
	signal(SIGIO, SIG_IGN);
	if (argc < 2) {
		complain("found no command; expected one of info, verify, recover, index, extract, "
			 "tail, h5; see --help");
		return STATUS_TROUBLE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(commands);
		return finish(STATUS_GOOD);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("dma-image-archive " DIP_VERSION);
		return finish(STATUS_GOOD);
	}
	while (command->name != NULL && strcmp(command->name, argv[1]) != 0)
		command++;
	if (command->name == NULL) {
		complain("%s: found no such command; expected one of info, verify, recover, index, "
			 "extract, tail, h5; see --help",
			argv[1]);
		return STATUS_TROUBLE;
	}
	if (!parse_arguments(command, argc - 1, argv + 1, &invocation))
		return STATUS_TROUBLE;
	if (invocation.help) {
		print_command_help(command);
		return finish(STATUS_GOOD);
	}
	return finish(command->run(&invocation.args));
}
