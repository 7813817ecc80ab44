/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "journal.h"

#define DESCRIPTORS 1024
#define NONE UINT32_MAX

struct journal journal;

static struct {
	char folder[4096];
	uint64_t (*claimed)(void);
	unsigned int file[DESCRIPTORS]; /* by descriptor: number + 1 of a file, 0 for others */
	char *path[DESCRIPTORS];        /* of a folder */
} at;

static void *more(void *array, size_t count, size_t size)
{
	array = realloc(array, count * size);
	if (array == NULL)
		abort();
	return array;
}

/* The next moment. */
static uint32_t tick(void)
{
	if (journal.moment == journal.claims_room) {
		journal.claims_room = 2 * journal.claims_room + 1024;
		journal.claims =
			more(journal.claims, journal.claims_room, sizeof(journal.claims[0]));
	}
	journal.claims[journal.moment] = at.claimed();
	return journal.moment++;
}

static struct journal_op *add(enum journal_kind kind)
{
	struct journal_op *op;

	if (journal.count == journal.room) {
		journal.room = 2 * journal.room + 1024;
		journal.ops = more(journal.ops, journal.room, sizeof(journal.ops[0]));
	}
	op = &journal.ops[journal.count++];
	*op = (struct journal_op){
		.kind = kind, .begun = tick(), .ended = JOURNAL_NEVER, .safe = JOURNAL_NEVER};
	return op;
}

static void add_ended(struct journal_op op)
{
	struct journal_op *added = add(op.kind);

	op.begun = added->begun;
	op.ended = tick();
	op.safe = JOURNAL_NEVER;
	*added = op;
}

void journal_start(const char *folder, uint64_t (*claimed)(void))
{
	for (unsigned int i = 0; i < journal.count; i++) {
		free(journal.ops[i].data);
		free(journal.ops[i].from);
		free(journal.ops[i].to);
	}
	for (unsigned int i = 0; i < DESCRIPTORS; i++)
		journal_closed(i);
	journal.count = journal.moment = journal.files = 0;
	snprintf(at.folder, sizeof(at.folder), "%s", folder);
	at.claimed = claimed;
}

/* Below the folder: "" for itself, NULL for what is not below it. */
static const char *below(const char *path)
{
	size_t n = strlen(at.folder);

	if (strncmp(path, at.folder, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path[n] == '/' ? path + n + 1 : path + n;
}

/* The name of the path below the folder, to be freed; what else is written is a mistake. */
static char *name_of(const char *path)
{
	const char *name = below(path);
	char *copy = name == NULL ? NULL : strdup(name);

	if (copy == NULL) {
		fprintf(stderr, "journal: %s is not below %s\n", path, at.folder);
		abort();
	}
	return copy;
}

static unsigned int file_of(int fd)
{
	if (fd < 0 || fd >= DESCRIPTORS || at.file[fd] == 0) {
		fprintf(stderr, "journal: descriptor %d is of no file\n", fd);
		abort();
	}
	return at.file[fd] - 1;
}

void journal_opened(int fd, const char *path, bool made)
{
	if (fd < 0 || fd >= DESCRIPTORS)
		abort();
	journal_closed(fd);
	if (!made) {
		if (below(path) != NULL)
			at.path[fd] = name_of(path);
		return;
	}
	at.file[fd] = ++journal.files;
	add_ended((struct journal_op){
		.kind = JOURNAL_CREATE, .file = file_of(fd), .to = name_of(path)});
}

void journal_closed(int fd)
{
	if (fd < 0 || fd >= DESCRIPTORS)
		return;
	free(at.path[fd]);
	at.path[fd] = NULL;
	at.file[fd] = 0;
}

unsigned int journal_write(int fd, uint64_t offset, const struct iovec *iov, unsigned int iovs)
{
	struct journal_op *op = add(JOURNAL_WRITE);
	uint64_t done = 0;

	op->file = file_of(fd);
	op->offset = offset;
	for (unsigned int i = 0; i < iovs; i++)
		op->bytes += iov[i].iov_len;
	op->data = more(NULL, op->bytes, 1);
	for (unsigned int i = 0; i < iovs; done += iov[i++].iov_len)
		memcpy(op->data + done, iov[i].iov_base, iov[i].iov_len);
	return op - journal.ops;
}

void journal_written(unsigned int i, ssize_t result)
{
	struct journal_op *op = &journal.ops[i];

	op->ended = tick();
	if (result < 0)
		op->in_doubt = true; /* any of it may have got there */
	else
		op->bytes = result;
}

void journal_sized(int fd, uint64_t bytes, bool grow)
{
	add_ended((struct journal_op){
		.kind = JOURNAL_SIZE, .file = file_of(fd), .bytes = bytes, .grow = grow});
}

uint32_t journal_sync(int fd)
{
	(void)fd;
	return tick();
}

static bool is_entry(const struct journal_op *op, const char *folder)
{
	const char *name = op->to != NULL ? op->to : op->from, *slash = strrchr(name, '/');
	size_t n = slash == NULL ? 0 : slash - name;

	return strlen(folder) == n && strncmp(name, folder, n) == 0;
}

static bool is_name(const struct journal_op *op)
{
	return op->kind != JOURNAL_WRITE && op->kind != JOURNAL_SIZE;
}

void journal_synced(int fd, uint32_t begun, int result)
{
	uint32_t ended = tick();

	/* Of the folder above all: it is there whatever happens. */
	if (at.path[fd] == NULL && at.file[fd] == 0)
		return;
	for (unsigned int i = 0; i < journal.count; i++) {
		struct journal_op *op = &journal.ops[i];

		if (at.path[fd] != NULL ? !is_name(op) || !is_entry(op, at.path[fd])
					: is_name(op) || op->file != file_of(fd))
			continue;
		if (op->safe != JOURNAL_NEVER || op->in_doubt)
			continue;
		if (result < 0)
			op->in_doubt = true;
		else if (op->ended < begun)
			op->safe = ended;
	}
}

void journal_made_folder(const char *path)
{
	add_ended((struct journal_op){.kind = JOURNAL_CREATE,
		.file = journal.files++,
		.to = name_of(path),
		.folder = true});
}

void journal_renamed(const char *from, const char *to)
{
	unsigned int file = NONE;

	/* The file that had the name last. */
	for (unsigned int i = 0; i < journal.count; i++)
		if (journal.ops[i].to != NULL && strcmp(journal.ops[i].to, below(from)) == 0)
			file = journal.ops[i].file;
	if (file == NONE)
		abort();
	add_ended((struct journal_op){
		.kind = JOURNAL_RENAME, .file = file, .from = name_of(from), .to = name_of(to)});
}

void journal_removed(const char *path)
{
	add_ended((struct journal_op){.kind = JOURNAL_REMOVE, .from = name_of(path)});
}

uint32_t journal_print(void)
{
	uint32_t crc = 0;

	for (unsigned int i = 0; i < journal.count; i++) {
		const struct journal_op *op = &journal.ops[i];
		const uint64_t numbers[] = {
			op->kind, op->begun, op->ended, op->safe, op->file, op->offset, op->bytes};

		crc = dip_crc32c(crc, numbers, sizeof(numbers));
		if (op->data != NULL)
			crc = dip_crc32c(crc, op->data, op->bytes);
	}
	return crc;
}
