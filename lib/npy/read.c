/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy/set_impl.h"

int dip_npy_file_open(const char *name, int *fd, uint64_t *size, struct dip_error *err)
{
	struct stat st;

	/* Not to wait for the other end of a FIFO, which is refused just below. */
	*fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return dip_fail(err, errno, "%s: cannot open: %s; expected a readable .npy file",
			name, strerror(errno));
	if (fstat(*fd, &st) < 0) {
		int error = errno;

		close(*fd);
		return dip_fail(err, error, "%s: cannot be examined: %s", name, strerror(error));
	}
	if (!S_ISREG(st.st_mode)) {
		close(*fd);
		return dip_fail(err, EINVAL, "%s: not a regular file; expected an .npy file", name);
	}
	*size = (uint64_t)st.st_size;
	return 0;
}

ssize_t dip_npy_read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

void dip_npy_set_release(struct dip_npy_set *set)
{
	if (set->fd_file != NONE)
		close(set->fd);
	set->fd_file = NONE;
}

/* Read part of a file's data, all of it or nothing. */
static int read_data(struct dip_npy_set *set, size_t file, uint64_t at, void *buf, size_t len,
	struct dip_error *err)
{
	const char *name = set->files[file].name;
	uint64_t size;
	ssize_t n;
	int rc;

	if (set->fd_file != file) {
		dip_npy_set_release(set);
		rc = dip_npy_file_open(name, &set->fd, &size, err);
		if (rc < 0)
			return rc;
		set->fd_file = file;
	}
	n = dip_npy_read_at(set->fd, buf, len, set->files[file].header.data_offset + at);
	if (n == (ssize_t)len)
		return 0;
	/* Whatever is wrong, the next read shall see the file that is there by then. */
	dip_npy_set_release(set);
	if (n < 0)
		return dip_fail(err, (int)-n, "%s: cannot read: %s", name, strerror((int)-n));
	return dip_fail(err, EIO,
		"%s: cut short since its header was read: found %zd bytes at %" PRIu64
		" of its data, expected %zu; leave the files alone while they are in use",
		name, n, at, len);
}

/* Like read_data, into set->raw, which grows as needed. */
static int read_raw(
	struct dip_npy_set *set, size_t file, uint64_t at, size_t len, struct dip_error *err)
{
	set->raw_file = NONE;
	if (set->raw_size < len) {
		free(set->raw);
		set->raw = malloc(len);
		set->raw_size = set->raw == NULL ? 0 : len;
	}
	if (set->raw == NULL)
		return dip_fail(err, ENOMEM,
			"%s: no memory for %zu bytes; a stack in Fortran order is read whole, "
			"save it in C order: numpy.ascontiguousarray(a)",
			set->files[file].name, len);
	return read_data(set, file, at, set->raw, len, err);
}

/* Pixel (n, h, w) of a Fortran array is element n + frames * (h + height * w). A few columns at a
 * time, so that the cache lines that one row touches are still there for the next. */
#define GATHER(type)                                                                               \
	static void gather_##type(                                                                 \
		const struct dip_npy_header *hd, const type *src, uint16_t *pixels)                \
	{                                                                                          \
		const size_t n = hd->frames, height = hd->height, width = hd->width;               \
		for (size_t w0 = 0; w0 < width; w0 += 32) {                                        \
			size_t w1 = w0 + 32 < width ? w0 + 32 : width;                             \
			for (size_t h = 0; h < height; h++)                                        \
				for (size_t w = w0; w < w1; w++)                                   \
					pixels[h * width + w] = src[n * (h + height * w)];         \
		}                                                                                  \
	}
GATHER(uint8_t)
GATHER(uint16_t)

static int read_fortran(
	struct dip_npy_set *set, size_t file, uint64_t n, uint16_t *pixels, struct dip_error *err)
{
	const struct dip_npy_header *hd = &set->files[file].header;
	int rc;

