/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nexus/nexus.h"
#include "tool.h"

/* The segments of a run as HDF5 shall present them. */
struct sheet {
	struct dip_nexus_run run;
	struct dip_nexus_segment *segment;
	uint64_t records;
};

static int grow(uint64_t **seq, uint64_t count, uint64_t number)
{
	if ((count & (count - 1)) == 0) {
		uint64_t *more = realloc(*seq, (count == 0 ? 1 : 2 * count) * sizeof(*more));

		if (more == NULL)
			return -1;
		*seq = more;
	}
	(*seq)[count] = number;
	return 0;
}

/* The records up to the first that is not good: HDF5 knows no holes. Their numbers, where only the
 * index has them, go to *seq. Returns 0, or a negative errno with *err. */
static int count_records(
	struct dip_reader *r, uint64_t *records, uint64_t **seq, struct dip_error *err)
{
	const bool numbers = !r->npy && r->indexed;

	*records = 0;
	while (*records < r->written) {
		struct dip_record record;
		int ret = dip_reader_peek(r, *records, &record, err);

		if (ret < 0)
			return ret;
		if (record.fault != DIP_GOOD)
			break;
		if (r->npy && !r->has_run_id) {
			r->has_run_id = true;
			r->run_id = record.trailer.run_id;
		}
		if (numbers && grow(seq, *records, record.trailer.seq) < 0)
			return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
		++*records;
	}
	return 0;
}

static int same_shape(const struct sheet *sheet, const struct dip_reader *r, struct dip_error *err)
{
	if (sheet->records == 0 ||
		(sheet->run.width == r->shape.width && sheet->run.height == r->shape.height &&
			sheet->run.stride == r->stride))
		return 0;
	return dip_fail(err, EINVAL,
		"%s: found frames of %" PRIu32 "x%" PRIu32 " and %zu bytes; expected %" PRIu32
		"x%" PRIu32 " and %zu bytes as in the segments before it",
		r->path, r->shape.height, r->shape.width, r->stride, sheet->run.height,
		sheet->run.width, sheet->run.stride);
}

static int add_segment(
	struct sheet *sheet, const char *path, const struct arguments *args, struct dip_error *err)
{
	struct dip_nexus_segment *s = &sheet->segment[sheet->run.segments];
	uint64_t *seq = NULL;
	struct dip_reader *r;
	int ret = dip_reader_open(path, args->shape, &r, err);

	if (ret < 0)
		return ret;
	ret = same_shape(sheet, r, err);
	if (ret == 0)
		ret = count_records(r, &s->records, &seq, err);
	s->name = strrchr(path, '/') + 1;
	s->seq = seq;
	sheet->run.segments++;
	sheet->run.npy = r->npy;
	sheet->run.width = r->shape.width;
	sheet->run.height = r->shape.height;
	sheet->run.stride = r->stride;
	sheet->records += s->records;
	dip_reader_close(r);
	return ret;
}

static enum status write_sheet(struct sheet *sheet)
{
	struct dip_error err;

	if (sheet->records == 0) {
		complain("%s: found no good frame; expected one at least, for HDF5",
			sheet->run.folder);
		return STATUS_BAD;
	}
	if (dip_nexus_write(&sheet->run, &err) < 0) {
		complain("%s", err.text);
		return STATUS_TROUBLE;
	}
	printf("%s/" DIP_NEXUS_NAME ": %" PRIu64 " frames of %zu segments\n", sheet->run.folder,
		sheet->records, sheet->run.segments);
	return STATUS_GOOD;
}

enum status present_run(const char *path, const struct dip_run *run, const struct arguments *args)
{
	struct sheet sheet = {.run = {.folder = path, .absolute = args->absolute}};
	enum status status = STATUS_GOOD;
	struct dip_error err;
	char *folder = args->absolute ? realpath(path, NULL) : NULL;

	if (folder != NULL)
		sheet.run.folder = folder;
	sheet.segment = calloc(run->count, sizeof(*sheet.segment));
	sheet.run.segment = sheet.segment;
	for (size_t i = 0; sheet.segment != NULL && status == STATUS_GOOD && i < run->count; i++) {
		int ret = add_segment(&sheet, run->segments[i].path, args, &err);

		if (ret == 0)
			continue;
		complain("%s", err.text);
		status = status_of(ret);
	}
	if (sheet.segment == NULL) {
		complain("%s: out of memory", path);
		status = STATUS_TROUBLE;
	}
	if (status == STATUS_GOOD)
		status = write_sheet(&sheet);
	for (size_t i = 0; i < sheet.run.segments; i++)
		free((void *)sheet.segment[i].seq);
	free(sheet.segment);
	free(folder);
	return status;
}

bool is_presented(const char *path)
{
	char file[4400];

	snprintf(file, sizeof(file), "%s/" DIP_NEXUS_NAME, path);
	return is_folder(path) && access(file, F_OK) == 0;
}

enum status tool_h5(const struct arguments *args)
{
	enum status status = STATUS_GOOD;

	for (int i = 0; i < args->count; i++) {
		enum status one = STATUS_TROUBLE;
		struct dip_run run;

		if (list_run(args->paths[i], &run) == STATUS_GOOD) {
			if (is_folder(args->paths[i]))
				one = present_run(args->paths[i], &run, args);
			else
				complain("%s: found a file; expected the folder of a run",
					args->paths[i]);
			dip_run_free(&run);
		}
		status = worse(status, one);
	}
	return status;
}
