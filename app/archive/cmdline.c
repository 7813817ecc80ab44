/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdline.h"

static const struct row {
	const char *name, *value, *help;
	char letter;
} rows[OPTIONS] = {
	[JSON] = {"json", NULL, "print one JSON object", 0},
	[SHAPE] = {"shape", "HxW", "rows x columns of a frame; a raw segment (.bin) needs it", 0},
	[BLOCK] = {"block", "BYTES", "arch.block_bytes of a run without a header (default 4096)",
		0},
	[MAX_LINES] = {"max-lines", "N", "print N lines about what is bad (default 20)", 0},
	[COMPLETE] = {"complete", NULL, "a gap between the numbers is bad, too", 0},
	[FORCE] = {"force", NULL, "go on although it is being written, or files are there", 0},
	[FIRST] = {"first", "SEQ", "number of a raw segment's first frame", 0},
	[STEP] = {"step", "N", "from one of its numbers to the next", 0},
	[OUTPUT] = {"output", "DIR", "a file frame_<seq>.npy for each frame", 'o'},
	[STACK] = {"stack", "FILE.npy", "one array (N, H, W), the numbers in FILE.seq.npy", 0},
	[RAW] = {"raw", "FILE.bin", "bare pixels, frame after frame", 0},
	[SEQ] = {"seq", "LIST", "only these numbers, as 1,5-9", 0},
	[UNTIL_CLOSED] = {"until-closed", NULL, "end when the run has ended", 0},
	[ABSOLUTE] = {"absolute", NULL, "name the segments by absolute paths", 0},
};

#define HELP_ID OPTIONS

static bool parse_number(const char *name, const char *text, uint64_t min, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= min)
		return true;
	complain("--%s: found \"%s\"; expected a whole number from %u on", name, text,
		(unsigned int)min);
	return false;
}

static bool parse_shape(const char *text, struct invocation *inv)
{
	unsigned int height, width;
	char rest;

	if (text[0] < '0' || text[0] > '9' ||
		sscanf(text, "%5ux%5u%c", &height, &width, &rest) != 2 || height < 1 ||
		height > 65535 || width < 1 || width > 65535) {
		complain("--shape: found \"%s\"; expected HxW, rows x columns, each 1..65535, as "
			 "300x300",
			text);
		return false;
	}
	inv->shape = (struct dip_shape){.height = height, .width = width};
	inv->args.shape = &inv->shape;
	return true;
}

static bool apply(enum option_id id, const char *value, struct invocation *inv)
{
	struct arguments *args = &inv->args;

	switch (id) {
	case JSON:
		return args->json = true;
	case SHAPE:
		return parse_shape(value, inv);
	case BLOCK:
		if (!parse_number("block", value, 1, &args->block))
			return false;
		if (args->block <= 1 << 20)
			return true;
		complain("--block: found %s; expected at most 1048576", value);
		return false;
	case MAX_LINES:
		return parse_number("max-lines", value, 0, &args->max_lines);
	case COMPLETE:
		return args->complete = true;
	case FORCE:
		return args->force = true;
	case FIRST:
		return args->has_first = parse_number("first", value, 0, &args->first);
	case STEP:
		return args->has_step = parse_number("step", value, 1, &args->step);
	case OUTPUT:
		args->output = value;
		return true;
	case STACK:
		args->stack = value;
		return true;
	case RAW:
		args->raw = value;
		return true;
	case SEQ:
		args->seq = value;
		return true;
	case UNTIL_CLOSED:
		return args->until_closed = true;
	case ABSOLUTE:
		return args->absolute = true;
	default:
		return inv->help = true;
	}
}

/* getopt's table of the options that the command takes. */
static void make_table(const struct command *command, struct option *table, char *letters)
{
	*letters++ = ':';
	*letters++ = 'h';
	for (int i = 0; i < OPTIONS; i++) {
		if ((command->options & OPTION(i)) == 0)
			continue;
		*table++ = (struct option){.name = rows[i].name,
			.has_arg = rows[i].value != NULL ? required_argument : no_argument,
			.val = i};
		if (rows[i].letter != '\0') {
			*letters++ = rows[i].letter;
			*letters++ = ':';
		}
	}
	*letters = '\0';
	*table++ = (struct option){.name = "help", .val = HELP_ID};
	*table = (struct option){0};
}

static int id_of(int opt)
{
	for (int i = 0; i < OPTIONS; i++)
		if (rows[i].letter != '\0' && rows[i].letter == opt)
			return i;
	return opt == 'h' ? HELP_ID : opt;
}

bool parse_arguments(const struct command *command, int argc, char **argv, struct invocation *inv)
{
	struct option table[OPTIONS + 2];
	char letters[2 * OPTIONS + 3];
	int opt;

	*inv = (struct invocation){.args = {.max_lines = 20, .block = 4096}};
	make_table(command, table, letters);
	opterr = 0;
	while ((opt = getopt_long(argc, argv, letters, table, NULL)) != -1) {
		if (opt == '?' || opt == ':') {
			complain("%s: %s %s; see dma-image-archive %s --help", command->name,
				opt == ':' ? "found no value behind" : "found the unknown option",
				argv[optind - 1], command->name);
			return false;
		}
		if (!apply(id_of(opt), optarg, inv))
			return false;
	}
	inv->args.paths = argv + optind;
	inv->args.count = argc - optind;
	if (inv->help ||
		(command->path_count == PATHS_MANY ? inv->args.count > 0
						   : inv->args.count == command->path_count))
		return true;
	complain("%s: found %d paths; expected %s; see dma-image-archive %s --help", command->name,
		inv->args.count, command->paths, command->name);
	return false;
}

void print_help(const struct command *commands)
{
	puts("Usage: dma-image-archive COMMAND [options] RUN|SEGMENT...\n"
	     "\n"
	     "Works on archives of dma-image-processor: on a run's folder or on single segments.\n"
	     "Needs neither root nor the program that wrote them.\n");
	for (; commands->name != NULL; commands++)
		printf("  %-8s %s\n", commands->name, commands->help);
	puts("\n"
	     "  --help, --version; COMMAND --help tells its options\n"
	     "\n"
	     "Exit status: 0 good; 1 something is bad or not there; 2 wrong usage, or a file that\n"
	     "cannot be read or written.");
}

void print_command_help(const struct command *command)
{
	printf("Usage: dma-image-archive %s [options] %s\n\n%s\n\n", command->name, command->paths,
		command->help);
	for (int i = 0; i < OPTIONS; i++) {
		char left[40];

		if ((command->options & OPTION(i)) == 0)
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
			rows[i].value != NULL ? " " : "",
			rows[i].value != NULL ? rows[i].value : "");
		printf("  %c%c%s %-22s %s\n", rows[i].letter != '\0' ? '-' : ' ',
			rows[i].letter != '\0' ? rows[i].letter : ' ',
			rows[i].letter != '\0' ? "," : " ", left, rows[i].help);
	}
	printf("  -h, %-22s %s\n", "--help", "print this, then exit");
}