	if (set->raw_file != file) {
		rc = read_raw(set, file, 0, hd->data_bytes, err);
		if (rc < 0)
			return rc;
		set->raw_file = file;
	}
	if (hd->type == DIP_NPY_U1)
		gather_uint8_t(hd, (const uint8_t *)set->raw + n, pixels);
	else
		gather_uint16_t(hd, (const uint16_t *)set->raw + n, pixels);
	return 0;
}

static int read_c(
	struct dip_npy_set *set, size_t file, uint64_t n, uint16_t *pixels, struct dip_error *err)
{
	const struct dip_npy_header *hd = &set->files[file].header;
	size_t count = (size_t)hd->height * hd->width;
	const uint8_t *bytes;
	int rc;

	if (hd->type != DIP_NPY_U1)
		return read_data(set, file, n * count * 2, pixels, count * 2, err);
	rc = read_raw(set, file, n * count, count, err);
	if (rc < 0)
		return rc;
	bytes = set->raw;
	for (size_t i = 0; i < count; i++)
		pixels[i] = bytes[i];
	return 0;
}

static void swap_pixels(uint16_t *pixels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pixels[i] = __builtin_bswap16(pixels[i]);
}

static int refuse_negative(
	const struct npy_file *f, uint64_t n, const uint16_t *pixels, struct dip_error *err)
{
	size_t count = (size_t)f->header.height * f->header.width, i;
	uint16_t all = 0;

	/* Without a way out of the loop, so that it is done in vectors. */
	for (i = 0; i < count; i++)
		all |= pixels[i];
	if (all < 0x8000)
		return 0;
	for (i = 0; pixels[i] < 0x8000; i++)
		;
	return dip_fail(err, ERANGE,
		"%s: frame %" PRIu64 ", row %zu, column %zu: negative pixel %d; expected 0..32767; "
		"mend it with numpy: a.clip(0).astype('<u2')",
		f->name, n, i / f->header.width, i % f->header.width, (int16_t)pixels[i]);
}

/* The file that frame index is in. */
static size_t file_of(const struct dip_npy_set *set, uint64_t index)
{
	size_t file = 0, end = set->count;

	while (end - file > 1) {
		size_t mid = file + (end - file) / 2;

		if (set->files[mid].first <= index)
			file = mid;
		else
			end = mid;
	}
	return file;
}

void dip_npy_set_expect(struct dip_npy_set *set, uint64_t index)
{
	size_t file = file_of(set, index);
	const struct npy_file *f = &set->files[file];
	uint64_t bytes = f->header.data_bytes / f->header.frames,
		 at = f->header.data_offset + (index - f->first) * bytes;
	int fd = set->fd;

	if (file != set->fd_file)
		fd = open(f->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	posix_fadvise(fd, (off_t)at, (off_t)bytes, POSIX_FADV_WILLNEED);
	if (file != set->fd_file)
		close(fd);
}

int dip_npy_set_read(
	struct dip_npy_set *set, uint64_t index, uint16_t *pixels, struct dip_error *err)
{
	const bool big_host = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	const struct npy_file *f;
	size_t file;
	bool big;
	int rc;

	if (index >= set->frames)
		return dip_fail(err, EINVAL, "%s: frame %" PRIu64 " of %" PRIu64 " asked for",
			set->files[0].name, index, set->frames);
	file = file_of(set, index);
	f = &set->files[file];
	index -= f->first;
	rc = (f->header.fortran_order ? read_fortran : read_c)(set, file, index, pixels, err);
	if (rc < 0 || f->header.type == DIP_NPY_U1)
		return rc;
	big = f->header.type == DIP_NPY_U2BE || f->header.type == DIP_NPY_I2BE;
	if (big != big_host)
		swap_pixels(pixels, (size_t)f->header.height * f->header.width);
	if (f->header.type == DIP_NPY_I2LE || f->header.type == DIP_NPY_I2BE)
		return refuse_negative(f, index, pixels, err);
	return 0;
}
