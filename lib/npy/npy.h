/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* NumPy .npy files, format versions 1 to 3
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), as frames of 16-bit
 * unsigned pixels. Nothing here depends on DPDK. */

enum dip_npy_type {
	DIP_NPY_U2LE, /* <u2 */
	DIP_NPY_U2BE, /* >u2 */
	DIP_NPY_I2LE, /* <i2, negative pixels refused */
	DIP_NPY_I2BE, /* >i2, negative pixels refused */
	DIP_NPY_U1,   /* |u1, widened */
};

struct dip_npy_header {
	enum dip_npy_type type;
	bool fortran_order;
	unsigned int ndim;    /* 2: one frame (H, W); 3: a stack (N, H, W) */
	uint64_t frames;      /* N, 1 for a 2-D array */
	uint32_t height;      /* H, rows */
	uint32_t width;       /* W, columns */
	uint64_t data_offset; /* bytes from the start of the file to the first element */
	uint64_t data_bytes;  /* frames * height * width * item size, proved not to overflow */
};

/* Parse the header of an .npy file. head: its first len bytes (all of the header must be among
 * them; 64 KiB + 12 always suffices for what we accept), file_size: the size of the whole file in
 * bytes, used to refuse a header that promises more data than there is, or less. name: for the message.
 * Returns 0, or -EINVAL with *err saying what was found and what was expected; *out is untouched
 * on failure. Never reads beyond head + len; any input is safe. */
int dip_npy_parse(const char *name, const void *head, size_t len, uint64_t file_size,
	struct dip_npy_header *out, struct dip_error *err);

/* Any two-dimensional array of numbers. */
struct dip_npy_array_header {
	char kind;          /* NumPy's: b(ool), i, u, f */
	unsigned int bytes; /* of each number: 1, 2, 4, 8 */
	bool big_endian, fortran_order;
	uint64_t rows, columns;
	uint64_t data_offset; /* bytes from the start of the file to the first number */
};

/* The same for its header. */
int dip_npy_parse_array(const char *name, const void *head, size_t len, uint64_t file_size,
	struct dip_npy_array_header *out, struct dip_error *err);

/* Read such an array from a file of up to 2 GiB, row-major, as double (what an integer of 8 bytes has
 * beyond 53 bits is lost). Returns 0 and *values, to be freed with free(), and its shape; or a
 * negative errno with *err. Control thread only. */
int dip_npy_array_read(const char *path, double **values, uint64_t *rows, uint64_t *columns,
	struct dip_error *err);

/* A set of frames of one shape: a folder of .npy files in name order (each a 2-D frame or a 3-D
 * stack; entries not ending in .npy, and names with a leading dot, are left out) or a single .npy
 * file. */
struct dip_npy_set;

/* Open path, read and check every header: same height and width everywhere, each 1..65535, at
 * least one frame. Returns 0 and the set (free with dip_npy_set_close), or a negative errno with
 * *err naming the file. Control thread only. */
int dip_npy_set_open(const char *path, struct dip_npy_set **set, struct dip_error *err);

uint64_t dip_npy_set_frames(const struct dip_npy_set *set);
uint32_t dip_npy_set_width(const struct dip_npy_set *set);
uint32_t dip_npy_set_height(const struct dip_npy_set *set);

/* Read frame index (0-based, in name order, then stack order) into pixels: height * width
 * uint16_t in native byte order, row-major. A negative pixel is -ERANGE with file, frame, row,
 * column and value in *err; a file that is shorter than its header said is -EIO; an index too large
 * is -EINVAL; else the errno of opening the file anew. On failure pixels are undefined. One thread at
 * a time: the set keeps a file open and, for a stack in Fortran order, its data. */
int dip_npy_set_read(
	struct dip_npy_set *set, uint64_t index, uint16_t *pixels, struct dip_error *err);

/* Ask the system to have frame index in memory soon; what goes wrong shows when it is read. Same
 * thread. */
void dip_npy_set_expect(struct dip_npy_set *set, uint64_t index);

/* The largest stack that the set would hold whole, bytes: one in Fortran order. *name: its file. 0:
 * none. */
uint64_t dip_npy_set_whole_bytes(const struct dip_npy_set *set, const char **name);

/* NULL is allowed. */
void dip_npy_set_close(struct dip_npy_set *set);

/* Write a version 1 header for an array of `shape` (as Python text, e.g. "(100,)") with dtype
 * `descr` (as Python text, e.g. "'<u2'" or "[('image', '<u2', (300, 300)), ...]"), C order, padded
 * with spaces and a final newline to exactly size bytes (a multiple of 64, at most 65,536).
 * Returns 0, -ENOSPC when it does not fit, -EINVAL for another size. */
int dip_npy_header_write(void *buf, size_t size, const char *descr, const char *shape);

/* The same for a file that grows at its end while others read it: an array of no records yet. *at:
 * where in the file dip_npy_grow will find the number of records. descr as text must not contain
 * "'shape': (". */
int dip_npy_growing_header(void *buf, size_t size, const char *descr, size_t *at);

/* The header of the file promises `to` records from now on, `from` before (UINT64_MAX: unknown).
 * Once they are written: whoever opens the file at any moment finds a header that promises records
 * which are there. Returns 0, or the negative errno of a write; the header then promises no more
 * than `to`; -EFBIG for 10^16 records and more. */
int dip_npy_grow(int fd, size_t at, uint64_t from, uint64_t to);
