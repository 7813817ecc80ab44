/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_log.h>

#include "reader/run.h"
#include "replay.h"

/* Trailers asked for in advance, so that the disk has many of them to do at a time. */
#define AHEAD 64

static bool is_raw(const char *path)
{
	const char *suffix = strrchr(path, '.');

	return suffix != NULL && strcmp(suffix, ".bin") == 0;
}

static int check_told(const struct replay *r, const char *path, struct dip_error *err)
{
	if (!is_raw(path) || (r->width > 0 && r->height > 0))
		return 0;
	return dip_fail(err, EINVAL,
		"%s: a raw segment does not tell the shape of its frames; expected width= and "
		"height= beside path=",
		path);
}

static int open_reader(
	const struct replay *r, const char *path, struct dip_reader **reader, struct dip_error *err)
{
	struct dip_shape shape = {.height = r->height, .width = r->width};
	int ret = check_told(r, path, err);

	return ret < 0 ? ret : dip_reader_open(path, is_raw(path) ? &shape : NULL, reader, err);
}

int replay_look(struct replay *r, struct dip_error *err)
{
	struct dip_reader *reader = NULL;
	struct dip_run run = {0};
	int ret = dip_run_list(r->path, &run, err);

	if (ret == 0 && run.count == 0)
		ret = dip_fail(
			err, ENOTSUP, "%s: found no segments; expected an archived run", r->path);
	else if (ret == -EINVAL)
		ret = -ENOTSUP;
	if (ret == 0)
		ret = check_told(r, run.segments[0].path, err);
	if (ret == 0) {
		ret = open_reader(r, run.segments[0].path, &reader, err);
		/* "No segment" is for others to judge, unless we were told what it is. */
		if ((ret == -EINVAL || ret == -EBADMSG) && r->width == 0)
			ret = -ENOTSUP;
	}
	dip_run_free(&run);
	if (ret != 0)
		return ret;
	r->npy = reader->npy;
	r->shape = reader->shape;
	r->image_bytes = reader->image_bytes;
	dip_reader_close(reader);
	return 0;
}

/* Whether every record of the segment begins and ends where O_DIRECT wants it. */
static bool may_be_direct(const struct dip_reader *reader, int fd)
{
	struct statx st;
	uint64_t align;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) < 0 ||
		(st.stx_mask & STATX_DIOALIGN) == 0 || st.stx_dio_offset_align == 0)
		align = 4096;
	else
		align = RTE_MAX(st.stx_dio_offset_align, st.stx_dio_mem_align);
	return align <= 4096 && reader->head % align == 0 && reader->stride % align == 0;
}

