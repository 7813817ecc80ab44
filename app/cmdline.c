/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmdline.h"

#define SECONDS_MAX 1e9
#define SHORT_OPTIONS ":c:s:hV"

void print_help(void)
{
	puts("Usage: dma-image-processor [EAL options --] [options] NPY_DIR [RUN_SECONDS]\n"
	     "       dma-image-processor [EAL options --] [options] --device NAME [RUN_SECONDS]\n"
	     "\n"
	     "Polls frames from a DMA source, decides which sites are occupied, archives every "
	     "Nth.\n"
	     "NPY_DIR is a folder of .npy frames, or one .npy file. RUN_SECONDS: 5 for a source "
	     "that\n"
	     "loops, else until its end; 0: until a signal. Without \"--\" the program chooses the "
	     "EAL\n"
	     "arguments itself.\n"
	     "\n"
	     "  -c, --config FILE          read the configuration (libconfig)\n"
	     "  -s, --set GROUP.KEY=VALUE  set one key, after the file; may be given again and "
	     "again\n"
	     "      --device NAME[,ARG=..] the source: a device made with the EAL option --vdev; "
	     "without\n"
	     "                             EAL arguments it is made here, with the arguments "
	     "behind it;\n"
	     "                             again for more sources, 16 at most\n"
	     "      --report text|json     the final report's form (default: text)\n"
	     "      --stats-interval S     print one line of figures every S seconds on stderr\n"
	     "      --check-config         print every effective value, then exit\n"
	     "      --list-options         print the reference of all keys (Markdown), then exit\n"
	     "      --list-arguments       print those of all sources (Markdown), then exit\n"
	     "      --list-drivers         print the sources, detectors and back ends, then exit\n"
	     "  -h, --help                 print this, then exit\n"
	     "  -V, --version              print the version, then exit\n"
	     "\n"
	     "Exit status: 0 done; 1 failed while running (an I/O error, an unbalanced ledger);\n"
	     "2 wrong usage, configuration or input, found before anything started.\n"
	     "Keys and their meaning: --list-options, or config/README.md.");
}

static int parse_number(const char *what, const char *text, double *out, struct dip_error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0) || value > SECONDS_MAX)
		return dip_fail(err, EINVAL, "%s \"%s\": expected a number of seconds from 0 to %g",
			what, text, SECONDS_MAX);
	*out = value;
	return 0;
}

static int parse_report(const char *text, struct command *command, struct dip_error *err)
{
	command->json = strcmp(text, "json") == 0;
	if (!command->json && strcmp(text, "text") != 0)
		return dip_fail(err, EINVAL, "--report %s: expected text or json", text);
	return 0;
}

static size_t name_length(const char *device)
{
	return strcspn(device, ",");
}

static int add_device(const char *text, struct command *command, struct dip_error *err)
{
	size_t length = name_length(text);

	for (unsigned int i = 0; i < command->devices; i++)
		if (name_length(command->device[i]) == length &&
			memcmp(command->device[i], text, length) == 0)
			return dip_fail(err, EINVAL,
				"--device %.*s: given twice; expected another name for each "
				"source",
				(int)length, text);
	if (command->devices == DIP_SOURCES)
		return dip_fail(err, EINVAL,
			"--device %.*s: one too many; expected %d sources at most", (int)length,
			text, DIP_SOURCES);
	command->device[command->devices++] = text;
	return 0;
}

static int parse_positional(int argc, char **argv, struct command *command, struct dip_error *err)
{
	int i = 0;

	if (command->devices == 0 && i < argc)
		command->npy_dir = argv[i++];
	else if (i < argc && access(argv[i], F_OK) == 0 && strspn(argv[i], "0123456789.") == 0)
		return dip_fail(err, EINVAL,
			"NPY_DIR \"%s\" with --device %s: expected one of the two; "
			"dma_file0,path=%s "
			"is a device that plays it",
			argv[i], command->device[0], argv[i]);
	if (i < argc) {
		command->has_seconds = true;
		if (parse_number("run_seconds", argv[i++], &command->seconds, err) < 0)
			return -EINVAL;
	}
	if (i < argc)
		return dip_fail(
			err, EINVAL, "argument \"%s\" is one too many; see --help", argv[i]);
	if (command->devices == 0 && command->npy_dir == NULL && command->action == RUN)
		return dip_fail(err, EINVAL,
			"no source: expected a folder of .npy files, or --device NAME; see --help");
	return 0;
}

