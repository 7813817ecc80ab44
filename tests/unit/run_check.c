/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader/index.h"
#include "reader/reader.h"
#include "run_check.h"
#include "rig.h"
#include "tool_run.h"

#define SEQS 4096
#define PATH_BYTES 4400

/* Of the state that is looked at. */
static struct {
	bool named[SEQS]; /* by an index line */
	bool whole[SEQS]; /* in the files as the crash left them */
	bool found[SEQS]; /* after recover */
	unsigned int twice;
	bool own; /* in the folder that is looked at there was a record of this run */
	unsigned int lost_headers; /* there: segments without one that hold no frame, and no other
				    * segment to tell their shape */
} seen;

static const struct dip_shape *shape(void)
{
	static struct dip_shape shape;

	shape = (struct dip_shape){
		.height = rig.conf.segment.height, .width = rig.conf.segment.width};
	return &shape;
}

static size_t image_bytes(void)
{
	return (size_t)shape()->height * shape()->width * sizeof(uint16_t);
}

/* Bytes that a record has, without its padding. */
static size_t record_bytes(void)
{
	return image_bytes() + (rig.conf.segment.npy ? sizeof(struct dip_trailer) : 0);
}

/* --- what the crash left --- */

/* The frame that lies there whole, or -1. Frames are known by their first pixel. */
static int64_t whole_at(int fd, uint64_t offset)
{
	static uint8_t record[RIG_RECORD_BYTES], want[RIG_RECORD_BYTES];

	if (pread(fd, record, record_bytes(), offset) != (ssize_t)record_bytes())
		return -1;
	for (uint64_t seq = 0; seq < rig.next_seq; seq += rig.step) {
		uint16_t first = seq * 977;

		if (memcmp(record, &first, sizeof(first)) != 0)
			continue;
		rig_make_record(want, seq, RIG_RUN_ID);
		if (memcmp(record, want, record_bytes()) == 0)
			return seq;
	}
	return -1;
}

static void look_at_lines(struct run_check *c, const char *path, int fd)
{
	struct dip_index index;
	struct dip_error err;

	assert_true(dip_index_read(path, &index, &err) >= 0);
	for (uint64_t i = 0; i < index.count; i++) {
		const struct dip_index_line *line = &index.lines[i];

		if (line->malformed) /* the cut end of it */
			continue;
		if (fd < 0 || whole_at(fd, line->offset) != (int64_t)line->seq)
			fail_msg("%s: line %" PRIu64 " \"%.*s\" is of no good record", path, i + 1,
				line->length, line->text);
		seen.named[line->seq] = true;
		c->lines++;
	}
	dip_index_free(&index);
}

static void look_at_records(int fd)
{
	uint64_t stride = dip_segment_stride(&rig.conf.segment);
	uint64_t at = rig.conf.segment.npy ? DIP_HEADER_BYTES : 0;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (; at + record_bytes() <= (uint64_t)st.st_size; at += stride) {
		int64_t seq = whole_at(fd, at);

		if (seq >= 0)
			seen.whole[seq] = seen.own = true;
	}
}

/* A segment by its path without .npy or .bin, in any folder. */
static void look(struct run_check *c, const char *stem)
{
	char path[2 * PATH_BYTES + 8];
	int fd;

	snprintf(path, sizeof(path), "%s.%s", stem, rig.conf.segment.npy ? "npy" : "bin");
	fd = open(path, O_RDONLY);
	look_at_lines(c, path, fd);
	if (fd < 0)
		return;
	look_at_records(fd);
	close(fd);
}

/* --- what recover makes of it --- */

/* Run a command of the tool, which must call everything good; or, if no segment tells the shape,
 * complain of those that hold nothing. */
static void command(enum status (*run)(const struct arguments *), char *folder)
{
	char words[4096];
	enum status status =
		tool_run(run, folder, rig.conf.segment.block_bytes, words, sizeof(words));

	if (status != STATUS_GOOD && (run != tool_recover || seen.lost_headers == 0))
		fail_msg("%s: status %d:\n%s", folder, status, words);
}

/* A segment may lack its header only as long as none of its frames is durable. */
static bool header_is_lost(const char *path)
{
	struct dip_index index;
	struct dip_reader *r;
	bool line = false;

	if (dip_reader_open(path, NULL, &r, NULL) == 0) {
		dip_reader_close(r);
		return false;
	}
	assert_true(dip_index_read(path, &index, NULL) >= 0);
	for (uint64_t i = 0; i < index.count; i++)
		line |= !index.lines[i].malformed;
	dip_index_free(&index);
	if (line)
		fail_msg("%s: its index has lines, and it has no header", path);
	return true;
}

