/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/detector.h"

struct patch_store;

/* What the parts of the "patch" detector share.
 *
 *	dip_sites --fold.c--> weights of each site --plan.c--> jobs in order of memory --kernel--> sums
 */

/* Before a loop of constant count over vectors: they are registers only when it is unrolled. */
#ifdef __clang__
#define PATCH_UNROLL _Pragma("unroll")
#else
#define PATCH_UNROLL _Pragma("GCC unroll 16")
#endif

/* The multiply-add of 16-bit numbers takes pixels as signed. With its top bit flipped a pixel is the
 * signed number 32,768 below it, which is made good once a sum. */
#define PATCH_BIAS 32768

/* The widest strip of several sites, pixels: what a kernel keeps column sums for on its stack. */
#define PATCH_STRIP_PIXELS 1024
/* The widest and the highest patch in a strip with weights. */
#define PATCH_STRIP_SITE 32
#define PATCH_STRIP_ROWS 64

/* Of a row of weights in memory: whole vectors, so that a kernel loads them without a mask. */
static inline uint32_t patch_row(uint32_t w)
{
	return w <= 8 ? 8 : w <= 16 ? 16 : (w + 31) / 32 * 32;
}

/* A site, made ready: sum = constant + the sum over its pixels of weight * pixel, or, when pixels
 * are counted, of the weights of those pixels that count. */
struct patch_site {
	uint32_t offset;        /* of its first pixel, in pixels */
	uint16_t h, w;          /* pixels */
	const int16_t *weights; /* h rows of patch_row(w), 0 beyond w; NULL: all ones */
	int64_t constant;
};

/* What a pixel counts; a constant at each call in a kernel of what takes one. */
enum patch_counts {
	PATCH_AS_IT_IS,   /* its value, less PATCH_BIAS */
	PATCH_FROM_LEAST, /* 1 from patch->least on */
	PATCH_FROM_MAP,   /* 1 from its own of patch->least_map on */
};

enum patch_kind {
	/* All-ones patches of one size side by side in one row: a row of a regular grid. Its rows of
	 * pixels are added as one strip, whole vectors at a time, and divided among the sites once
	 * at the end. */
	PATCH_BOXES,
	/* The same with weights, and with gaps, where they are 0. */
	PATCH_STRIP,
	/* Patches of one size, each by itself. */
	PATCH_SINGLE,
};

/* Where a site stands in the order in which the kernels visit them. */
struct patch_place {
	uint32_t site;
	uint32_t offset; /* in pixels: of its first pixel; in a strip: of that from the strip's */
	const int16_t *weights; /* of a single one; never NULL */
};

struct patch_job {
	enum patch_kind kind;
	uint32_t h, w;             /* of each site, pixels */
	unsigned int first, count; /* places */
	bool in_order;             /* its sites are consecutive ones */
	/* Strips: this one and so many jobs behind it, in all, differ in their place alone. */
	unsigned int alike;
	/* PATCH_SINGLE: a vector that begins in a site ends within the frame */
	bool inside;
	/* PATCH_SINGLE in a wide detector: after so many rows a 32-bit lane may be full; 0: at once */
	uint32_t flush;
	/* PATCH_BOXES, PATCH_STRIP */
	uint32_t offset; /* of the first pixel, in pixels */
	uint32_t width;  /* pixels */
	/* PATCH_STRIP: h rows of whole vectors of 32 */
	const int16_t *weights;
	uint32_t
		pitch; /* columns from each site to the next, up to 16; 0: more, or not all the same */
	bool split;    /* two sites share a pair of columns 2 k, 2 k + 1 */
};

struct patch {
	struct dip_detector det; /* first: what the caller holds */
	const struct patch_kernel *kernel;
	size_t stride; /* pixels from one row to the next */
	size_t pixels; /* of the frame: no kernel reads at or beyond this offset */

	/* A pixel counts 1 when it is at least so high, else 0; else it counts what it is. */
	bool counting;
	uint16_t least;
	const uint16_t *least_map; /* of each pixel of the frame; NULL: `least` for all */

	struct patch_site *site; /* in the order of the results */
	int64_t *limit;          /* of each site */
	int32_t *limit32;        /* the same when sums are 32 bits wide */

	struct patch_place *place;
	int64_t *bias;   /* of each place: what to add to the sum of flipped pixels */
	int32_t *bias32; /* the same modulo 2^32 */
	unsigned int jobs;
	struct patch_job *job;
	struct patch_store *store; /* memory of the weights */
	bool fetch_ahead;          /* of boxes, the next strip while one is added */
};

/* Sums of the columns of a strip, modulo 2^32, two columns a number: of a pair of columns 2 k, 2 k + 1
 * in even[k]; or, when the sites do not begin and end with pairs, of column 2 k in even[k] and of
 * 2 k + 1 in odd[k]. Behind them is room for what a kernel reads there and throws away. */
struct patch_columns {
	uint32_t even[PATCH_STRIP_PIXELS / 2 + 80] __attribute__((aligned(64)));
	uint32_t odd[PATCH_STRIP_PIXELS / 2 + 80] __attribute__((aligned(64)));
};

/* One way to do the work. Every kernel gives the same sums and bits as the scalar one. 32-bit sums
 * are modulo 2^32 on the way, and the configuration proved that the result fits. */
struct patch_kernel {
	const char *name;
	const char *needs;       /* of the CPU, for messages */
	bool (*supported)(void); /* by this CPU */
	/* Strips, the first of `jobs` jobs that differ in their places alone: add up the columns of each
	 * and divide them among its sites. The sums of job i, in the order of its places, go to
	 * sums + i * step; those of boxes are unsigned. next: what comes behind them. */
	void (*strips)(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
		const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step);
	/* Single sites, each sum to its site's place in sums, which are 32 or 64 bits wide. */
	void (*singles)(const struct patch *patch, const struct patch_job *job,
		const uint16_t *pixels, void *sums);
	/* Both NULL: every site by patch_sum_site. */
	/* Set bit i of bits iff sums[i] >= limits[i], i < count; bits is zeroed by the caller.
	 * Returns how many were set. */
	unsigned int (*compare)(
		const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits);
	unsigned int (*compare_wide)(
		const int64_t *sums, const int64_t *limits, unsigned int count, uint8_t *bits);
};

extern const struct patch_kernel patch_kernel_scalar;
extern const struct patch_kernel patch_kernel_avx2;   /* x86-64 */
extern const struct patch_kernel patch_kernel_avx512; /* x86-64 */
extern const struct patch_kernel patch_kernel_neon;   /* aarch64 */

/* The sums of all sites, with its kernel. */
void patch_sums(const struct patch *patch, const uint16_t *pixels, void *sums);

/* Find out by a measurement whether to fetch ahead in frames that come in no cache. */
void patch_tune(struct patch *patch);

/* The sum of one site, by the definition. */
int64_t patch_sum_site(
	const struct patch *patch, const struct patch_site *site, const uint16_t *pixels);
