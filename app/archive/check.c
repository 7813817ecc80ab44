/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

#define TEXT_SHOWN 48

int slots_create(struct slots *s, uint64_t count)
{
	s->count = count;
	s->state = calloc(count + 1, sizeof(*s->state));
	s->seq = calloc(count + 1, sizeof(*s->seq));
	return s->state == NULL || s->seq == NULL ? -ENOMEM : 0;
}

void slots_free(struct slots *s)
{
	free(s->state);
	free(s->seq);
}

static void say_malformed(
	const char *path, uint64_t number, const struct dip_index_line *line, struct lines *lines)
{
	char text[TEXT_SHOWN + 1];
	int n = line->length < TEXT_SHOWN ? line->length : TEXT_SHOWN;

	for (int i = 0; i < n; i++)
		text[i] = line->text[i] >= ' ' && line->text[i] <= '~' ? line->text[i] : '?';
	text[n] = '\0';
	lines_add(lines,
		"%s: line %" PRIu64 ": found \"%s\"; expected \"seq offset\" and a newline", path,
		number, text);
}

static void check_line(const struct dip_reader *r, const char *path, uint64_t number,
	const struct dip_index_line *line, struct slots *slots, struct lines *lines)
{
	uint64_t slot =
		line->offset < r->head ? slots->count : (line->offset - r->head) / r->stride;

	if (slot >= slots->count || dip_reader_offset(r, slot) != line->offset) {
		lines_add(lines,
			"%s: line %" PRIu64 ": found offset %" PRIu64
			"; expected that of a record, %" PRIu64 " and each %zu bytes on, %" PRIu64
			" times",
			path, number, line->offset, r->head, r->stride, slots->count);
	} else if (slots->state[slot] == SLOT_NAMED) {
		lines_add(lines,
			"%s: line %" PRIu64 ": found offset %" PRIu64
			" a second time; expected it once",
			path, number, line->offset);
	} else if (slots->state[slot] == SLOT_NONE) {
		lines_add(lines,
			"%s: line %" PRIu64 ": found seq %" PRIu64 " at %" PRIu64
			"; expected a record there, but none was written",
			path, number, line->seq, line->offset);
	} else if (slots->state[slot] == SLOT_GOOD) {
		if (slots->seq[slot] != line->seq)
			lines_add(lines,
				"%s: line %" PRIu64 ": found seq %" PRIu64 "; expected %" PRIu64
				" as in the record at %" PRIu64,
				path, number, line->seq, slots->seq[slot], line->offset);
		slots->state[slot] = SLOT_NAMED;
	}
}

uint64_t check_index(const struct dip_reader *r, const struct dip_index *index, struct slots *slots,
	struct lines *lines)
{
	uint64_t unnamed = 0;
	char path[4500];

	dip_index_path(r->path, path, sizeof(path));
	for (uint64_t i = 0; i < index->count; i++) {
		const struct dip_index_line *line = &index->lines[i];

		if (line->malformed)
			say_malformed(path, i + 1, line, lines);
		else
			check_line(r, path, i + 1, line, slots, lines);
	}
	for (uint64_t i = 0; i < slots->count; i++)
		unnamed += slots->state[i] == SLOT_GOOD;
	return unnamed;
}