static void open_direct(const struct replay *r, struct replay_segment *s)
{
	s->fd = s->reader->fd;
	s->direct = false;
	if (!r->direct || !may_be_direct(s->reader, s->fd))
		return;
	s->fd = open(s->reader->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (s->fd >= 0)
		s->direct = true;
	else
		s->fd = s->reader->fd;
}

/* A segment that a crash left, or whose tail is gone, is not played as if it were whole. */
static int check_segment(const struct replay *r, struct dip_reader *reader, struct dip_error *err)
{
	if (reader->npy != r->npy || reader->shape.height != r->shape.height ||
		reader->shape.width != r->shape.width)
		return dip_fail(err, EINVAL,
			"%s: frames of %" PRIu32 "x%" PRIu32 ", but the run begins with %" PRIu32
			"x%" PRIu32 "; expected one shape and one format (height x width)",
			reader->path, reader->shape.height, reader->shape.width, r->shape.height,
			r->shape.width);
	if (dip_reader_in_use(reader))
		return dip_fail(err, EBUSY,
			"%s: it is being written; expected a run that has ended", reader->path);
	if (reader->npy && (reader->rest > 0 || reader->promised != reader->records ||
				   reader->written != reader->records))
		return dip_fail(err, EBADMSG,
			"%s: found %" PRIu64 " records, %" PRIu64 " of them written, and %" PRIu64
			" bytes; expected the %" PRIu64
			" that its header promises; mend it with dma-image-archive recover",
			reader->path, reader->records, reader->written, reader->rest,
			reader->promised);
	return 0;
}

static int add_record(struct replay *r, const struct dip_reader *reader,
	const struct dip_record *record, struct dip_error *err)
{
	char why[256];

	if (record->fault != DIP_GOOD) {
		dip_record_describe(reader, record, why, sizeof(why));
		return dip_fail(err, EBADMSG,
			"%s: record %" PRIu64
			": %s; see dma-image-archive verify, mend it with recover",
			reader->path, record->slot, why);
	}
	if (r->records == r->room) {
		uint64_t room = r->room > 0 ? 2 * r->room : 1024;
		struct replay_record *more = realloc(r->record, room * sizeof(*more));

		if (more == NULL)
			return dip_fail(err, ENOMEM, "no memory for %" PRIu64 " records", room);
		r->record = more;
		r->room = room;
	}
	r->record[r->records++] = (struct replay_record){.seq = record->trailer.seq,
		.timestamp_ns = record->trailer.timestamp_ns,
		.segment = r->segments - 1,
		.slot = record->slot};
	return 0;
}

static void ask_ahead(const struct dip_reader *reader, uint64_t slot)
{
	if (reader->npy && slot < reader->written)
		posix_fadvise(reader->fd, dip_reader_offset(reader, slot) + reader->image_bytes,
			sizeof(struct dip_trailer), POSIX_FADV_WILLNEED);
}

/* All records of one run: the first trailer says whose. */
static int add_records(struct replay *r, struct dip_reader *reader, uint64_t *run_id,
	bool *has_run_id, struct dip_error *err)
{
	struct dip_record record;
	int ret = 0;

	posix_fadvise(reader->fd, 0, 0, POSIX_FADV_RANDOM);
	for (uint64_t i = 0; i < AHEAD; i++)
		ask_ahead(reader, i);
	for (uint64_t i = 0; ret == 0 && i < reader->written; i++) {
		ask_ahead(reader, i + AHEAD);
		reader->has_run_id = *has_run_id;
		reader->run_id = *run_id;
		ret = dip_reader_peek(reader, i, &record, err);
		if (ret < 0)
			break;
		if (!*has_run_id && r->npy) {
			*run_id = record.trailer.run_id;
			*has_run_id = true;
		}
		ret = add_record(r, reader, &record, err);
	}
	return ret;
}

static int add_segment(struct replay *r, const char *path, uint64_t *run_id, bool *has_run_id,
	struct dip_error *err)
{
	struct replay_segment *s = &r->segment[r->segments];
	int ret = open_reader(r, path, &s->reader, err);

	if (ret < 0)
		return ret;
	r->segments++;
	s->fd = s->reader->fd;
	ret = check_segment(r, s->reader, err);
	if (ret < 0)
		return ret;
	open_direct(r, s);
	return add_records(r, s->reader, run_id, has_run_id, err);
}

/* The disk does not fill the slabs then. */
static void tell_buffered(const struct replay *r)
{
	uint32_t buffered = 0;

	for (uint32_t i = 0; i < r->segments; i++)
		buffered += !r->segment[i].direct;
	if (r->direct && buffered > 0)
		rte_log(RTE_LOG_NOTICE, replay_log,
			"%s: O_DIRECT is not to be had for %" PRIu32 " of %" PRIu32
			" segments; reading them through the page cache instead\n",
			r->path, buffered, r->segments);
}

/* Two descriptors for each segment, and what the rest of the program opens. */
static size_t files_of(size_t segments)
{
	return 2 * segments + 256;
}

static void allow_files(size_t segments)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > files_of(segments))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int replay_index(struct replay *r, struct dip_error *err)
{
	bool has_run_id = false;
	uint64_t run_id = 0;
	struct dip_run run = {0};
	int ret = dip_run_list(r->path, &run, err);

	if (ret < 0)
		return ret;
	allow_files(run.count);
	r->segment = calloc(run.count, sizeof(*r->segment));
	if (r->segment == NULL)
		ret = dip_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; ret == 0 && i < run.count; i++)
		ret = add_segment(r, run.segments[i].path, &run_id, &has_run_id, err);
	if (ret == -EMFILE)
		dip_fail(err, EMFILE,
			"%s: a run of %zu segments needs more open files than are allowed; allow them: "
			"ulimit -n %zu",
			r->path, run.count, files_of(run.count));
	dip_run_free(&run);
	if (ret == 0 && r->records == 0)
		ret = dip_fail(
			err, EINVAL, "%s: a run without frames; expected one with some", r->path);
	if (ret == 0)
		tell_buffered(r);
	return ret;
}
