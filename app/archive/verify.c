/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reader/seqs.h"
#include "check.h"

#define PROGRESS_NS 200000000

/* One run, or one segment of it. */
struct verification {
	const struct arguments *args;
	const struct dip_run *run;
	struct lines lines;
	struct dip_seqs seqs;
	struct dip_shape shape;
	uint64_t bad, open, unindexed;
	bool has_run_id;
	uint64_t run_id;
	uint64_t bytes, done; /* of the whole run, for the progress bar */
	int64_t shown_ns;
	bool bar;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void clear_bar(const struct verification *v)
{
	if (v->bar)
		fputs("\r\033[K", stderr);
}

static void progress(struct verification *v, uint64_t bytes)
{
	int64_t now;

	v->done += bytes;
	if (!v->bar)
		return;
	now = now_ns();
	if (now - v->shown_ns < PROGRESS_NS)
		return;
	v->shown_ns = now;
	fprintf(stderr, "\r%3.0f %% of %.1f GB", v->bytes > 0 ? 100.0 * v->done / v->bytes : 100.0,
		v->bytes / 1e9);
	fflush(stderr);
}

static void say_record(
	struct verification *v, const struct dip_reader *r, const struct dip_record *record)
{
	char why[160];

	clear_bar(v);
	if (record->fault == DIP_GOOD) {
		lines_add(&v->lines,
			"%s: record %" PRIu64 " at byte %" PRIu64
			": padding not all zeros; expected zeros; its frame is good",
			r->path, record->slot, record->offset);
		return;
	}
	dip_record_describe(r, record, why, sizeof(why));
	v->bad++;
	lines_add(&v->lines, "%s: record %" PRIu64 " at byte %" PRIu64 ": %s", r->path,
		record->slot, record->offset, why);
}

static int take_record(struct verification *v, const struct dip_reader *r, struct slots *slots,
	const struct dip_record *record, uint32_t segment)
{
	if (record->fault != DIP_GOOD || record->pad_damaged)
		say_record(v, r, record);
	progress(v, r->stride);
	if (record->slot < slots->count) {
		slots->state[record->slot] = record->fault == DIP_GOOD ? SLOT_GOOD : SLOT_BAD;
		slots->seq[record->slot] = record->trailer.seq;
	}
	if (record->fault != DIP_GOOD)
		return 0;
	return dip_seqs_add(&v->seqs, record->trailer.seq, segment, record->slot);
}

/* What concerns the file as a whole. */
static void check_file(struct verification *v, const struct dip_reader *r)
{
	if (r->npy && (r->records != r->promised || r->rest > 0)) {
		clear_bar(v);
		lines_add(&v->lines,
			"%s: found %" PRIu64 " bytes, %" PRIu64
			" whole records%s; expected %" PRIu64
			" records, as its header says; recover mends it",
			r->path, r->file_bytes, r->records, r->rest > 0 ? " and a rest" : "",
			r->promised);
	}
	if (r->has_run_id && v->has_run_id && r->run_id != v->run_id)
		lines_add(&v->lines,
			"%s: found run_id %016" PRIx64 "; expected %016" PRIx64
			" as in the segments before it; it is of another run",
			r->path, r->run_id, v->run_id);
	v->open += r->npy && r->written < r->records;
	if (r->has_run_id) {
		v->has_run_id = true;
		v->run_id = r->run_id;
	}
	if (v->shape.height != 0 &&
		(v->shape.height != r->shape.height || v->shape.width != r->shape.width))
		lines_add(&v->lines,
			"%s: found frames of %" PRIu32 "x%" PRIu32 "; expected %" PRIu32 "x%" PRIu32
			" as in the segments before it",
			r->path, r->shape.height, r->shape.width, v->shape.height, v->shape.width);
	v->shape = r->shape;
}

/* A crash leaves an index that is behind; a close never does. A segment that was filled since its
 * index was read is not closed before its writer lets go of it, and its index is complete by then. */
static int compare_index(struct verification *v, const struct dip_reader *r, struct slots *slots,
	struct dip_index *index, struct dip_error *err)
{
	bool closed = r->npy && r->written == r->promised;
	uint64_t unnamed;

