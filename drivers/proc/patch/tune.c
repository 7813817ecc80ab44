/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "patch.h"

/* How frames that come in no cache are read fastest: fetching the next strip while one is added helps
 * some processors, and holds up the prefetcher of others. It is measured. */

#ifdef __x86_64__
#include <immintrin.h>

#define ROUNDS 15
#define ROUNDS_LARGE 3 /* of frames that take milliseconds */
#define LARGE (1 << 20) /* pixels */
#define LINE 64

struct trial {
	uint16_t *pixels;
	void *sums;
	uint64_t ticks[2][ROUNDS]; /* of the TSC: not fetching ahead, fetching */
};

static uint64_t time_cold(struct patch *patch, const struct trial *t, bool fetch_ahead)
{
	uint64_t begin;

	patch->fetch_ahead = fetch_ahead;
	for (size_t i = 0; i < patch->pixels; i += LINE / sizeof(t->pixels[0]))
		_mm_clflush(t->pixels + i);
	_mm_mfence();
	begin = __rdtsc();
	patch_sums(patch, t->pixels, t->sums);
	return __rdtsc() - begin;
}

static int compare_ticks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *ticks, unsigned int rounds)
{
	qsort(ticks, rounds, sizeof(ticks[0]), compare_ticks);
	return ticks[rounds / 2];
}

/* Both ways in turn, so that what drifts favours neither. */
static void try_both(struct patch *patch, struct trial *t)
{
	const unsigned int rounds = patch->pixels > LARGE ? ROUNDS_LARGE : ROUNDS;

	for (unsigned int i = 0; i < 2 * rounds; i++) {
		unsigned int way = (i + i / 2) % 2;

		t->ticks[way][i / 2] = time_cold(patch, t, way == 1);
	}
	patch->fetch_ahead = median(t->ticks[1], rounds) <= median(t->ticks[0], rounds);
}

void patch_tune(struct patch *patch)
{
	size_t bytes = (patch->pixels * sizeof(uint16_t) + LINE - 1) / LINE * LINE;
	size_t sums = (patch->det.sites * sizeof(int64_t) + LINE - 1) / LINE * LINE;
	struct trial t = {
		.pixels = aligned_alloc(LINE, bytes), .sums = aligned_alloc(LINE, sums)};

	/* Without memory for it the usual way does. */
	if (t.pixels != NULL && t.sums != NULL) {
		memset(t.pixels, 0, bytes);
		try_both(patch, &t);
	}
	free(t.pixels);
	free(t.sums);
}
#else
void patch_tune(struct patch *patch)
{
	(void)patch; /* nothing empties a cache here */
}
#endif
