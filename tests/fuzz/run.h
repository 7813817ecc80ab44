/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "reader/reader.h"

/* A run of an archive, written small, for the targets that read one. A part is "%%", a letter, the
 * digit of a segment, and what is behind up to the next part:
 *
 *	s  a segment: a line with the text of its header, without the blanks that fill it up; records
 *	w  the bytes of a segment
 *	b  the bytes of a raw segment
 *	i  the bytes of an index
 *	t  what the user says, three bytes: height, width, --block
 *
 * Where a record of s has the checksum RUN_SEAL it gets the right one, which no search would find.
 * Without any part it is the bytes of a segment. */

#define RUN_SEGMENTS 4
#define RUN_SEAL 0x21212121u /* "!!!!" */
#define RUN_PATH 96

struct run {
	char folder[RUN_PATH];
	char segment[RUN_SEGMENTS][RUN_PATH]; /* paths; "": not there */
	struct dip_shape shape;               /* as told; 0 x 0: not */
	unsigned int block;
};

static struct run run_now;

static void run_clean(void)
{
	static const char *const kinds[] = {"npy", "bin", "idx", "npy.cut", "bin.cut"};
	char path[2 * RUN_PATH];

	for (unsigned int i = 0; i < RUN_SEGMENTS; i++)
		for (unsigned int k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			snprintf(path, sizeof(path), "%s/frames_%06u.%s", run_now.folder, i,
				kinds[k]);
			unlink(path);
		}
}

static void run_remove(void)
{
	run_clean();
	rmdir(run_now.folder);
}

/* In memory, where there is such a place. */
static void run_make_folder(void)
{
	snprintf(run_now.folder, sizeof(run_now.folder), "%s/dip_fuzz_XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	HOLDS(mkdtemp(run_now.folder) != NULL);
	atexit(run_remove);
}

static void run_write(
	const char *path, const void *head, size_t head_size, const uint8_t *data, size_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	HOLDS(fd >= 0 && write(fd, head, head_size) == (ssize_t)head_size);
	HOLDS(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* The header as numpy writes it, filled up with blanks. */
static void run_write_segment(const char *path, const uint8_t *data, size_t size)
{
	static const uint8_t begin[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0,
		(DIP_HEADER_BYTES - 10) % 256, (DIP_HEADER_BYTES - 10) / 256};
	const uint8_t *line = memchr(data, '\n', size);
	size_t text = line != NULL ? (size_t)(line - data) : size;
	size_t records = line != NULL ? size - text - 1 : 0;
	uint8_t header[DIP_HEADER_BYTES];

	memset(header, ' ', sizeof(header));
	memcpy(header, begin, sizeof(begin));
	memcpy(header + sizeof(begin), data,
		text < sizeof(header) - 11 ? text : sizeof(header) - 11);
	header[sizeof(header) - 1] = '\n';
	run_write(path, header, sizeof(header), data + size - records, records);
}

static void run_seal(const char *path)
{
	struct dip_record record;
	struct dip_reader *r;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	HOLDS(fd >= 0);
	if (dip_reader_open(path, NULL, &r, NULL) < 0) {
		close(fd);
		return;
	}
	for (uint64_t i = 0; i < r->records; i++) {
		HOLDS(dip_reader_read(r, i, &record, NULL) == 0);
		if (record.trailer.crc32c != RUN_SEAL)
			continue;
		record.trailer.crc32c =
			dip_record_crc32c(record.image, r->image_bytes, &record.trailer);
		HOLDS(pwrite(fd, &record.trailer, sizeof(record.trailer),
			      record.offset + r->image_bytes) == sizeof(record.trailer));
	}
	dip_reader_close(r);
	close(fd);
}

static void run_add(char kind, unsigned int number, const uint8_t *data, size_t size)
{
	char path[2 * RUN_PATH];
	const char *suffix = kind == 'b' ? "bin" : kind == 'i' ? "idx" : "npy";

	if (kind == 't' && size >= 3) {
		run_now.shape = (struct dip_shape){.height = data[0], .width = data[1]};
		run_now.block = data[2];
	}
	if (strchr("swbi", kind) == NULL || kind == '\0')
		return;
	snprintf(path, sizeof(path), "%s/frames_%06u.%s", run_now.folder, number, suffix);
	if (kind == 's') {
		run_write_segment(path, data, size);
		run_seal(path);
	} else {
		run_write(path, "", 0, data, size);
	}
	if (kind != 'i')
		snprintf(run_now.segment[number], RUN_PATH, "%.*s", RUN_PATH - 1, path);
}

/* Lay the run out in a folder of its own, the same one at each call. */
static const struct run *run_lay_out(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *part = memmem(data, size, "%%", 2);

	if (run_now.folder[0] == '\0')
		run_make_folder();
	run_clean();
	memset(run_now.segment, 0, sizeof(run_now.segment));
	run_now.shape = (struct dip_shape){0};
	run_now.block = 0;
	if (part == NULL)
		run_add('w', 0, data, size);
	while (part != NULL && end - part >= 4) {
		const uint8_t *next = memmem(part + 4, end - part - 4, "%%", 2);

		run_add(part[2], part[3] % RUN_SEGMENTS, part + 4,
			(next != NULL ? next : end) - part - 4);
		part = next;
	}
	return &run_now;
}
