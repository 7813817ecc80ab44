/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include "../../app/archive/tool.h"
#include "reader/index.h"

/* A run, after whatever has happened to it (run.h), and dma-image-archive's info, verify, recover and
 * index: each ends with a status, says lines of text, and says one when something is wrong. What recover
 * calls good holds every good record that was there, is whole, has its index, and is left alone by a
 * second recover. */

#define RECORDS 256

/* The good records of a segment, each by checksum and run. */
struct records {
	unsigned int count;
	struct {
		uint32_t crc;
		uint64_t run_id;
	} of[RECORDS];
};

static void note(struct records *all, const struct dip_reader *r, const struct dip_record *record)
{
	if (all->count == RECORDS)
		return;
	all->of[all->count].run_id = record->trailer.run_id;
	all->of[all->count++].crc =
		dip_crc32c(dip_record_crc32c(record->image, r->image_bytes, &record->trailer),
			&record->trailer.crc32c, sizeof(record->trailer.crc32c));
}

static void look(const char *path, struct records *all)
{
	struct dip_record record;
	struct dip_reader *r;

	all->count = 0;
	if (path[0] == '\0' || dip_reader_open(path, NULL, &r, NULL) < 0)
		return;
	for (uint64_t i = 0; r->npy && i < r->records; i++) {
		r->has_run_id = false;
		HOLDS(dip_reader_read(r, i, &record, NULL) == 0);
		if (record.fault == DIP_GOOD)
			note(all, r, &record);
	}
	dip_reader_close(r);
}

/* Run a command; its lines are printable text. */
static enum status command(enum status (*run)(const struct arguments *), const struct run *now)
{
	char *paths[] = {(char *)now->folder}, *words;
	size_t size;
	FILE *out = stdout, *err = stderr, *stream = open_memstream(&words, &size);
	enum status status;
	const struct arguments args = {.paths = paths,
		.count = 1,
		.max_lines = 20,
		.block = now->block > 0 ? now->block : 4096,
		.shape = now->shape.height > 0 && now->shape.width > 0 ? &now->shape : NULL,
		.has_first = run == tool_index && now->block % 2 == 1,
		.has_step = run == tool_index && now->block % 2 == 1,
		.first = now->block,
		.step = 5};

	HOLDS(stream != NULL);
	stdout = stderr = stream;
	status = run(&args);
	stdout = out;
	stderr = err;
	fclose(stream);
	HOLDS(status >= STATUS_GOOD && status <= STATUS_TROUBLE);
	HOLDS(size > 0 && words[size - 1] == '\n');
	for (size_t i = 0; i < size; i++)
		HOLDS(words[i] == '\n' || (words[i] >= ' ' && words[i] <= '~'));
	HOLDS(status == STATUS_GOOD || run == tool_info || strstr(words, "expected") != NULL ||
		strstr(words, "bad") != NULL);
	free(words);
	return status;
}

static void check_index(const char *path, const struct dip_reader *r, const uint64_t *seq)
{
	struct dip_index index;
	struct dip_error err;

	HOLDS(dip_index_read(path, &index, &err) == 1);
	HOLDS(index.count == r->records);
	for (uint64_t i = 0; i < index.count; i++) {
		HOLDS(!index.lines[i].malformed && index.lines[i].seq == seq[i]);
		HOLDS(index.lines[i].offset == dip_reader_offset(r, i));
	}
	dip_index_free(&index);
}

static bool is_in(const struct records *all, uint32_t crc)
{
	for (unsigned int i = 0; i < all->count; i++)
		if (all->of[i].crc == crc)
			return true;
	return false;
}

/* What recover made of a segment. */
static void check_segment(const char *path, const struct records *before)
{
	struct dip_record record;
	struct records after = {0};
	uint64_t seq[RECORDS];
	struct dip_reader *r;
	struct dip_error err;

	HOLDS(dip_reader_open(path, NULL, &r, &err) == 0);
	HOLDS(r->npy && r->records == r->promised && r->written == r->records && r->rest == 0);
	while (dip_reader_next(r, &record, &err) == 1) {
		HOLDS(record.fault == DIP_GOOD && !record.pad_damaged);
		HOLDS(after.count < RECORDS);
		seq[after.count] = record.trailer.seq;
		note(&after, r, &record);
	}
	HOLDS(after.count == r->records);
	for (unsigned int i = 0; after.count > 0 && i < before->count; i++)
		HOLDS(before->of[i].run_id != after.of[0].run_id ||
			is_in(&after, before->of[i].crc));
	check_index(path, r, seq);
	dip_reader_close(r);
}

/* A checksum of a file's bytes; 0 of none. */
static uint32_t checksum(const char *path)
{
	static uint8_t bytes[1 << 16];
	ssize_t n;
	int fd;

	if (path[0] == '\0')
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	HOLDS(fd >= 0 && n >= 0);
	close(fd);
	return dip_crc32c((uint32_t)n, bytes, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct records before[RUN_SEGMENTS];
	const struct run *now = run_lay_out(data, size);
	uint32_t crc[RUN_SEGMENTS];

	command(tool_info, now);
	command(tool_verify, now);
	for (unsigned int i = 0; i < RUN_SEGMENTS; i++)
		look(now->segment[i], &before[i]);
	if (command(tool_recover, now) == STATUS_GOOD) {
		for (unsigned int i = 0; i < RUN_SEGMENTS; i++) {
			if (now->segment[i][0] != '\0')
				check_segment(now->segment[i], &before[i]);
			crc[i] = checksum(now->segment[i]);
		}
		HOLDS(command(tool_recover, now) == STATUS_GOOD);
		for (unsigned int i = 0; i < RUN_SEGMENTS; i++)
			HOLDS(crc[i] == checksum(now->segment[i]));
		command(tool_verify, now);
	}
	command(tool_index, now);
	return 0;
}
