/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader/reader_impl.h"

/* Read at once: large enough to make a call's cost small, small enough to stay in a core's cache
 * between the copy and the checksum. */
#define BATCH_BYTES (1 << 19)

ssize_t dip_read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
	}
	return done;
}

static int read_fail(const struct dip_reader *r, int error, struct dip_error *err)
{
	return dip_fail(err, error, "%s: cannot be read: %s", r->path, strerror(error));
}

uint64_t dip_reader_offset(const struct dip_reader *r, uint64_t slot)
{
	return r->head + slot * r->stride;
}

/* A record not written yet has magic 0. Writes may be completed out of order, so the end is behind
 * the last record that is there; a hole before it is a bad record, not the end. */
static int find_end(struct dip_reader *r, struct dip_error *err)
{
	uint32_t magic = 0;

	for (r->written = r->records; r->written > 0; r->written--) {
		ssize_t n = dip_read_at(r->fd, &magic, sizeof(magic),
			dip_reader_offset(r, r->written - 1) + r->image_bytes);

		if (n < 0)
			return read_fail(r, -n, err);
		if (n == sizeof(magic) && magic != 0)
			break;
	}
	return 0;
}

static int measure(struct dip_reader *r, struct dip_error *err)
{
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return read_fail(r, errno, err);
	r->file_bytes = st.st_size;
	r->head = DIP_HEADER_BYTES;
	r->records = r->rest = 0;
	if (r->file_bytes > r->head) {
		r->records = (r->file_bytes - r->head) / r->stride;
		r->rest = (r->file_bytes - r->head) % r->stride;
	}
	return 0;
}

/* Measured after the header is read: a close in between cuts the header first. */
int dip_reader_refresh(struct dip_reader *r, struct dip_error *err)
{
	struct dip_reader now = *r;
	int ret = dip_reader_header(&now, err);

	if (ret < 0)
		return ret;
	if (now.stride != r->stride || now.image_bytes != r->image_bytes)
		return dip_fail(err, EBADMSG, "%s: its header has changed", r->path);
	r->promised = now.promised;
	return measure(r, err);
}

static int open_npy(struct dip_reader *r, struct dip_error *err)
{
	int ret = measure(r, err);

	return ret < 0 ? ret : find_end(r, err);
}

static int open_raw(struct dip_reader *r, const struct dip_shape *shape, struct dip_error *err)
{
	if (shape == NULL)
		return dip_fail(err, EINVAL,
			"%s: found a raw segment, which does not tell its shape; expected to be "
			"told; give --shape HxW",
			r->path);
	r->shape = *shape;
	r->image_bytes = r->stride = (size_t)shape->height * shape->width * sizeof(uint16_t);
	r->records = r->promised = r->written = r->file_bytes / r->stride;
	r->rest = r->file_bytes % r->stride;
	if (r->rest > 0)
		return dip_fail(err, EBADMSG,
			"%s: found %" PRIu64 " bytes, %" PRIu64 " frames of %" PRIu32 "x%" PRIu32
			" and a rest of %" PRIu64 "; expected whole frames of %zu; "
			"check --shape, or the file is cut",
			r->path, r->file_bytes, r->records, shape->height, shape->width, r->rest,
			r->stride);
	return dip_reader_number(r, err);
}

static int open_file(struct dip_reader *r, struct dip_error *err)
{
	struct stat st;

	/* Not to wait for the other end of a FIFO, which is refused just below. */
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (r->fd < 0)
		return dip_fail(err, errno, "%s: cannot be opened: %s; expected a segment", r->path,
			strerror(errno));
	if (fstat(r->fd, &st) < 0)
		return read_fail(r, errno, err);
	if (!S_ISREG(st.st_mode))
		return dip_fail(err, EINVAL,
			"%s: found no regular file; expected a segment; name "
			"a file that ends in .npy or .bin",
			r->path);
	r->file_bytes = st.st_size;
	return 0;
}

static struct dip_reader *allocate(const char *path)
{
	struct dip_reader *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->private = calloc(1, sizeof(*r->private))) == NULL) {
		free(r);
		return NULL;
	}
	snprintf(r->private->path, sizeof(r->private->path), "%s", path);
	r->path = r->private->path;
	r->fd = -1;
	return r;
}

int dip_reader_open(const char *path, const struct dip_shape *shape, struct dip_reader **reader,
	struct dip_error *err)
{
	struct dip_reader *r = allocate(path);
	const char *suffix = strrchr(path, '.');
	int ret;

	if (r == NULL)
		return dip_fail(err, ENOMEM, "%s: out of memory", path);
	r->npy = suffix != NULL && strcmp(suffix, ".npy") == 0;
	if (!r->npy && (suffix == NULL || strcmp(suffix, ".bin") != 0))
		ret = dip_fail(err, EINVAL,
			"%s: found another kind of name; expected a segment, which ends in .npy or "
			".bin, or the folder of a run",
			path);
	else
		ret = open_file(r, err);
	if (ret == 0 && r->npy)
		ret = dip_reader_header(r, err);
	if (ret == 0)
		ret = r->npy ? open_npy(r, err) : open_raw(r, shape, err);
	if (ret < 0) {
		dip_reader_close(r);
		return ret;
	}
	*reader = r;
	return 0;
}

int dip_reader_open_as(const char *path, const struct dip_shape *shape, size_t stride,
	struct dip_reader **reader, struct dip_error *err)
{
	struct dip_reader *r = allocate(path);
	int ret;

