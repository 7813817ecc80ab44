/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader/index.h"
#include "plan.h"

/* What the segments of a run tell each other. */
struct kin {
	struct dip_shape shape;
	size_t stride; /* 0: not known */
	uint64_t run_id;
	bool has_run_id;
};

static int write_index(const struct dip_reader *r, const struct plan *p, struct dip_error *err)
{
	struct dip_index_text text = {0};
	int ret = 0;

	for (uint64_t i = 0; i < p->count && ret == 0; i++)
		ret = dip_index_append(&text, p->keep[i].seq, dip_reader_offset(r, i));
	if (ret < 0)
		dip_fail(err, -ret, "%s: out of memory", r->path);
	else
		ret = dip_index_replace(r->path, &text, err);
	free(text.bytes);
	return ret;
}

static void report(const struct dip_reader *r, const struct plan *p, bool changed, int index,
	uint64_t cut_bytes)
{
	uint64_t moves = plan_moves(p);

	printf("%s: %" PRIu64 " frames", r->path, p->count);
	if (moves > 0)
		printf(", %" PRIu64 " moved down", moves);
	if (changed && r->promised == DIP_UNKNOWN)
		printf(", header made anew, file cut to %" PRIu64 " records", p->count);
	else if (p->count != r->promised || p->count != r->records || r->rest > 0)
		printf(", header and file cut from %" PRIu64 " to %" PRIu64 " records", r->promised,
			p->count);
	if (p->pads > 0)
		printf(", padding of %" PRIu64 " mended", p->pads);
	if (p->copies > 0)
		printf(", %" PRIu64 " copies let go", p->copies);
	if (cut_bytes > 0)
		printf(", %" PRIu64 " bytes that are no frame put into %s.cut", cut_bytes, r->path);
	if (index == 1)
		printf(", index rebuilt");
	printf("%s\n", changed || index == 1 ? "" : ", nothing to do");
}

/* The run of a record that a line of the index names: such a record had become durable, so it is
 * of the run that the segment belongs to. */
static bool index_tells(struct dip_reader *r, uint64_t *run_id)
{
	struct dip_record record;
	struct dip_index index;
	bool told = false;

	if (dip_index_read(r->path, &index, NULL) < 0)
		return false;
	for (uint64_t i = 0; i < index.count && !told; i++) {
		uint64_t offset = index.lines[i].offset, slot = (offset - r->head) / r->stride;

		if (index.lines[i].malformed || offset != dip_reader_offset(r, slot))
			continue;
		r->has_run_id = false;
		told = dip_reader_read(r, slot, &record, NULL) == 0 && record.fault == DIP_GOOD &&
		       record.trailer.seq == index.lines[i].seq;
		if (told)
			*run_id = record.trailer.run_id;
	}
	dip_index_free(&index);
	return told;
}

static int recover(
	struct dip_reader *r, const struct kin *kin, struct plan *p, struct dip_error *err)
{
	uint64_t cut_bytes = 0;
	bool changed;
	uint64_t run_id = kin->run_id;
	bool told = index_tells(r, &run_id) || kin->has_run_id;
	int ret = plan_make(r, told ? &run_id : NULL, p, err);

	if (ret < 0)
		return ret;
	/* A shape that does not fit must not cut everything off. */
	if (r->promised == DIP_UNKNOWN && p->count == 0)
		return dip_fail(err, EBADMSG,
			"%s: found a damaged header, and no frame of %" PRIu32 "x%" PRIu32
			" with records of %zu bytes; expected one; nothing was changed; check "
			"--shape and --block",
			r->path, r->shape.height, r->shape.width, r->stride);
	changed = p->count != r->promised || p->count != r->records || r->rest > 0 ||
		  plan_moves(p) > 0 || p->pads > 0;
	if (changed)
		ret = plan_execute(r, p, &cut_bytes, err);
	if (ret == 0)
		ret = write_index(r, p, err);
	if (ret < 0)
		return ret;
	report(r, p, changed, ret, cut_bytes);
	return fflush(stdout) == 0 ? 0 : dip_fail(err, EIO, "standard output: cannot be written");
}

