/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "reader/index.h"
#include "reader/reader_impl.h"

int dip_reader_number(struct dip_reader *r, struct dip_error *err)
{
	struct dip_index index;
	uint64_t *seq = calloc(r->records + 1, sizeof(*seq));
	int ret;

	if (seq == NULL)
		return dip_fail(err, ENOMEM, "%s: no memory for its index", r->path);
	r->private->seq = seq;
	ret = dip_index_read(r->path, &index, err);
	if (ret < 0)
		return ret;
	r->indexed = ret == 1;
	for (uint64_t i = 0; i < r->records; i++)
		seq[i] = r->indexed ? NO_SEQ : i;
	for (uint64_t i = 0; i < index.count; i++) {
		const struct dip_index_line *line = &index.lines[i];
		uint64_t slot = line->offset / r->stride;

		/* The first line for a frame counts. */
		if (!line->malformed && line->offset % r->stride == 0 && slot < r->records &&
			seq[slot] == NO_SEQ)
			seq[slot] = line->seq;
	}
	dip_index_free(&index);
	return 0;
}