/* Also without a sound header: by the shape of the run. */
static bool holds_frames(const char *path)
{
	uint64_t at = DIP_HEADER_BYTES, stride = dip_segment_stride(&rig.conf.segment);
	int fd = open(path, O_RDONLY);
	bool found = false;
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	for (; at + record_bytes() <= (uint64_t)st.st_size && !found; at += stride)
		found = whole_at(fd, at) >= 0;
	close(fd);
	return found;
}

/* The shape that no segment tells is the user's to know. */
static void look_at_headers(struct run_check *c, const struct dip_run *run)
{
	size_t lost = 0;

	seen.lost_headers = 0;
	for (size_t i = 0; i < run->count; i++) {
		if (!header_is_lost(run->segments[i].path))
			continue;
		lost++;
		seen.lost_headers += !holds_frames(run->segments[i].path);
	}
	if (lost < run->count)
		seen.lost_headers = 0;
	c->headerless += lost;
	tool_shape = lost == run->count ? shape() : NULL;
}

static void accept(struct run_check *c, const struct dip_reader *r, struct dip_record *record)
{
	uint64_t seq = record->trailer.seq;
	static uint8_t want[RIG_RECORD_BYTES];

	if (record->fault != DIP_GOOD || record->pad_damaged) {
		char why[160];

		dip_record_describe(r, record, why, sizeof(why));
		fail_msg("%s: record %" PRIu64 " is not good after recover: %s", r->path,
			record->slot, record->pad_damaged ? "its padding" : why);
	}
	if (!rig.conf.checksum) /* nothing tells a torn image without it */
		record->image = NULL;
	if (record->trailer.run_id != RIG_RUN_ID) {
		/* Of a run that has left no whole record nothing can be told from an older one. */
		if (rig.conf.checksum && seen.own)
			fail_msg("%s: record %" PRIu64 " is of another run", r->path, record->slot);
		c->older++;
		return;
	}
	assert_true(seq < SEQS);
	rig_make_record(want, seq, RIG_RUN_ID);
	if (record->image != NULL && memcmp(record->image, want, image_bytes()) != 0)
		fail_msg("%s: record %" PRIu64 ": frame %" PRIu64 " is not what was made", r->path,
			record->slot, seq);
	seen.twice += seen.found[seq];
	c->frames += !seen.found[seq];
	seen.found[seq] = true;
}

static void read_recovered(struct run_check *c, const struct dip_run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		struct dip_record record;
		struct dip_reader *r;
		struct dip_error err;
		int ret;

		if (dip_reader_open(run->segments[i].path, NULL, &r, &err) < 0) {
			if (holds_frames(run->segments[i].path))
				fail_msg("after recover: %s", err.text);
			continue;
		}
		if (r->promised != r->records || r->rest > 0)
			fail_msg("%s: is not cut to the truth", r->path);
		while ((ret = dip_reader_next(r, &record, &err)) == 1)
			accept(c, r, &record);
		assert_int_equal(ret, 0);
		dip_reader_close(r);
	}
}

/* Every byte of a folder's files, as one number. */
static uint32_t print_of(const struct dip_run *run)
{
	static const char *const suffixes[] = {"", ".cut", ".idx"};
	static uint8_t bytes[1 << 20];
	char path[PATH_BYTES];
	uint32_t crc = 0;

	for (size_t i = 0; i < 3 * run->count; i++) {
		const char *segment = run->segments[i / 3].path;
		ssize_t n = -1;
		int fd;

		snprintf(path, sizeof(path), "%s%s", segment, suffixes[i % 3]);
		if (i % 3 == 2)
			dip_index_path(segment, path, sizeof(path));
		fd = open(path, O_RDONLY);
		if (fd >= 0) {
			n = read(fd, bytes, sizeof(bytes));
			close(fd);
		}
		crc = dip_crc32c(crc, &n, sizeof(n));
		crc = dip_crc32c(crc, bytes, n > 0 ? n : 0);
	}
	return crc;
}

/* Numbers from 0 on, or verify has something to say. */
static bool complete(const struct dip_run *run)
{
	return run->condemned == 0 && run->segments[run->count - 1].number == run->count - 1;
}

