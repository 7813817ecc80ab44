/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/file.h"
#include "reader/index.h"
#include "plan.h"

/* --- what is cut off --- */

static int append_cut(
	int fd, struct dip_reader *r, const struct plan *p, uint64_t *bytes, struct dip_error *err)
{
	off_t end = lseek(fd, 0, SEEK_END);
	struct dip_record record;
	int ret = end < 0 ? dip_fail(err, errno, "%s.cut: %s", r->path, strerror(errno)) : 0;

	for (uint64_t i = 0; ret == 0 && i < p->cut_count; i++) {
		ret = dip_reader_read(r, p->cut[i], &record, err);
		if (ret < 0)
			break;
		ret = dip_write_at(fd, record.image, record.bytes, end + *bytes);
		if (ret < 0)
			dip_fail(err, -ret, "%s.cut: cannot be written: %s; nothing was changed",
				r->path, strerror(-ret));
		*bytes += record.bytes;
	}
	return ret;
}

/* Keep what goes, durably, before anything is written over it. */
static int save_cut(
	struct dip_reader *r, const struct plan *p, uint64_t *bytes, struct dip_error *err)
{
	char path[4500];
	int fd, ret;

	*bytes = 0;
	if (p->cut_count == 0)
		return 0;
	snprintf(path, sizeof(path), "%s.cut", r->path);
	fd = open(path, O_CREAT | O_NOFOLLOW | O_RDWR | O_CLOEXEC, DIP_FILE_MODE);
	if (fd < 0)
		return dip_fail(err, errno, "%s: cannot be opened: %s; nothing was changed", path,
			strerror(errno));
	ret = append_cut(fd, r, p, bytes, err);
	if (ret == 0 && fsync(fd) < 0)
		ret = dip_fail(err, errno, "%s: %s; nothing was changed", path, strerror(errno));
	close(fd);
	if (ret == 0) {
		ret = dip_sync_folder(path);
		if (ret < 0)
			dip_fail(err, -ret, "%s: its folder cannot be synced: %s; nothing was changed",
				path, strerror(-ret));
	}
	return ret;
}

/* --- moving down --- */

static int clear_pad(int fd, const struct dip_reader *r, uint64_t slot)
{
	size_t before = r->image_bytes + sizeof(struct dip_trailer);
	uint8_t *zeros = calloc(1, r->stride - before + 1);
	int ret = zeros == NULL ? -ENOMEM
				: dip_write_at(fd, zeros, r->stride - before,
					  dip_reader_offset(r, slot) + before);

	free(zeros);
	return ret;
}

/* What is copied of the records first..end in one pass. The padding goes with the trailer, as what
 * it is: zeros. */
enum part { CLEAR_TRAILER, IMAGE, TRAILER, RECORD };

static int copy_part(int fd, struct dip_reader *r, const struct plan *p, uint64_t to,
	enum part part, struct dip_error *err)
{
	static const struct dip_trailer none;
	uint64_t at = dip_reader_offset(r, to);
	struct dip_record record;
	int ret;

	if (part == CLEAR_TRAILER) {
		ret = dip_write_at(fd, &none, sizeof(none), at + r->image_bytes);
	} else {
		ret = dip_reader_read(r, p->keep[to].slot, &record, err);
		if (ret < 0)
			return ret;
		if (part == IMAGE)
			ret = dip_write_at(fd, record.image, r->image_bytes, at);
		else if (part == TRAILER)
			ret = dip_write_at(fd, &record.trailer, sizeof(none), at + r->image_bytes);
		else
			ret = dip_write_at(fd, record.image, r->image_bytes + sizeof(none), at);
		if (ret == 0 && part >= TRAILER)
			ret = clear_pad(fd, r, to);
	}
	return ret < 0 ? dip_fail(err, -ret,
				 "%s: cannot be written: %s; mend that and recover it "
				 "again, nothing is lost",
				 r->path, strerror(-ret))
		       : 0;
}

static int copy_pass(int fd, struct dip_reader *r, const struct plan *p, uint64_t first,
	uint64_t end, enum part part, struct dip_error *err)
{
	int ret = 0;

	for (uint64_t i = first; i < end && ret == 0; i++)
		ret = copy_part(fd, r, p, i, part, err);
	if (ret == 0 && fdatasync(fd) < 0)
		ret = dip_fail(err, errno,
			"%s: %s; mend that and recover it again, nothing is lost", r->path,
			strerror(errno));
	return ret;
}

/* Without a checksum nothing tells an image that is half written: its trailer comes last, and the
 * one that was there goes first. */
static int copy_round(int fd, struct dip_reader *r, const struct plan *p, uint64_t first,
	uint64_t end, struct dip_error *err)
{
	bool checksums = true;
	int ret;

	for (uint64_t i = first; i < end; i++)
		checksums = checksums && p->keep[i].checksum;
	if (checksums)
		return copy_pass(fd, r, p, first, end, RECORD, err);
	ret = copy_pass(fd, r, p, first, end, CLEAR_TRAILER, err);
	if (ret == 0)
		ret = copy_pass(fd, r, p, first, end, IMAGE, err);
	if (ret == 0)
		ret = copy_pass(fd, r, p, first, end, TRAILER, err);
	return ret;
}

/* A round ends before it would write over a record that it has read itself: the copy of that one
 * must be durable first. What a round writes over is bad, or has gone down in an earlier one. */
static int move_down(int fd, struct dip_reader *r, const struct plan *p, struct dip_error *err)
{
	uint64_t first = 0, end;
	int ret = 0;

	while (first < p->count && p->keep[first].slot == first)
		first++;
	for (; first < p->count && ret == 0; first = end) {
		for (end = first; end < p->count && end < p->keep[first].slot;)
			end++;
		ret = copy_round(fd, r, p, first, end, err);
	}
	return ret;
}

/* A record that stays may have got to the disk without its padding, in whose place anything may
 * lie. */
static int mend_pads(int fd, const struct dip_reader *r, const struct plan *p)
{
	int ret = 0;

	for (uint64_t i = 0; i < p->count && ret == 0; i++)
		if (p->keep[i].pad_damaged && p->keep[i].slot == i)
			ret = clear_pad(fd, r, i);
	return ret;
}

/* --- the truth --- */

static int cut_to_truth(int fd, const struct dip_reader *r, const struct plan *p)
{
	char header[DIP_HEADER_BYTES];
	int ret = mend_pads(fd, r, p);

	if (ret == 0)
		ret = dip_segment_header(
			header, r->shape.width, r->shape.height, r->stride, p->count);
	if (ret == 0)
		ret = dip_write_at(fd, header, sizeof(header), 0);
	/* The header first and durable: until the file is cut too, it is known as torn. */
	if (ret == 0 && fdatasync(fd) < 0)
		ret = -errno;
	if (ret == 0 && ftruncate(fd, dip_reader_offset(r, p->count)) < 0)
		ret = -errno;
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	return ret;
}

int plan_execute(
	struct dip_reader *r, const struct plan *p, uint64_t *cut_bytes, struct dip_error *err)
{
	int fd, ret;

	*cut_bytes = 0;
	fd = open(r->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return dip_fail(err, errno, "%s: cannot be opened for writing: %s", r->path,
			strerror(errno));
	ret = save_cut(r, p, cut_bytes, err);
	if (ret == 0)
		ret = move_down(fd, r, p, err);
	if (ret == 0) {
		ret = cut_to_truth(fd, r, p);
		if (ret < 0)
			dip_fail(err, -ret,
				"%s: cannot be written: %s; mend that and recover it again, "
				"nothing is lost",
				r->path, strerror(-ret));
	}
	close(fd);
	return ret;
}