	if (closed && index->count < r->written) {
		closed = !dip_reader_in_use(r);
		dip_index_free(index);
		if (dip_index_read(r->path, index, err) < 0)
			return -EIO;
	}
	unnamed = check_index(r, index, slots, &v->lines);
	if (unnamed > 0 && closed)
		lines_add(&v->lines,
			"%s: found no line for %" PRIu64 " good records in its index; expected a "
			"line for each, as it is closed; the command index rebuilds it",
			r->path, unnamed);
	else if (r->npy)
		v->unindexed += unnamed;
	return 0;
}

static int read_segment(struct verification *v, struct dip_reader *r, struct slots *slots,
	uint32_t segment, struct dip_error *err)
{
	struct dip_record record;
	int ret;

	while ((ret = dip_reader_next(r, &record, err)) == 1)
		if (take_record(v, r, slots, &record, segment) < 0)
			return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	return ret;
}

static int verify_segment(struct verification *v, uint32_t segment, struct dip_error *err)
{
	const char *path = v->run->segments[segment].path;
	struct slots slots = {0};
	struct dip_index index;
	struct dip_reader *r;
	int indexed, ret;

	/* The index first: what it names was written before. */
	indexed = dip_index_read(path, &index, err);
	if (indexed < 0)
		return indexed;
	ret = dip_reader_open(path, v->args->shape, &r, err);
	if (ret < 0)
		goto free_index;
	if (slots_create(&slots, r->records) < 0)
		ret = dip_fail(err, ENOMEM, "%s: out of memory", path);
	else
		ret = read_segment(v, r, &slots, segment, err);
	if (ret == 0) {
		check_file(v, r);
		if (indexed)
			ret = compare_index(v, r, &slots, &index, err);
	}
	progress(v, (r->records - r->written) * r->stride);
	slots_free(&slots);
	dip_reader_close(r);
free_index:
	dip_index_free(&index);
	return ret;
}

/* Numbers that come twice, and with --complete those that do not come. */
static void check_seqs(struct verification *v, const struct dip_seq_summary *sum)
{
	const struct dip_seq *s = v->seqs.all;

	for (size_t i = 1; i < v->seqs.count; i++) {
		uint64_t step = s[i].seq - s[i - 1].seq;

		if (step == 0) {
			v->bad++;
			lines_add(&v->lines,
				"%s: record %" PRIu32 ": seq %" PRIu64
				" a second time; expected each once",
				v->run->segments[s[i].segment].path, s[i].slot, s[i].seq);
		} else if (step > sum->step && v->args->complete) {
			lines_add(&v->lines,
				"%s: record %" PRIu32 ": seq %" PRIu64 " after %" PRIu64
				"; expected %" PRIu64 "; %" PRIu64 " frames are missing",
				v->run->segments[s[i].segment].path, s[i].slot, s[i].seq,
				s[i - 1].seq, s[i - 1].seq + sum->step, (step - 1) / sum->step);
		}
	}
}

static void print_summary(
	const char *path, const struct verification *v, const struct dip_seq_summary *sum)
{
	printf("%s: ", path);
	if (sum->frames == 0)
		printf("0 frames");
	else
		printf("%" PRIu64 " frames of %" PRIu32 "x%" PRIu32 ", seq %" PRIu64 "..%" PRIu64
		       " by %" PRIu64 ", %" PRIu64 " gaps (%" PRIu64 " frames missing)",
			sum->frames, v->shape.height, v->shape.width, sum->min, sum->max, sum->step,
			sum->gaps, sum->missing);
	printf(", %" PRIu64 " bad records", v->bad);
	if (v->open > 0)
		printf(", %" PRIu64 " segments not closed", v->open);
	if (v->unindexed > 0)
		printf(", %" PRIu64 " frames not yet in the index", v->unindexed);
	printf(": %s\n", v->lines.count == 0 ? "good" : "bad");
}

static enum status verify_run(struct verification *v, const char *path)
{
	enum status status = STATUS_GOOD;
	struct dip_seq_summary sum;
	struct dip_error err;
	size_t read = 0;

	count_missing(v->run, &v->lines);
	for (size_t i = 0; i < v->run->count; i++) {
		int ret = verify_segment(v, i, &err);

		/* A run that ends removes the segment made ahead, in which nothing is. */
		if (ret == -ENOENT && is_folder(path))
			continue;
		if (ret < 0) {
			clear_bar(v);
			lines_add(&v->lines, "%s", err.text);
			status = worse(status, status_of(ret));
		}
		read += ret == 0;
	}
	clear_bar(v);
	if (read == 0) {
		lines_end(&v->lines);
		return status;
	}
	if (dip_seqs_summary(&v->seqs, &sum) < 0) {
		complain("%s: out of memory", path);
		return STATUS_TROUBLE;
	}
	check_seqs(v, &sum);
	lines_end(&v->lines);
	print_summary(path, v, &sum);
	return worse(status, v->lines.count > 0 ? STATUS_BAD : STATUS_GOOD);
}

enum status tool_verify(const struct arguments *args)
{
	enum status status = STATUS_GOOD;

	for (int i = 0; i < args->count; i++) {
		struct dip_run run;
		struct verification v = {.args = args,
			.run = &run,
			.lines = {.max = args->max_lines},
			.seqs = {.sorted = true},
			.bar = isatty(STDERR_FILENO)};
		struct stat st;

		if (list_run(args->paths[i], &run) != STATUS_GOOD) {
			status = STATUS_TROUBLE;
			continue;
		}
		for (size_t k = 0; k < run.count; k++)
			v.bytes += stat(run.segments[k].path, &st) == 0 ? st.st_size : 0;
		status = worse(status, verify_run(&v, args->paths[i]));
		free(v.seqs.all);
		dip_run_free(&run);
	}
	return status;
}