/* Open it; a damaged header is made up for by the command line, or by the run. */
static int open_segment(const char *path, const struct arguments *args, const struct kin *kin,
	struct dip_reader **r, struct dip_error *err)
{
	const char *suffix = strrchr(path, '.');
	int ret;

	if (suffix != NULL && strcmp(suffix, ".bin") == 0)
		return dip_fail(err, EINVAL,
			"%s: found a raw segment; expected an npy one, whose records tell what is "
			"whole; use verify and index",
			path);
	ret = dip_reader_open(path, NULL, r, err);
	if (ret != -EBADMSG)
		return ret;
	if (args->shape != NULL)
		return dip_reader_open_as(path, args->shape,
			dip_record_bytes(
				(size_t)args->shape->height * args->shape->width * sizeof(uint16_t),
				args->block),
			r, err);
	if (kin->stride != 0)
		return dip_reader_open_as(path, &kin->shape, kin->stride, r, err);
	return ret;
}

/* The shape of the first segment whose header is whole. */
static void ask_shape(const struct dip_run *run, struct kin *kin)
{
	struct dip_reader *r;

	for (size_t i = 0; i < run->count && kin->stride == 0; i++) {
		if (dip_reader_open(run->segments[i].path, NULL, &r, NULL) < 0)
			continue;
		kin->shape = r->shape;
		kin->stride = r->stride;
		dip_reader_close(r);
	}
}

/* Whose run it is: as the first index says that names anything; when none does, nothing had become
 * durable, and the newest of all records decides, or, without checksums, the fullest segment. */
static void ask_run_id(const struct dip_run *run, const struct arguments *args, struct kin *kin)
{
	uint64_t newest_ns = 0, most = 0;
	struct dip_reader *r;
	struct plan plan;

	for (size_t i = 0; i < run->count && !kin->has_run_id; i++) {
		if (open_segment(run->segments[i].path, args, kin, &r, NULL) < 0)
			continue;
		kin->has_run_id = index_tells(r, &kin->run_id);
		dip_reader_close(r);
	}
	if (kin->has_run_id || run->count < 2)
		return;
	for (size_t i = 0; i < run->count; i++) {
		if (open_segment(run->segments[i].path, args, kin, &r, NULL) < 0)
			continue;
		if (plan_make(r, NULL, &plan, NULL) == 0 && plan.count > 0 &&
			(plan.newest_ns > newest_ns ||
				(plan.newest_ns == newest_ns && plan.count > most))) {
			newest_ns = plan.newest_ns;
			most = plan.count;
			kin->run_id = r->run_id;
			kin->has_run_id = true;
		}
		plan_free(&plan);
		dip_reader_close(r);
	}
}

static enum status recover_run(const struct dip_run *run, const struct arguments *args)
{
	enum status status = STATUS_GOOD;
	struct dip_reader *r;
	struct kin kin = {0};
	struct dip_error err;

	ask_shape(run, &kin);
	ask_run_id(run, args, &kin);
	for (size_t i = 0; i < run->count; i++) {
		struct plan plan;
		int ret = open_segment(run->segments[i].path, args, &kin, &r, &err);

		if (ret < 0) {
			complain("%s", err.text);
			status = worse(status, status_of(ret));
			continue;
		}
		if (refuse_in_use(r, args)) {
			status = STATUS_TROUBLE;
		} else {
			if (recover(r, &kin, &plan, &err) < 0) {
				complain("%s", err.text);
				status = STATUS_TROUBLE;
			}
			plan_free(&plan);
		}
		dip_reader_close(r);
	}
	return status;
}

enum status tool_recover(const struct arguments *args)
{
	enum status status = STATUS_GOOD;

	for (int i = 0; i < args->count; i++) {
		struct dip_run run;

		if (list_run(args->paths[i], &run) != STATUS_GOOD) {
			status = STATUS_TROUBLE;
			continue;
		}
		status = worse(status, recover_run(&run, args));
		if (status == STATUS_GOOD && is_presented(args->paths[i]))
			status = present_run(args->paths[i], &run, args);
		dip_run_free(&run);
	}
	return status;
}