enum {
	OPT_DEVICE = 256,
	OPT_REPORT,
	OPT_STATS,
	OPT_CHECK,
	OPT_LIST_OPTIONS,
	OPT_LIST_ARGUMENTS,
	OPT_LIST_DRIVERS
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"set", required_argument, NULL, 's'},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"report", required_argument, NULL, OPT_REPORT},
	{"stats-interval", required_argument, NULL, OPT_STATS},
	{"check-config", no_argument, NULL, OPT_CHECK},
	{"list-options", no_argument, NULL, OPT_LIST_OPTIONS},
	{"list-arguments", no_argument, NULL, OPT_LIST_ARGUMENTS},
	{"list-drivers", no_argument, NULL, OPT_LIST_DRIVERS},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

/* The options that are not about the configuration. */
static int apply_option(int opt, struct command *command, struct dip_error *err)
{
	switch (opt) {
	case OPT_DEVICE:
		return add_device(optarg, command, err);
	case OPT_REPORT:
		return parse_report(optarg, command, err);
	case OPT_STATS:
		return parse_number("--stats-interval", optarg, &command->stats_interval, err);
	case OPT_CHECK:
		command->action = CHECK_CONFIG;
		return 0;
	case OPT_LIST_OPTIONS:
		command->action = LIST_OPTIONS;
		return 0;
	case OPT_LIST_ARGUMENTS:
		command->action = LIST_ARGUMENTS;
		return 0;
	case OPT_LIST_DRIVERS:
		command->action = LIST_DRIVERS;
		return 0;
	case 'h':
		command->action = HELP;
		return 0;
	case 'V':
		command->action = VERSION;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Is it one of ours? */
static bool is_letter(int c)
{
	return c != ':' && strchr(SHORT_OPTIONS, c) != NULL;
}

static int next_option(int argc, char **argv, struct dip_error *err)
{
	int opt = getopt_long(argc, argv, SHORT_OPTIONS, long_options, NULL);

	/* Of letters behind one "-" only optopt tells which it is. */
	if (opt == '?' && optopt != 0 && optopt <= UCHAR_MAX && !is_letter(optopt))
		dip_fail(err, EINVAL, "unknown option -%c; see --help", optopt);
	else if (opt == '?')
		dip_fail(err, EINVAL, "unknown option %s; see --help", argv[optind - 1]);
	if (opt == ':')
		dip_fail(err, EINVAL, "option %s: expected a value behind it; see --help",
			argv[optind - 1]);
	return opt;
}

/* Two passes: the file is read before any --set is applied, wherever they stand. */
static int parse_options(int argc, char **argv, struct command *command, struct settings *settings,
	struct dip_error *err)
{
	const char *config = NULL;
	int opt, ret = 0;

	optind = 0;
	opterr = 0;
	while (ret == 0 && (opt = next_option(argc, argv, err)) != -1) {
		if (opt == 'c')
			config = optarg;
		else if (opt != 's')
			ret = apply_option(opt, command, err);
	}
	if (ret == 0 && config != NULL)
		ret = dip_config_load(&option_table, settings, config, err);
	optind = 0;
	while (ret == 0 && (opt = getopt_long(argc, argv, SHORT_OPTIONS, long_options, NULL)) != -1)
		if (opt == 's')
			ret = dip_config_set(&option_table, settings, optarg, err);
	return ret;
}

/* "a b -- c d": a b are EAL's; without "--" everything is ours. */
static int split_eal(int argc, char **argv, struct command *command)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			command->eal_argc = i;
			command->eal_argv = argv;
			return i;
		}
	}
	return 0;
}

int parse_command(int argc, char **argv, struct command *command, struct settings *settings,
	struct dip_error *err)
{
	int first, ret;

	*command = (struct command){.action = RUN};
	first = split_eal(argc, argv, command);
	argc -= first;
	argv += first;
	ret = dip_config_defaults(&option_table, settings);
	if (ret < 0)
		return dip_fail(err, ENOMEM, "out of memory");
	ret = parse_options(argc, argv, command, settings, err);
	if (ret < 0)
		return ret;
	return parse_positional(argc - optind, argv + optind, command, err);
}
