/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader/index.h"
#include "kin.h"
#include "plan.h"

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

/* A shape that does not fit must not cut everything off: -ENOTSUP when the header's does not. What
 * no sync has seen may have neither header nor frame: a segment of no frames then. */
static int check_shape(
	struct dip_reader *r, const struct kin *kin, const struct plan *p, struct dip_error *err)
{
	int ret = 0;

	if (r->promised == DIP_UNKNOWN && p->count == 0 && !kin_vouch(kin, r))
		return dip_fail(err, EBADMSG,
			"%s: found a damaged header, and no frame of %" PRIu32 "x%" PRIu32
			" with records of %zu bytes; expected one; nothing was changed; check "
			"--shape and --block",
			r->path, r->shape.height, r->shape.width, r->stride);
	for (uint64_t i = 0; i < p->cut_count && ret == 0; i++)
		ret = dip_reader_stray(r, p->cut[i], err);
	if (ret <= 0)
		return ret;
	return dip_fail(err, ENOTSUP,
		"%s: found good records where frames of %" PRIu32 "x%" PRIu32
		" in records of %zu bytes have none; expected a header that fits; nothing was "
		"changed; give the right --shape and --block",
		r->path, r->shape.height, r->shape.width, r->stride);
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
	if (told) {
		r->has_run_id = true;
		r->run_id = run_id;
	}
	ret = check_shape(r, kin, p, err);
	if (ret < 0)
		return ret;
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

/* recover, and when the header does not fit, once more by the shape that is told elsewhere. */
static int recover_by_shape(struct dip_reader **r, const struct arguments *args,
	const struct kin *kin, struct dip_error *err)
{
	struct dip_reader *told;
	struct plan plan;
	int ret = recover(*r, kin, &plan, err);

	plan_free(&plan);
	if (ret != -ENOTSUP || !kin_open_as(*r, args, kin, &told))
		return ret;
	dip_reader_close(*r);
	*r = told;
	ret = recover(*r, kin, &plan, err);
	plan_free(&plan);
	return ret;
}

static enum status recover_run(const struct dip_run *run, const struct arguments *args)
{
	enum status status = STATUS_GOOD;
	struct dip_reader *r;
	struct kin kin = {0};
	struct dip_error err;

	kin_ask(run, args, &kin);
	for (size_t i = 0; i < run->count; i++) {
		int ret = kin_open(run->segments[i].path, args, &kin, &r, &err);

		if (ret < 0) {
			complain("%s", err.text);
			status = worse(status, status_of(ret));
			continue;
		}
		if (refuse_in_use(r, args)) {
			status = STATUS_TROUBLE;
		} else if (recover_by_shape(&r, args, &kin, &err) < 0) {
			complain("%s", err.text);
			status = STATUS_TROUBLE;
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
