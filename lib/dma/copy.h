/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Ways for a CPU to copy a frame into a slab.
 *
 * cached: memcpy. The frame is in this core's cache afterwards, as far as it fits: what comes next
 * on this core finds it there. (libc itself takes streaming stores for what exceeds its threshold.)
 * streaming: non-temporal stores. They read no line that they overwrite and leave the cache to
 * others: the frame is in memory. Visible to all cores when the call returns.
 *
 * Any length, any alignment; the two must not overlap. */
struct dip_copier {
	const char *name;
	void (*copy)(void *to, const void *from, size_t bytes);
};

extern const struct dip_copier dip_copy_cached, dip_copy_streaming;

/* Of that name, or NULL. */
const struct dip_copier *dip_copier_find(const char *name);

/* What a frame costs with each of them when the core that copied it reads it right afterwards, as one
 * that decides in place does; TSC ticks, the least of several turns. */
struct dip_copy_cost {
	uint64_t cached, streaming;
};

/* Measure it: frames go one after another into the slab, whose content is lost. bytes: of a frame.
 * frame: the i-th one, i from 0 on. Takes 10 ms, and two frames at least. */
struct dip_copy_cost dip_copy_measure(void *slab, size_t bytes,
	const void *(*frame)(const void *priv, uint64_t i), const void *priv);
