/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <rte_common.h>
#include <rte_ring.h>

#include "format/format.h"
#include "frame/backlog.h"
#include "memory.h"
#include "results/window.h"

#define PAGE 4096
#define HUGEPAGE ((size_t)2 << 20)
/* Pollers, sums and EAL's own; measured, with room for pages that are begun. */
#define OTHERS_BYTES ((size_t)10 << 20)

static bool archiving(const struct settings *s)
{
	return s->main.nth_archive > 0;
}

static size_t slab_bytes(const struct settings *s, size_t image_bytes)
{
	if (archiving(s) && strcmp(s->arch.format, "npy") == 0)
		image_bytes = dip_record_bytes(image_bytes, s->arch.block_bytes);
	return RTE_ALIGN_CEIL(image_bytes, (size_t)PAGE);
}

static size_t window_bytes(const struct settings *s)
{
	size_t rows = (s->pois.row_end - s->pois.row_start) / s->pois.roi_h + 1,
	       cols = (s->pois.col_end - s->pois.col_start) / s->pois.roi_w + 1;

	if (strcmp(s->proc.results, "none") == 0 && !s->proc.print_stdout)
		return 0;
	if (s->pois.sites[0] != '\0') /* how many is not known yet */
		return DIP_WINDOW_BYTES;
	if (s->pois.row_end <= s->pois.row_start || s->pois.col_end <= s->pois.col_start)
		return 0; /* refused in a moment, with a better word */
	return dip_window_bytes(s->proc.results_window, rows * cols,
		s->proc.sums ? rows * cols * sizeof(int32_t) : 0);
}

/* How many slabs each sink may hold. Unless the source waits, no sink may hold them all: a quarter stays
 * for the others, so that a stalled disk never starves the decisions, nor they it. Those in a queue are
 * not held when they may be overwritten. */
static void share_slabs(const struct settings *s, struct memory_plan *p)
{
	int64_t slabs = s->main.slabs, quota = slabs - RTE_MAX(slabs / 4, (int64_t)1), inflight;

	if (overrun_of(s) == OVERRUN_BLOCK) {
		p->proc_ring = s->proc.ring_size;
		p->arch_ring = s->arch.ring_size;
		p->arch_inflight = RTE_MIN(s->arch.max_inflight, slabs);
		return;
	}
	inflight = RTE_MIN(s->arch.max_inflight, RTE_MAX(quota / 2, (int64_t)1));
	p->arch_inflight = inflight;
	if (overrun_of(s) == OVERRUN_OVERWRITE) {
		p->proc_ring = RTE_MIN(s->proc.ring_size, slabs);
		p->arch_ring = RTE_MIN(s->arch.ring_size, slabs);
		return;
	}
	p->proc_ring = RTE_MIN(s->proc.ring_size, RTE_MAX(quota / p->lanes, (int64_t)1));
	p->arch_ring = RTE_MIN(s->arch.ring_size, RTE_MAX(quota - inflight, (int64_t)1));
}

static size_t ring_bytes(unsigned int frames)
{
	/* Of an exact size it has a power of two of places, and one more than frames at least. */
	return rte_ring_get_memsize_elem(sizeof(struct dip_desc), rte_align32pow2(frames + 1));
}

void memory_plan(
	const struct settings *s, size_t image_bytes, unsigned int lanes, struct memory_plan *p)
{
	*p = (struct memory_plan){.image_bytes = image_bytes,
		.slab_bytes = slab_bytes(s, image_bytes),
		.window_bytes = window_bytes(s),
		.lanes = lanes};
	p->pool_bytes = dip_frame_pool_bytes(s->main.slabs, p->slab_bytes);
	share_slabs(s, p);
	p->total_bytes =
		p->pool_bytes + OTHERS_BYTES + lanes * (p->window_bytes + ring_bytes(p->proc_ring));
	if (archiving(s))
		p->total_bytes += ring_bytes(p->arch_ring);
	if (overrun_of(s) == OVERRUN_OVERWRITE)
		p->total_bytes += dip_backlog_bytes(lanes, s->main.slabs);
	p->hugepages = (p->total_bytes + HUGEPAGE - 1) / HUGEPAGE;
}

void memory_print(const struct memory_plan *p, FILE *out)
{
	const struct {
		const char *name;
		size_t value;
	} rows[] = {
		{"image_bytes", p->image_bytes},
		{"slab_bytes", p->slab_bytes},
		{"pool_bytes", p->pool_bytes},
		{"lanes", p->lanes},
		{"window_bytes", p->window_bytes},
		{"proc_ring", p->proc_ring},
		{"arch_ring", p->arch_ring},
		{"arch_inflight", p->arch_inflight},
		{"total_bytes", p->total_bytes},
		{"hugepages", p->hugepages},
	};

	for (unsigned int i = 0; i < RTE_DIM(rows); i++)
		fprintf(out, "# memory.%s = %zu\n", rows[i].name, rows[i].value);
}