static void recover(struct run_check *c, char *folder)
{
	struct dip_error err;
	struct dip_run run;
	uint32_t print;

	if (access(folder, F_OK) < 0)
		return;
	assert_int_equal(dip_run_list(folder, &run, &err), 0);
	if (run.count > 0) {
		look_at_headers(c, &run);
		command(tool_recover, folder);
		read_recovered(c, &run);
		print = print_of(&run);
		command(tool_recover, folder);
		assert_int_equal(print_of(&run), print);
		if (complete(&run) && seen.twice == 0 && seen.lost_headers == 0)
			command(tool_verify, folder);
	}
	dip_run_free(&run);
}

/* --- the whole --- */

/* Condemned segments go to a folder of their own, under the names that recover knows. */
static void part_condemned(struct run_check *c)
{
	char from[PATH_BYTES + 300], to[PATH_BYTES + 300];
	struct dirent *entry;
	DIR *dir;

	snprintf(from, sizeof(from), "%s/run", c->folder);
	snprintf(to, sizeof(to), "%s/condemned", c->folder);
	assert_int_equal(mkdir(to, 0755), 0);
	dir = opendir(from);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		const char *mark = strstr(entry->d_name, ".condemned");

		if (mark == NULL)
			continue;
		snprintf(from, sizeof(from), "%s/run/%s", c->folder, entry->d_name);
		snprintf(to, sizeof(to), "%s/condemned/%.*s", c->folder,
			(int)(mark - entry->d_name), entry->d_name);
		assert_int_equal(rename(from, to), 0);
		c->condemned++;
	}
	if (dir != NULL)
		closedir(dir);
}

/* One of a segment and its index may have been renamed without the other. */
static void join_pairs(struct run_check *c, unsigned int number)
{
	const char *suffix = rig.conf.segment.npy ? "npy" : "bin";
	static const char *const folders[] = {"run", "condemned"};
	char data[PATH_BYTES], here[PATH_BYTES], there[PATH_BYTES];

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(data, sizeof(data), "%s/%s/f_%06u.%s", c->folder, folders[i], number,
			suffix);
		snprintf(here, sizeof(here), "%s/%s/f_%06u.idx", c->folder, folders[i], number);
		snprintf(there, sizeof(there), "%s/%s/f_%06u.idx", c->folder, folders[1 - i],
			number);
		if (access(data, F_OK) == 0 && access(here, F_OK) < 0 && access(there, F_OK) == 0)
			assert_int_equal(rename(there, here), 0);
	}
}

static void start_next(struct run_check *c)
{
	struct dip_segment_conf conf = rig.conf.segment;
	struct dip_segment segment;
	struct dip_error err;

	conf.files = &dip_files;
	snprintf(conf.dir, sizeof(conf.dir), "%s/run_2", c->folder);
	if (dip_segment_open(&conf, 0, &segment, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(dip_segment_close(&segment, &err), 0);
}

/* One folder: what the crash left in it, then what recover makes of that. */
static void check_folder(struct run_check *c, const char *name)
{
	unsigned int segments = rig_counted("arch_segments") + 2;
	char folder[PATH_BYTES], stem[2 * PATH_BYTES];

	seen.own = false;
	snprintf(folder, sizeof(folder), "%s/%s", c->folder, name);
	for (unsigned int i = 0; i < segments; i++) {
		snprintf(stem, sizeof(stem), "%s/f_%06u", folder, i);
		look(c, stem);
	}
	if (rig.conf.segment.npy)
		recover(c, folder);
}

void run_check(struct run_check *c)
{
	uint64_t named = 0;
	bool expected;

	memset(&seen, 0, sizeof(seen));
	c->whole = 0;
	part_condemned(c);
	for (unsigned int i = 0; i < rig_counted("arch_segments") + 2; i++)
		join_pairs(c, i);
	start_next(c);
	check_folder(c, "run");
	check_folder(c, "condemned");
	for (uint64_t seq = 0; seq < SEQS; seq++) {
		c->whole += seen.whole[seq];
		named += seen.named[seq];
		assert_true(seen.whole[seq] || !seen.named[seq]);
		/* Without checksums the run that has most records is taken, unless a line tells. */
		expected = rig.conf.checksum ? seen.whole[seq] : seen.named[seq];
		if (rig.conf.segment.npy && expected && !seen.found[seq])
			fail_msg("frame %" PRIu64 " is whole, and recover has not found it", seq);
	}
	if (c->whole < c->claimed)
		fail_msg("%" PRIu64 " frames were called durable, %" PRIu64 " are there",
			c->claimed, c->whole);
	if (c->complete)
		assert_int_equal(named, c->claimed);
	c->twice += seen.twice;
}
