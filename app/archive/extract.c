/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "select.h"
#include "sink.h"

struct extraction {
	const struct arguments *args;
	struct selection selection;
	struct sink sink;
	struct lines lines;
};

static int take_record(struct extraction *x, const struct dip_reader *r,
	const struct dip_record *record, struct dip_error *err)
{
	char why[160];
	int ret;

	if (record->fault != DIP_GOOD) {
		dip_record_describe(r, record, why, sizeof(why));
		lines_add(&x->lines, "%s: record %" PRIu64 " at byte %" PRIu64 ": %s; left out",
			r->path, record->slot, record->offset, why);
		return 0;
	}
	ret = sink_put(&x->sink, r, record, err);
	if (ret == 0)
		selection_found(&x->selection, record->trailer.seq);
	return ret;
}

/* All of it in a row, or trailers first where only some frames are asked for. */
static int take_segment(struct extraction *x, struct dip_reader *r, struct dip_error *err)
{
	bool all = x->selection.ranges == NULL;
	struct dip_record record;
	int ret = 0;

	if (all) {
		while ((ret = dip_reader_next(r, &record, err)) == 1) {
			ret = take_record(x, r, &record, err);
			if (ret < 0)
				break;
		}
		return ret;
	}
	for (uint64_t i = 0; i < r->written && ret == 0; i++) {
		ret = dip_reader_peek(r, i, &record, err);
		/* Of a trailer that is bad by itself nobody knows whose it is. */
		if (ret < 0 || record.fault != DIP_GOOD ||
			!selection_has(&x->selection, record.trailer.seq))
			continue;
		ret = dip_reader_read(r, i, &record, err);
		if (ret == 0)
			ret = take_record(x, r, &record, err);
	}
	return ret;
}

static void say_missing(struct extraction *x, const char *path)
{
	for (size_t i = 0; i < x->selection.count; i++) {
		const struct range *range = &x->selection.ranges[i];

		if (range->found)
			continue;
		if (range->first == range->last)
			lines_add(
				&x->lines, "%s: found no good frame %" PRIu64, path, range->first);
		else
			lines_add(&x->lines, "%s: found no good frame of %" PRIu64 "-%" PRIu64,
				path, range->first, range->last);
	}
}

/* A segment that cannot be read costs its own frames; a disk that cannot be written ends it. */
static enum status take_run(struct extraction *x, const struct dip_run *run, bool *go_on)
{
	enum status status = STATUS_GOOD;
	struct dip_reader *r;
	struct dip_error err;
	int ret;

	for (size_t i = 0; i < run->count && *go_on; i++) {
		ret = dip_reader_open(run->segments[i].path, x->args->shape, &r, &err);
		if (ret == 0) {
			ret = take_segment(x, r, &err);
			*go_on = ret == 0;
			dip_reader_close(r);
		}
		if (ret < 0) {
			complain("%s", err.text);
			status = worse(status, status_of(ret));
		}
	}
	return status;
}

static enum status extract_run(struct extraction *x, const struct dip_run *run)
{
	const char *path = x->args->paths[0];
	enum status status = STATUS_GOOD;
	struct dip_error err;
	bool go_on = true;

	if (sink_open(&x->sink, x->args, &err) < 0) {
		complain("%s", err.text);
		return STATUS_TROUBLE;
	}
	status = take_run(x, run, &go_on);
	if (go_on)
		say_missing(x, path);
	lines_end(&x->lines);
	if (go_on && x->sink.frames == 0) {
		complain("%s: found no frame to extract; nothing was written", path);
		status = worse(status, STATUS_BAD);
	}
	if (sink_close(&x->sink, go_on && x->sink.frames > 0, &err) < 0) {
		complain("%s", err.text);
		status = STATUS_TROUBLE;
	} else if (go_on && x->sink.frames > 0) {
		printf("%s: %" PRIu64 " frames in %s\n", path, x->sink.frames,
			x->sink.path != NULL ? x->sink.path : x->args->output);
	}
	return worse(status, x->lines.count > 0 ? STATUS_BAD : STATUS_GOOD);
}

enum status tool_extract(const struct arguments *args)
{
	struct extraction x = {.args = args, .lines = {.max = args->max_lines}};
	enum status status;
	struct dip_error err;
	struct dip_run run;

	if ((args->output != NULL) + (args->stack != NULL) + (args->raw != NULL) != 1) {
		complain("extract: expected one of -o DIR, --stack FILE.npy, --raw FILE.bin");
		return STATUS_TROUBLE;
	}
	if (selection_parse(args->seq, &x.selection, &err) < 0) {
		complain("%s", err.text);
		free(x.selection.ranges);
		return STATUS_TROUBLE;
	}
	status = list_run(args->paths[0], &run);
	if (status == STATUS_GOOD) {
		status = extract_run(&x, &run);
		dip_run_free(&run);
	}
	free(x.selection.ranges);
	return status;
}
