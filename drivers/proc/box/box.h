/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detector.h"

/* What box.c and its kernels share. */

/* Before a loop of constant count over vectors: they are registers only when it is unrolled. */
#ifdef __clang__
#define BOX_UNROLL _Pragma("unroll")
#else
#define BOX_UNROLL _Pragma("GCC unroll 8")
#endif

/* The widest run of several boxes, pixels: what a kernel keeps column sums for on its stack. */
#define BOX_RUN_PIXELS 1024

/* Boxes of one size side by side in one row: a row of a regular grid. Its rows of pixels are read
 * as one strip, whole vectors at a time, and divided among the boxes only once at the end. A box
 * that has no such neighbour is a run of its own. */
struct box_run {
	size_t offset;      /* of the first box's first pixel, in pixels */
	uint32_t h, w;      /* of each box, pixels */
	unsigned int first; /* site */
	unsigned int count; /* sites; w * count <= BOX_RUN_PIXELS unless count is 1 */
};

struct box {
	struct dip_detector det; /* first: what the caller holds */
	const struct box_kernel *kernel;
	size_t stride;    /* pixels from one row to the next */
	size_t pixels;    /* of the frame: no kernel reads at or beyond this offset */
	int64_t *limit;   /* of each site */
	int32_t *limit32; /* the same when sums are 32 bits wide, padded to whole vectors */
	unsigned int runs;
	struct box_run run[];
};

/* One way to do the work. Every kernel gives the same sums and bits as the scalar one. A sum is
 * modulo 2^32, and the configuration proved that it is below that. */
struct box_kernel {
	const char *name;
	const char *needs;       /* of the CPU, for messages */
	bool (*supported)(void); /* by this CPU */
	void (*sums)(const struct box *box, const uint16_t *pixels, uint32_t *sums);
	/* Set bit i of bits iff sums[i] >= limits[i], i < count; bits is zeroed by the caller.
	 * Returns how many were set. */
	unsigned int (*compare)(
		const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits);
};

extern const struct box_kernel box_kernel_scalar;
extern const struct box_kernel box_kernel_avx2;   /* x86-64 */
extern const struct box_kernel box_kernel_avx512; /* x86-64 */
