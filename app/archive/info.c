/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "reader/seqs.h"
#include "tool.h"

/* What trailers and headers say; images are not read. */
struct overview {
	uint64_t segments, open, bytes, bad;
	uint64_t first_ns, last_ns; /* arrival */
	struct dip_shape shape;
	bool npy, has_run_id;
	uint64_t run_id;
	struct dip_seqs seqs;
	struct dip_seq_summary sum;
};

static int take_record(struct overview *o, const struct dip_record *record, uint32_t segment)
{
	uint64_t ns = record->trailer.timestamp_ns;

	if (record->fault != DIP_GOOD) {
		o->bad++;
		return 0;
	}
	if (o->seqs.count == 0 || ns < o->first_ns)
		o->first_ns = ns;
	if (o->seqs.count == 0 || ns > o->last_ns)
		o->last_ns = ns;
	return dip_seqs_add(&o->seqs, record->trailer.seq, segment, record->slot);
}

/* Only a whole record tells the run. */
static int find_run_id(struct dip_reader *r, struct dip_error *err)
{
	struct dip_record record;
	int ret = 0;

	for (uint64_t i = 0; r->npy && i < r->written && !r->has_run_id && ret == 0; i++)
		ret = dip_reader_read(r, i, &record, err);
	return ret;
}

static int take_segment(
	struct overview *o, struct dip_reader *r, uint32_t number, struct dip_error *err)
{
	struct dip_record record;
	int ret = find_run_id(r, err);

	o->segments++;
	o->open += r->npy && r->promised > r->written;
	o->bytes += r->file_bytes;
	o->shape = r->shape;
	o->npy = r->npy;
	if (r->has_run_id && !o->has_run_id) {
		o->has_run_id = true;
		o->run_id = r->run_id;
	}
	for (uint64_t i = 0; i < r->written && ret == 0; i++) {
		ret = dip_reader_peek(r, i, &record, err);
		if (ret == 0 && take_record(o, &record, number) < 0)
			ret = dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	}
	return ret;
}

static double rate(const struct overview *o)
{
	if (o->seqs.count < 2 || o->last_ns <= o->first_ns)
		return 0;
	return (o->seqs.count - 1) * 1e9 / (o->last_ns - o->first_ns);
}

static void print_string(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_json(const char *path, const struct overview *o)
{
	const struct dip_seq_summary *s = &o->sum;

	printf("{\"path\": ");
	print_string(path);
	printf(", \"format\": \"%s\", \"segments\": %" PRIu64 ", \"open_segments\": %" PRIu64
	       ", \"bytes\": %" PRIu64 ", \"height\": %" PRIu32 ", \"width\": %" PRIu32,
		o->npy ? "npy" : "raw", o->segments, o->open, o->bytes, o->shape.height,
		o->shape.width);
	printf(", \"frames\": %" PRIu64 ", \"bad_records\": %" PRIu64
	       ", \"repeated_seqs\": %" PRIu64,
		s->frames, o->bad, s->twice);
	if (s->frames > 0)
		printf(", \"seq_min\": %" PRIu64 ", \"seq_max\": %" PRIu64
		       ", \"seq_step\": %" PRIu64,
			s->min, s->max, s->step);
	printf(", \"gaps\": %" PRIu64 ", \"missing\": %" PRIu64, s->gaps, s->missing);
	if (o->npy && s->frames > 0)
		printf(", \"timestamp_ns_min\": %" PRIu64 ", \"timestamp_ns_max\": %" PRIu64
		       ", \"frames_per_s\": %.3f",
			o->first_ns, o->last_ns, rate(o));
	if (o->has_run_id)
		printf(", \"run_id\": \"%016" PRIx64 "\"", o->run_id);
	printf("}\n");
}

static void print_text(const char *path, const struct overview *o)
{
	const struct dip_seq_summary *s = &o->sum;

	printf("%s\n", path);
	printf("  segments   %" PRIu64 " (%s), %" PRIu64 " not closed\n", o->segments,
		o->npy ? "npy" : "raw", o->open);
	printf("  bytes      %" PRIu64 "\n", o->bytes);
	printf("  shape      %" PRIu32 " x %" PRIu32 " pixels (height x width)\n", o->shape.height,
		o->shape.width);
	printf("  frames     %" PRIu64 ", and %" PRIu64 " bad records, %" PRIu64 " numbers again\n",
		s->frames, o->bad, s->twice);
	if (s->frames > 0)
		printf("  seq        %" PRIu64 " to %" PRIu64 " by %" PRIu64 "\n", s->min, s->max,
			s->step);
	printf("  gaps       %" PRIu64 " (%" PRIu64 " frames missing)\n", s->gaps, s->missing);
	if (o->npy && s->frames > 0)
		printf("  rate       %.3f frames/s archived, over %.6f s\n", rate(o),
			(o->last_ns - o->first_ns) / 1e9);
	if (o->has_run_id)
		printf("  run_id     %016" PRIx64 "\n", o->run_id);
}

static enum status overview_of(
	const struct dip_run *run, const struct arguments *args, struct overview *o)
{
	enum status status = STATUS_GOOD;
	struct dip_reader *r;
	struct dip_error err;
	int ret;

	for (size_t i = 0; i < run->count; i++) {
		ret = dip_reader_open(run->segments[i].path, args->shape, &r, &err);
		if (ret == 0) {
			ret = take_segment(o, r, i, &err);
			dip_reader_close(r);
		}
		if (ret < 0) {
			complain("%s", err.text);
			status = worse(status, status_of(ret));
		}
	}
	return status;
}

enum status tool_info(const struct arguments *args)
{
	struct overview o = {.seqs = {.sorted = true}};
	struct dip_run run;
	enum status status = list_run(args->paths[0], &run);

	if (status != STATUS_GOOD)
		return status;
	status = overview_of(&run, args, &o);
	if (dip_seqs_summary(&o.seqs, &o.sum) < 0) {
		complain("%s: out of memory", args->paths[0]);
		status = STATUS_TROUBLE;
	} else if (o.segments > 0) {
		(args->json ? print_json : print_text)(args->paths[0], &o);
	}
	free(o.seqs.all);
	dip_run_free(&run);
	return status;
}
