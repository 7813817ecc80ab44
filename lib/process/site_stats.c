/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "process/process.h"
#include "process/site_stats.h"

#define READ_TRIES 1000

/* Never freed: a reader may be at it at any time. A later run of more sites than the one before gets
 * memory of its own, and the old stays for those who still read it. */
static struct dip_site_stats *all[DIP_PROCESSORS]; /* atomic */

/* Zero, and not touched here, so that it comes from the memory of the processor's node. */
static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct dip_site_stats *dip_site_stats_create(
	unsigned int index, const struct dip_detector *det, uint32_t every)
{
	size_t each = ((size_t)det->sites * 8 + 63) / 64 * 64;
	struct dip_site_stats *s = map(sizeof(*s) + 3 * each);
	uint8_t *arrays = (uint8_t *)(s + 1);

	if (s == NULL)
		return NULL;
	s->every = s->until = every;
	s->sites = det->sites;
	s->total = (int64_t *)arrays;
	s->occupied = (uint64_t *)(arrays + each);
	s->sum = (int64_t *)(arrays + 2 * each);
	__atomic_store_n(&all[index], s, __ATOMIC_RELEASE);
	return s;
}

static void add_narrow(struct dip_site_stats *s, const int64_t *limit, const int32_t *sums)
{
	int64_t *restrict total = s->total, *restrict last = s->sum;
	uint64_t *restrict occupied = s->occupied;

	for (unsigned int i = 0; i < s->sites; i++) {
		int64_t sum = sums[i];

		total[i] += sum;
		occupied[i] += sum >= limit[i];
		last[i] = sum;
	}
}

static void add_wide(struct dip_site_stats *s, const int64_t *limit, const int64_t *sums)
{
	int64_t *restrict total = s->total, *restrict last = s->sum;
	uint64_t *restrict occupied = s->occupied;

	for (unsigned int i = 0; i < s->sites; i++) {
		total[i] += sums[i];
		occupied[i] += sums[i] >= limit[i];
		last[i] = sums[i];
	}
}

void dip_site_stats_gather(
	struct dip_site_stats *s, const struct dip_detector *det, const void *sums, uint64_t seq)
{
	s->until = s->every;
	__atomic_store_n(&s->version, s->version + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (det->wide)
		add_wide(s, det->limit, sums);
	else
		add_narrow(s, det->limit, sums);
	dip_store(&s->seq, seq);
	dip_store(&s->frames, s->frames + 1);
	__atomic_store_n(&s->version, s->version + 1, __ATOMIC_RELEASE);
}

/* Run `copy` until nothing was written meanwhile. */
#define READ_WHOLE(version_, copy)                                                                 \
	({                                                                                         \
		int tries = READ_TRIES;                                                            \
		uint32_t before;                                                                   \
		do {                                                                               \
			before = __atomic_load_n(version_, __ATOMIC_ACQUIRE);                      \
			copy;                                                                      \
			__atomic_thread_fence(__ATOMIC_ACQUIRE);                                   \
		} while ((before % 2 == 1 ||                                                       \
				 before != __atomic_load_n(version_, __ATOMIC_RELAXED)) &&         \
			 --tries > 0);                                                             \
		tries > 0 ? 0 : -EAGAIN;                                                           \
	})

static struct dip_site_summary copy_site(const struct dip_site_stats *s, unsigned int site)
{
	return (struct dip_site_summary){.frames = dip_read(&s->frames),
		.occupied = dip_read(&s->occupied[site]),
		.total = (int64_t)dip_read((const uint64_t *)&s->total[site]),
		.seq = dip_read(&s->seq),
		.sum = (int64_t)dip_read((const uint64_t *)&s->sum[site])};
}

int dip_site_stats_read(
	unsigned int first, unsigned int n, unsigned int site, struct dip_site_summary *summary)
{
	struct dip_site_summary whole = {0}, part;
	bool known = false;

	for (unsigned int i = first; i < first + n; i++) {
		const struct dip_site_stats *s = __atomic_load_n(&all[i], __ATOMIC_ACQUIRE);

		if (s == NULL || site >= s->sites)
			continue;
		known = true;
		if (READ_WHOLE(&s->version, part = copy_site(s, site)) < 0)
			return -EAGAIN;
		if (part.frames == 0)
			continue;
		if (whole.frames == 0 || part.seq > whole.seq) {
			whole.seq = part.seq;
			whole.sum = part.sum;
		}
		whole.frames += part.frames;
		whole.occupied += part.occupied;
		whole.total += part.total;
	}
	*summary = whole;
	return known ? 0 : -ENOENT;
}

static struct dip_last_frame copy_last(const struct dip_last_frame *l)
{
	return (struct dip_last_frame){.any = __atomic_load_n(&l->any, __ATOMIC_RELAXED),
		.seq = dip_read(&l->seq),
		.occupied = dip_read(&l->occupied),
		.latency_ns = dip_read(&l->latency_ns)};
}

int dip_last_frame_read(unsigned int first, unsigned int n, struct dip_last_frame *last)
{
	struct dip_last_frame newest = {0}, part;

	for (unsigned int i = first; i < first + n; i++) {
		const struct dip_site_stats *s = __atomic_load_n(&all[i], __ATOMIC_ACQUIRE);

		if (s == NULL || READ_WHOLE(&s->last.version, part = copy_last(&s->last)) < 0)
			continue;
		if (part.any && (!newest.any || part.seq > newest.seq))
			newest = part;
	}
	*last = newest;
	return newest.any ? 0 : -ENOENT;
}
