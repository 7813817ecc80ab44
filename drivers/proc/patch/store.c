/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "store.h"

#define ALIGN 64
#define CHUNK_BYTES ((size_t)1 << 20)

struct entry {
	uint64_t hash;
	const int16_t *numbers; /* NULL: free */
	size_t count;
};

struct chunk {
	struct chunk *next;
	size_t used, size;
	uint8_t bytes[] __attribute__((aligned(ALIGN)));
};

struct patch_store {
	struct chunk *chunks; /* the newest first */
	struct entry *entry;
	size_t entries, size; /* size: a power of two */
};

struct patch_store *patch_store_new(void)
{
	struct patch_store *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->size = 256;
	s->entry = calloc(s->size, sizeof(s->entry[0]));
	if (s->entry != NULL)
		return s;
	free(s);
	return NULL;
}

void patch_store_free(struct patch_store *s)
{
	struct chunk *c, *next;

	if (s == NULL)
		return;
	for (c = s->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(s->entry);
	free(s);
}

/* FNV-1a over whole numbers, stirred, since rows of weights differ in a few of them only. */
static uint64_t hash_of(const int16_t *numbers, size_t count)
{
	uint64_t hash = 0xcbf29ce484222325 ^ count;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ (uint16_t)numbers[i]) * 0x100000001b3;
	return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15;
}

/* The entry of those numbers, or the free one where they belong. */
static struct entry *find(
	const struct patch_store *s, uint64_t hash, const int16_t *numbers, size_t count)
{
	for (size_t i = hash >> 16;; i++) {
		struct entry *e = &s->entry[i & (s->size - 1)];

		if (e->numbers == NULL || (e->hash == hash && e->count == count &&
						  memcmp(e->numbers, numbers, count * 2) == 0))
			return e;
	}
}

static int grow(struct patch_store *s)
{
	struct entry *old = s->entry;
	size_t size = s->size;

	s->entry = calloc(2 * size, sizeof(old[0]));
	if (s->entry == NULL) {
		s->entry = old;
		return -1;
	}
	s->size = 2 * size;
	for (size_t i = 0; i < size; i++)
		if (old[i].numbers != NULL)
			*find(s, old[i].hash, old[i].numbers, old[i].count) = old[i];
	free(old);
	return 0;
}

static int16_t *allocate(struct patch_store *s, size_t bytes)
{
	struct chunk *c = s->chunks;
	size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

	if (c == NULL || c->size - c->used < bytes) {
		c = aligned_alloc(ALIGN, sizeof(*c) + size);
		if (c == NULL)
			return NULL;
		*c = (struct chunk){.next = s->chunks, .size = size};
		s->chunks = c;
	}
	c->used += bytes;
	return (int16_t *)(c->bytes + c->used - bytes);
}

const int16_t *patch_store_keep(struct patch_store *s, const int16_t *numbers, size_t count)
{
	uint64_t hash = hash_of(numbers, count);
	struct entry *e;
	int16_t *kept;

	if (2 * s->entries >= s->size && grow(s) < 0)
		return NULL;
	e = find(s, hash, numbers, count);
	if (e->numbers != NULL)
		return e->numbers;
	kept = allocate(s, (count * 2 + ALIGN - 1) / ALIGN * ALIGN);
	if (kept == NULL)
		return NULL;
	memcpy(kept, numbers, count * 2);
	*e = (struct entry){.hash = hash, .numbers = kept, .count = count};
	s->entries++;
	return kept;
}
