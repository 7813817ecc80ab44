/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "config/option.h"
#include "dma/source_impl.h"

/* What stands behind --device, "NAME,ARGUMENTS" in the first line; the lines behind it are a file, of
 * which config=/proc/self/fd/100 reads more arguments. A source is examined, as before EAL starts, or
 * refused by one line; so are the arguments by themselves. */

#define FILE_OF_ARGUMENTS 100

static void name_file(const uint8_t *data, size_t size)
{
	static bool named;
	FILE *f;

	memory_file(data, size);
	if (named)
		return;
	f = fopen(memory_file(data, size), "re");
	HOLDS(f != NULL && dup2(fileno(f), FILE_OF_ARGUMENTS) == FILE_OF_ARGUMENTS);
	fclose(f);
	named = true;
}

static void check_faults(const struct dip_faults *f)
{
	uint64_t seq[] = {0, 1, 17, UINT64_MAX};

	HOLDS(f->count <= DIP_FAULTS_MAX && f->kinds >> DIP_FAULT_KINDS == 0);
	for (unsigned int i = 0; i < f->count; i++) {
		HOLDS(f->fault[i].kind < DIP_FAULT_KINDS);
		HOLDS(dip_faults_have(f, f->fault[i].kind));
		HOLDS(f->fault[i].at || f->fault[i].threshold <= (uint64_t)1 << 32);
		HOLDS(f->fault[i].amount >= -1e9 && f->fault[i].amount <= 1e9);
	}
	for (unsigned int i = 0; i < RTE_DIM(seq); i++)
		HOLDS((uint64_t)dip_faults_of(f, seq[i]) >> f->count == 0);
}

static struct dip_source *source_of(const struct dip_source_ops *ops)
{
	struct dip_source *s;

	HOLDS(posix_memalign((void **)&s, RTE_CACHE_LINE_SIZE, sizeof(*s) + ops->private_size) ==
		0);
	memset(s, 0, sizeof(*s) + ops->private_size);
	s->ops = ops;
	return s;
}

/* Every value is in range. */
static void parse(const struct dip_source_ops *ops, const char *text)
{
	struct dip_source *s = source_of(ops);
	struct dip_error err = {""};
	int rc = dip_source_arguments(s, text, &err);

	if (rc < 0)
		check_refusal(rc, &err);
	for (unsigned int i = 0; i < s->arguments.count; i++) {
		union dip_option_value value = dip_option_get(&s->arguments.rows[i], s);

		HOLDS(dip_option_allows(&s->arguments.rows[i], &value));
	}
	if (s->faults != NULL)
		check_faults(s->faults);
	HOLDS(rc == 0 || s->arguments.count == 0);
	dip_source_arguments_free(s);
	free(s);
}

/* Any path whatsoever can be said by devargs. */
static void say_path(const struct dip_source_ops *ops, const char *path)
{
	struct dip_source *s = source_of(ops);
	char *text = dip_source_path(path);
	struct dip_error err = {""};

	HOLDS(text != NULL && dip_source_arguments(s, text, &err) == 0);
	for (unsigned int i = 0; i < s->arguments.count; i++)
		if (strstr(s->arguments.rows[i].name, ".path") != NULL)
			HOLDS(strcmp(dip_option_get(&s->arguments.rows[i], s).s, path) == 0);
	dip_source_arguments_free(s);
	free(text);
	free(s);
}

static void examine(const char *name, const char *arguments)
{
	struct dip_error err = {""};
	struct dip_dma_info info;
	int rc = dip_source_examine(name, arguments, &info, &err);

	if (rc < 0)
		check_refusal(rc, &err);
	else
		HOLDS(info.width >= 1 && info.height >= 1 && info.max_queues >= 1);
}

/* Whether the fuzzer's own descriptors are asked for: a pipe of its own never ends. */
static bool asks_for_pipes(const uint8_t *data, size_t size)
{
	static const char fd[] = "/self/fd/", own[] = "/self/fd/100";
	const uint8_t *at = memmem(data, size, fd, strlen(fd));

	return at != NULL && at != memmem(data, size, own, strlen(own));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	size_t length = end != NULL ? (size_t)(end - data) : size;
	char *name = strndup((const char *)data, length), *comma, *arguments = NULL;
	const struct dip_source_ops *ops;

	HOLDS(name != NULL);
	if (asks_for_pipes(data, size)) {
		free(name);
		return 0;
	}
	name_file(data + length, size - length);
	comma = strchr(name, ',');
	if (comma != NULL) {
		arguments = strdup(comma + 1);
		HOLDS(arguments != NULL);
		*comma = '\0';
	}
	examine(name, arguments);
	DIP_SOURCE_FOREACH(ops)
	{
		if (arguments == NULL || strncmp(name, ops->name, strlen(ops->name)) != 0)
			continue;
		parse(ops, arguments);
		if (strcmp(ops->name, "dma_file") == 0)
			say_path(ops, arguments);
	}
	free(arguments);
	free(name);
	return 0;
}
