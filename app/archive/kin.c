/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "reader/index.h"
#include "kin.h"
#include "plan.h"

bool index_tells(struct dip_reader *r, uint64_t *run_id)
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

static bool is_shaped(const struct dip_reader *r, const struct dip_shape *shape, size_t stride)
{
	return r->shape.height == shape->height && r->shape.width == shape->width &&
	       r->stride == stride;
}

/* By the command line, or by the other segments. */
static bool told_shape(const struct arguments *args, const struct kin *kin,
	const struct dip_shape **shape, size_t *stride)
{
	if (args->shape != NULL) {
		*shape = args->shape;
		*stride = dip_record_bytes(
			(size_t)args->shape->height * args->shape->width * sizeof(uint16_t),
			args->block);
		return true;
	}
	*shape = &kin->shape;
	*stride = kin->stride;
	return kin->stride != 0;
}

int kin_open(const char *path, const struct arguments *args, const struct kin *kin,
	struct dip_reader **r, struct dip_error *err)
{
	const char *suffix = strrchr(path, '.');
	const struct dip_shape *shape;
	size_t stride;
	int ret;

	if (suffix != NULL && strcmp(suffix, ".bin") == 0)
		return dip_fail(err, EINVAL,
			"%s: found a raw segment; expected an npy one, whose records tell what is "
			"whole; use verify and index",
			path);
	ret = dip_reader_open(path, NULL, r, err);
	if (ret != -EBADMSG)
		return ret;
	if (told_shape(args, kin, &shape, &stride))
		return dip_reader_open_as(path, shape, stride, r, err);
	return ret;
}

bool kin_open_as(const struct dip_reader *r, const struct arguments *args, const struct kin *kin,
	struct dip_reader **again)
{
	const struct dip_shape *shape;
	size_t stride;

	return told_shape(args, kin, &shape, &stride) && !is_shaped(r, shape, stride) &&
	       dip_reader_open_as(r->path, shape, stride, again, NULL) == 0;
}

bool kin_vouch(const struct kin *kin, const struct dip_reader *r)
{
	return kin->stride != 0 ? is_shaped(r, &kin->shape, kin->stride) : kin->has_run_id;
}

/* The shape that most segments have, if more than half have it. */
static void ask_shape(const struct dip_run *run, struct kin *kin)
{
	struct dip_reader *r;
	size_t votes = 0;

	for (size_t i = 0; i < run->count; i++) {
		if (dip_reader_open(run->segments[i].path, NULL, &r, NULL) < 0)
			continue;
		if (votes == 0) {
			kin->shape = r->shape;
			kin->stride = r->stride;
		}
		votes += votes == 0 || is_shaped(r, &kin->shape, kin->stride) ? 1 : -1;
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
		if (kin_open(run->segments[i].path, args, kin, &r, NULL) < 0)
			continue;
		kin->has_run_id = index_tells(r, &kin->run_id);
		dip_reader_close(r);
	}
	if (kin->has_run_id || run->count < 2)
		return;
	for (size_t i = 0; i < run->count; i++) {
		if (kin_open(run->segments[i].path, args, kin, &r, NULL) < 0)
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

void kin_ask(const struct dip_run *run, const struct arguments *args, struct kin *kin)
{
	ask_shape(run, kin);
	ask_run_id(run, args, kin);
}
