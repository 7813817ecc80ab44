/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What Clang's analyser, which looks at one file at a time, cannot see in another one; scripts/analyse
 * includes this first. */
#include "util/error.h"

/* It returns a negative number, whatever it is given. */
#define dip_fail(...) (dip_fail(__VA_ARGS__), -1)

/* What it takes from a ring is filled in: not seen where a ring copies elements word by word. */
#if __has_include(<rte_ring_elem.h>)
#include <rte_ring_elem.h>
unsigned int analysed_dequeue(struct rte_ring *ring, void *elements, unsigned int bytes, unsigned int n,
	unsigned int *left);
#define rte_ring_dequeue_burst_elem analysed_dequeue
#endif
