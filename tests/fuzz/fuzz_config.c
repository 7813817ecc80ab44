/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "../../app/cmdline.h"
#include "config/option.h"

/* A configuration file, and behind a byte 0xff the arguments of the command line that names it, a
 * byte 0xff between them: settings, or a line that says what is wrong. What is accepted is in
 * range, and reads back as the same when it is printed. */

#define END 0xff
#define ARGUMENTS 16
#define UNKNOWN "unknown option " /* and then which */

/* The text of all settings, to be freed. */
static char *print(const struct settings *settings)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	HOLDS(out != NULL);
	dip_config_print(&option_table, settings, out);
	fclose(out);
	return text;
}

static void check_range(const struct settings *settings)
{
	for (unsigned int i = 0; i < option_table.count; i++) {
		union dip_option_value value = dip_option_get(&option_table.rows[i], settings);

		HOLDS(dip_option_allows(&option_table.rows[i], &value));
	}
}

static bool equal(const struct dip_option *row, const void *a, const void *b)
{
	union dip_option_value x = dip_option_get(row, a), y = dip_option_get(row, b);

	if (dip_option_is_string(row))
		return strcmp(x.s, y.s) == 0;
	return row->type == DIP_OPTION_BOOL  ? x.b == y.b
	       : row->type == DIP_OPTION_INT ? x.i == y.i
					     : x.f == y.f;
}

static void check_settings(const struct settings *settings)
{
	struct settings again = {0}; /* what is printed has every key */
	char *text = print(settings);
	struct dip_error err = {""};

	check_range(settings);
	HOLDS(dip_config_load(&option_table, &again,
		      memory_file((const uint8_t *)text, strlen(text)), &err) == 0);
	for (unsigned int i = 0; i < option_table.count; i++)
		HOLDS(equal(&option_table.rows[i], settings, &again));
	free(text);
	dip_config_free(&option_table, &again);
}

static void load(const uint8_t *data, size_t size)
{
	const char *path = memory_file(data, size);
	struct dip_error err = {""};
	struct settings settings;
	int rc;

	HOLDS(dip_config_defaults(&option_table, &settings) == 0);
	rc = dip_config_load(&option_table, &settings, path, &err);
	if (rc == 0) {
		check_settings(&settings);
	} else {
		check_refusal(rc, &err);
		/* Or a file that it includes. */
		HOLDS(strstr(err.text, path) != NULL ||
			memmem(data, size, "@include", strlen("@include")) != NULL);
		check_range(&settings);
	}
	dip_config_free(&option_table, &settings);
}

static void check_command(const struct command *command)
{
	HOLDS(command->devices <= DIP_SOURCES && command->stats_interval >= 0);
	HOLDS(command->seconds >= 0 && (command->has_seconds || command->seconds == 0));
	HOLDS(command->devices > 0 || command->npy_dir != NULL || command->action != RUN);
	for (unsigned int i = 0; i < command->devices; i++)
		HOLDS(command->device[i] != NULL);
}

static void run(char **argv, int argc)
{
	struct dip_error err = {""};
	struct settings settings;
	struct command command;
	int rc = parse_command(argc, argv, &command, &settings, &err);

	check_range(&settings);
	if (rc == 0) {
		check_command(&command);
		check_settings(&settings);
	} else {
		check_refusal(rc, &err);
		HOLDS(strncmp(err.text, UNKNOWN, strlen(UNKNOWN)) != 0 ||
			err.text[strlen(UNKNOWN)] == '-');
	}
	dip_config_free(&option_table, &settings);
}

/* Each argument in memory of its own: the sanitizers see what reads beyond it. */
static void run_command(const uint8_t *config, size_t size, const uint8_t *text, size_t length)
{
	char *argv[ARGUMENTS + 4] = {"dma-image-processor", "-c"}, *own[ARGUMENTS];
	int argc = 3, owned = 0;

	argv[2] = (char *)memory_file(config, size);
	while (owned < ARGUMENTS && length > 0) {
		const uint8_t *end = memchr(text, END, length);
		size_t n = end != NULL ? (size_t)(end - text) : length;

		own[owned] = strndup((const char *)text, n);
		HOLDS(own[owned] != NULL);
		argv[argc++] = own[owned++];
		text += end != NULL ? n + 1 : n;
		length -= end != NULL ? n + 1 : n;
	}
	argv[argc] = NULL;
	run(argv, argc);
	while (owned > 0)
		free(own[--owned]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, END, size);
	size_t config = end != NULL ? (size_t)(end - data) : size;

	if (end == NULL)
		load(data, size);
	else
		run_command(data, config, end + 1, size - config - 1);
	return 0;
}
