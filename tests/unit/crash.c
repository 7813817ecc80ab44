/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"
#include "journal.h"

/* The dice of one state: how likely what was not safe is to be there, percent. */
struct luck {
	unsigned int *seed;
	unsigned int names, data;
};

static bool chance(unsigned int *seed, unsigned int percent)
{
	return (unsigned int)rand_r(seed) / 7 % 100 < percent;
}

static unsigned int draw(unsigned int *seed)
{
	static const unsigned int percent[] = {0, 10, 50, 90, 100};

	return percent[(unsigned int)rand_r(seed) / 7 % 5];
}

static bool was_safe(const struct journal_op *op, uint32_t moment)
{
	return op->safe < moment;
}

/* --- names --- */

static void forget(struct crash_state *state, const char *path)
{
	for (unsigned int i = 0; i < state->count; i++) {
		if (strcmp(state->files[i].path, path) != 0)
			continue;
		memmove(&state->files[i], &state->files[i + 1],
			(--state->count - i) * sizeof(state->files[0]));
		return;
	}
}

static void name(struct crash_state *state, const struct journal_op *op)
{
	forget(state, op->to);
	if (state->count == state->room) {
		state->room = 2 * state->room + 32;
		state->files = realloc(state->files, state->room * sizeof(state->files[0]));
		if (state->files == NULL)
			abort();
	}
	state->files[state->count] = (struct crash_file){.number = op->file, .folder = op->folder};
	snprintf(state->files[state->count++].path, sizeof(state->files[0].path), "%s", op->to);
}

static void make_names(uint32_t moment, const struct luck *luck, struct crash_state *state)
{
	for (unsigned int i = 0; i < journal.count; i++) {
		const struct journal_op *op = &journal.ops[i];

		if (op->kind == JOURNAL_WRITE || op->kind == JOURNAL_SIZE || op->begun >= moment ||
			(!was_safe(op, moment) && !chance(luck->seed, luck->names)))
			continue;
		if (op->from != NULL)
			forget(state, op->from);
		if (op->to != NULL)
			name(state, op);
	}
}

/* What is below a folder that is not there, is not there either. */
static void drop_orphans(struct crash_state *state)
{
	for (unsigned int i = 0; i < state->count;) {
		const char *path = state->files[i].path, *slash = strrchr(path, '/');
		bool found = slash == NULL;

		for (unsigned int k = 0; k < state->count && !found; k++)
			found = state->files[k].folder &&
				strlen(state->files[k].path) == (size_t)(slash - path) &&
				strncmp(state->files[k].path, path, slash - path) == 0;
		if (found)
			i++;
		else
			forget(state, path);
	}
}

/* --- data --- */

static void grow(struct crash_file *file, uint64_t size)
{
	if (size > file->size)
		file->size = size;
}

/* Some of the sectors of a write. The size may have got there without them. */
static void tear(struct crash_file *file, const struct journal_op *op, unsigned int *seed)
{
	uint64_t end = op->offset + op->bytes, next;
	unsigned int percent = draw(seed);

	for (uint64_t at = op->offset; at < end; at = next) {
		next = (at / CRASH_SECTOR + 1) * CRASH_SECTOR;
		next = next < end ? next : end;
		if (!chance(seed, percent))
			continue;
		memcpy(file->bytes + at, op->data + (at - op->offset), next - at);
		grow(file, next);
	}
	if (chance(seed, 50))
		grow(file, end);
}

static void write_data(
	struct crash_file *file, const struct journal_op *op, bool whole, unsigned int *seed)
{
	if (!whole) {
		tear(file, op, seed);
		return;
	}
	memcpy(file->bytes + op->offset, op->data, op->bytes);
	grow(file, op->offset + op->bytes);
}

static void set_size(struct crash_file *file, const struct journal_op *op)
{
	if (op->grow || op->bytes >= file->size) {
		grow(file, op->bytes);
		return;
	}
	memset(file->bytes + op->bytes, 0, file->size - op->bytes);
	file->size = op->bytes;
}

/* An operation on the file, and when it took effect. */
struct effect {
	const struct journal_op *op;
	uint32_t moment;
};

static int by_moment(const void *a, const void *b)
{
	const struct effect *x = a, *y = b;

	if (x->moment != y->moment)
		return x->moment < y->moment ? -1 : 1;
	return x->op < y->op ? -1 : x->op > y->op;
}

/* What was asked of a file, in an order in which it may have been done: each took effect at some
 * moment between its begin and its end. */
static unsigned int order(const struct crash_conf *conf, unsigned int number,
	struct effect *effects, unsigned int *seed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < journal.count; i++) {
		const struct journal_op *op = &journal.ops[i];
		uint32_t end = op->ended < conf->moment ? op->ended : conf->moment;

		if (op->kind > JOURNAL_SIZE || op->file != number || op->begun >= conf->moment)
			continue;
		effects[n++] = (struct effect){
			.op = op, .moment = op->begun + rand_r(seed) % (end - op->begun + 1)};
	}
	qsort(effects, n, sizeof(effects[0]), by_moment);
	return n;
}

static void make_data(
	const struct crash_conf *conf, const struct luck *luck, struct crash_file *file)
{
	struct effect *effects = calloc(journal.count + 1, sizeof(*effects));
	unsigned int n = order(conf, file->number, effects, luck->seed);
	uint64_t most = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t end = effects[i].op->offset + effects[i].op->bytes;

		most = end > most ? end : most;
	}
	file->bytes = calloc(1, most + 1);
	if (file->bytes == NULL)
		abort();
	if (conf->fill != NULL)
		conf->fill(file->path, file->bytes, most, luck->seed);
	for (unsigned int i = 0; i < n; i++) {
		const struct journal_op *op = effects[i].op;
		bool whole = was_safe(op, conf->moment) || chance(luck->seed, luck->data);

		if (op->kind == JOURNAL_WRITE)
			write_data(file, op, whole, luck->seed);
		else if (whole)
			set_size(file, op);
	}
	free(effects);
}

void crash_make(const struct crash_conf *conf, struct crash_state *state)
{
	unsigned int seed = conf->seed;
	struct luck luck = {.seed = &seed, .names = draw(&seed), .data = draw(&seed)};

	*state = (struct crash_state){0};
	make_names(conf->moment, &luck, state);
	drop_orphans(state);
	for (unsigned int i = 0; i < state->count; i++)
		if (!state->files[i].folder)
			make_data(conf, &luck, &state->files[i]);
}

void crash_free(struct crash_state *state)
{
	for (unsigned int i = 0; i < state->count; i++)
		free(state->files[i].bytes);
	free(state->files);
	*state = (struct crash_state){0};
}

void crash_store(const struct crash_state *state, const char *folder)
{
	char path[4096 + 256];

	for (unsigned int i = 0; i < state->count; i++) {
		const struct crash_file *file = &state->files[i];
		int fd;

		snprintf(path, sizeof(path), "%s/%s", folder, file->path);
		if (file->folder) {
			if (mkdir(path, 0755) < 0)
				abort();
			continue;
		}
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0 || pwrite(fd, file->bytes, file->size, 0) != (ssize_t)file->size)
			abort();
		close(fd);
	}
}
