/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "reader/index.h"
#include "tool.h"

static int collect(struct dip_reader *r, const struct arguments *args, struct dip_index_text *text,
	uint64_t *bad, struct dip_error *err)
{
	struct dip_record record;
	int ret;

	while ((ret = dip_reader_next(r, &record, err)) == 1) {
		uint64_t seq = record.trailer.seq;

		/* A raw segment holds no numbers: they come from the command line. */
		if (!r->npy)
			seq = args->first + record.slot * args->step;
		else if (record.fault != DIP_GOOD) {
			++*bad;
			continue;
		}
		if (dip_index_append(text, seq, record.offset) < 0)
			return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	}
	return ret;
}

static enum status rebuild(struct dip_reader *r, const struct arguments *args)
{
	struct dip_index_text text = {0};
	struct dip_error err;
	uint64_t bad = 0;
	int ret;

	if (!r->npy && (!args->has_first || !args->has_step)) {
		complain("%s: found a raw segment, which does not hold the numbers of its frames; "
			 "expected to be told; give --first SEQ and --step N, if you know them",
			r->path);
		return STATUS_TROUBLE;
	}
	if (refuse_in_use(r, args))
		return STATUS_TROUBLE;
	ret = collect(r, args, &text, &bad, &err);
	if (ret == 0)
		ret = dip_index_replace(r->path, &text, &err);
	free(text.bytes);
	if (ret < 0) {
		complain("%s", err.text);
		return status_of(ret);
	}
	printf("%s: index %s", r->path, ret == 1 ? "rebuilt" : "was right, left alone");
	if (bad > 0)
		printf(", %" PRIu64 " bad records left out", bad);
	printf("\n");
	return bad > 0 ? STATUS_BAD : STATUS_GOOD;
}

enum status tool_index(const struct arguments *args)
{
	enum status status = STATUS_GOOD;

	for (int i = 0; i < args->count; i++) {
		struct dip_run run;

		if (list_run(args->paths[i], &run) != STATUS_GOOD) {
			status = STATUS_TROUBLE;
			continue;
		}
		if (run.count > 1 && args->has_first) {
			complain("%s: found %zu segments; expected one with --first; "
				 "name each segment with its own --first",
				args->paths[i], run.count);
			status = STATUS_TROUBLE;
		}
		for (size_t k = 0; k < run.count && !(run.count > 1 && args->has_first); k++) {
			struct dip_reader *r;
			struct dip_error err;
			int ret = dip_reader_open(run.segments[k].path, args->shape, &r, &err);

			if (ret < 0) {
				complain("%s", err.text);
				status = worse(status, status_of(ret));
				continue;
			}
			status = worse(status, rebuild(r, args));
			dip_reader_close(r);
		}
		dip_run_free(&run);
	}
	return status;
}