	if (r == NULL)
		return dip_fail(err, ENOMEM, "%s: out of memory", path);
	r->npy = true;
	r->shape = *shape;
	r->image_bytes = (size_t)shape->height * shape->width * sizeof(uint16_t);
	r->stride = stride;
	r->promised = DIP_UNKNOWN;
	ret = open_file(r, err);
	if (ret == 0)
		ret = open_npy(r, err);
	if (ret < 0) {
		dip_reader_close(r);
		return ret;
	}
	*reader = r;
	return 0;
}

void dip_reader_close(struct dip_reader *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r->private->batch);
	free(r->private->one);
	free(r->private->seq);
	free(r->private);
	free(r);
}

static int read_batch(struct dip_reader *r, struct dip_error *err)
{
	struct dip_reader_private *p = r->private;
	uint64_t left = r->written - p->next;
	ssize_t n;

	if (p->batch == NULL) {
		p->batch_records = r->stride < BATCH_BYTES ? BATCH_BYTES / r->stride : 1;
		p->batch = malloc(p->batch_records * r->stride);
	}
	if (p->batch == NULL)
		return dip_fail(
			err, ENOMEM, "%s: no memory for a record of %zu bytes", r->path, r->stride);
	p->first = p->next;
	p->count = left < p->batch_records ? left : p->batch_records;
	n = dip_read_at(r->fd, p->batch, p->count * r->stride, dip_reader_offset(r, p->first));
	if (n == (ssize_t)(p->count * r->stride))
		return 0;
	p->count = 0;
	if (n < 0)
		return read_fail(r, -n, err);
	return dip_fail(err, EAGAIN, "%s: it became shorter while it was read; try again", r->path);
}

int dip_reader_next(struct dip_reader *r, struct dip_record *record, struct dip_error *err)
{
	struct dip_reader_private *p = r->private;
	const uint8_t *image;
	int ret;

	if (p->next >= r->written) {
		if (p->next > r->written || r->rest == 0 || r->written < r->records)
			return 0;
		*record = (struct dip_record){
			.slot = p->next, .offset = dip_reader_offset(r, p->next), .fault = DIP_CUT};
		p->next++;
		return 1;
	}
	if (p->next == p->first + p->count) {
		ret = read_batch(r, err);
		if (ret < 0)
			return ret;
	}
	image = p->batch + (p->next - p->first) * r->stride;
	dip_reader_judge(r, p->next, image, image + r->image_bytes, r->stride, record);
	p->next++;
	return 1;
}

/* Memory for so many bytes of a record: of what the file has, not of what its header promises, which may
 * be far beyond the memory that there is. */
static int make_room(struct dip_reader *r, size_t bytes, struct dip_error *err)
{
	struct dip_reader_private *p = r->private;
	uint8_t *more;

	if (bytes <= p->one_bytes)
		return 0;
	more = realloc(p->one, bytes);
	if (more == NULL)
		return dip_fail(
			err, ENOMEM, "%s: no memory for a record of %zu bytes", r->path, bytes);
	p->one = more;
	p->one_bytes = bytes;
	return 0;
}

/* The bytes of a slot that the file has now. */
static int measure_slot(
	const struct dip_reader *r, uint64_t slot, size_t *bytes, struct dip_error *err)
{
	uint64_t at = dip_reader_offset(r, slot);
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return read_fail(r, errno, err);
	*bytes = (uint64_t)st.st_size > at ? st.st_size - at : 0;
	if (*bytes > r->stride)
		*bytes = r->stride;
	return 0;
}

int dip_reader_read(
	struct dip_reader *r, uint64_t slot, struct dip_record *record, struct dip_error *err)
{
	static const uint8_t none[sizeof(struct dip_trailer)];
	size_t whole = r->image_bytes + (r->npy ? sizeof(struct dip_trailer) : 0), bytes;
	struct dip_reader_private *p = r->private;
	const uint8_t *trailer;
	ssize_t n;
	int ret = measure_slot(r, slot, &bytes, err);

	if (ret < 0)
		return ret;
	/* Behind half an image there is no trailer. */
	if (bytes > whole || (r->npy && bytes < r->image_bytes))
		whole = bytes;
	ret = make_room(r, whole + 1, err);
	if (ret < 0)
		return ret;
	n = dip_read_at(r->fd, p->one, bytes, dip_reader_offset(r, slot));
	if (n < 0)
		return read_fail(r, -n, err);
	memset(p->one + n, 0, whole - n);
	trailer = whole < r->image_bytes ? none : p->one + r->image_bytes;
	dip_reader_judge(r, slot, p->one, trailer, whole, record);
	record->bytes = bytes;
	return 0;
}

int dip_reader_peek(
	struct dip_reader *r, uint64_t slot, struct dip_record *record, struct dip_error *err)
{
	uint8_t trailer[sizeof(struct dip_trailer)] = {0};
	ssize_t n = 0;

	if (r->npy)
		n = dip_read_at(r->fd, trailer, sizeof(trailer),
			dip_reader_offset(r, slot) + r->image_bytes);
	if (n < 0)
		return read_fail(r, -n, err);
	dip_reader_judge(r, slot, NULL, trailer, 0, record);
	return 0;
}

bool dip_reader_in_use(const struct dip_reader *r)
{
	/* A read lease is refused while anyone has the file open for writing. Where leases are not
	 * to be had, nobody can tell. */
	if (fcntl(r->fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	fcntl(r->fd, F_SETLEASE, F_UNLCK);
	return false;
}
