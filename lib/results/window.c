/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_common.h>
#include <rte_malloc.h>

#include "results/window.h"

static size_t slot_bytes(unsigned int sites, size_t sums_bytes)
{
	return RTE_ALIGN_CEIL(dip_result_sums_at(sites) + sums_bytes, (size_t)64);
}

uint64_t dip_window_slots(unsigned int sites, size_t sums_bytes)
{
	uint64_t slots = DIP_WINDOW_SLOTS;

	while (slots > DIP_WINDOW_LEAST && slots * slot_bytes(sites, sums_bytes) > DIP_WINDOW_BYTES)
		slots /= 2;
	return slots;
}

size_t dip_window_bytes(uint64_t size, unsigned int sites, size_t sums_bytes)
{
	if (size == 0)
		size = dip_window_slots(sites, sums_bytes);
	return rte_align64pow2(size) * slot_bytes(sites, sums_bytes);
}

int dip_window_create(uint64_t size, unsigned int sites, size_t sums_bytes, struct dip_window **out,
	struct dip_error *err)
{
	struct dip_window *w = rte_zmalloc("dip_window", sizeof(*w), RTE_CACHE_LINE_SIZE);

	if (w == NULL)
		return dip_fail(err, ENOMEM, "results window: out of memory");
	w->size = size > 0 ? rte_align64pow2(size) : dip_window_slots(sites, sums_bytes);
	w->slot_bytes = slot_bytes(sites, sums_bytes);
	w->slots = rte_zmalloc("dip_window", w->size * w->slot_bytes, RTE_CACHE_LINE_SIZE);
	if (w->slots == NULL) {
		dip_fail(err, ENOMEM,
			"proc.results_window: %zu bytes for the results of %lu frames not found; "
			"expected a smaller window, or more memory for EAL",
			w->size * w->slot_bytes, (unsigned long)w->size);
		rte_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void dip_window_free(struct dip_window *w)
{
	if (w == NULL)
		return;
	rte_free(w->slots);
	rte_free(w);
}
