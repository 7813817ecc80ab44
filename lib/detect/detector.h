/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "detect/pixels.h"
#include "detect/sites.h"

/* A detector decides which sites of a frame are occupied. Drivers in drivers/proc/ register
 * themselves; the program reaches them by name. */

struct dip_detector_conf {
	uint32_t width, height; /* of the frame, pixels */
	const struct dip_sites *sites;
	const struct dip_pixels *pixels; /* NULL: pixels count what they are */
	const char *kernel;              /* "auto", "scalar", "avx2", "avx512", "neon" */
};

/* What is known of a detector; only read once it is made. Site i is the i-th of the configuration,
 * whatever the order in which a kernel visits them. */
struct dip_detector {
	const struct dip_detector_ops *ops;
	const char *kernel; /* the one chosen */
	unsigned int sites;
	/* Sums are int64_t; otherwise int32_t, which was proved to hold every sum that the sites
	 * can have, and how far that is from the site's limit. */
	bool wide;
	uint32_t scale;       /* a sum is in 1 / scale counts; 1: in counts */
	const int64_t *limit; /* of each site: occupied iff sum >= limit; in 1 / scale counts */
};

struct dip_detector_ops {
	STAILQ_ENTRY(dip_detector_ops) next;
	const char *name;

	/* Build a detector. Returns 0, or a negative errno with *err (unknown kernel: the known ones;
	 * a kernel this CPU lacks: which). The conf is not kept, its sites are copied. */
	int (*create)(struct dip_detector **det, const struct dip_detector_conf *conf,
		struct dip_error *err);

	/* Frames will come in no cache, as devices write them: find out what is fastest then. The results
	 * are the same. Some milliseconds; main lcore, before the first frame. NULL: nothing to do. */
	void (*expect_uncached)(struct dip_detector *det);

	/* Sum every site of the frame. pixels: height * width uint16_t, row-major, 64-byte aligned.
	 * sums: sites int32_t, or int64_t when the detector is wide, 64-byte aligned, written whole.
	 * Never reads outside the frame's pixels. Any thread, also several at once (the detector is
	 * only read). */
	void (*sums)(const struct dip_detector *det, const uint16_t *pixels, void *sums);

	/* The same, and decide. bits: dip_occupancy_bytes(sites) bytes, site i in bit i % 8 of byte
	 * i / 8, the rest of the last 8 bytes zero. Returns the number of occupied sites. */
	unsigned int (*detect)(
		const struct dip_detector *det, const uint16_t *pixels, void *sums, uint8_t *bits);

	void (*destroy)(struct dip_detector *det); /* NULL is allowed */
};

/* Bytes of an occupancy bit array, a multiple of 8. */
static inline unsigned int dip_occupancy_bytes(unsigned int sites)
{
	return (sites + 63) / 64 * 8;
}

/* Bytes of one sum. */
static inline size_t dip_detector_sum_bytes(const struct dip_detector *det)
{
	return det->wide ? sizeof(int64_t) : sizeof(int32_t);
}

/* The sum of site i among those that ops->sums or ops->detect wrote. */
static inline int64_t dip_detector_sum(
	const struct dip_detector *det, const void *sums, unsigned int i)
{
	return det->wide ? ((const int64_t *)sums)[i] : ((const int32_t *)sums)[i];
}

void dip_detector_register(struct dip_detector_ops *ops);
const struct dip_detector_ops *dip_detector_find(const char *name); /* NULL: no such */
/* Names of all, separated by ", ", for messages. */
const char *dip_detector_names(void);

#define DIP_DETECTOR_REGISTER(ops)                                                                 \
	static void __attribute__((constructor)) ops##_register(void)                              \
	{                                                                                          \
		dip_detector_register(&ops);                                                       \
	}
