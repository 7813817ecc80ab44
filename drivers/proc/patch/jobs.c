/* SPDX-License-Identifier: BSD-3-Clause */
#include "patch.h"

/* The sums of places to where their sites' sums are. */
static void spread(
	const struct patch *patch, const struct patch_job *job, const uint32_t *from, void *sums)
{
	const struct patch_place *place = &patch->place[job->first];

	if (patch->det.wide) {
		for (unsigned int i = 0; i < job->count; i++)
			((int64_t *)sums)[place[i].site] = from[i];
	} else {
		for (unsigned int i = 0; i < job->count; i++)
			((uint32_t *)sums)[place[i].site] = from[i];
	}
}

/* The second half of a strip. Only boxes come in a wide detector, and theirs are unsigned. */
static void finish(const struct patch *patch, const struct patch_job *job,
	const struct patch_columns *columns, void *sums)
{
	uint32_t own[PATCH_STRIP_PIXELS] __attribute__((aligned(64)));

	if (job->in_order && !patch->det.wide) {
		patch->kernel->fold(
			patch, job, columns, (int32_t *)sums + patch->place[job->first].site);
		return;
	}
	patch->kernel->fold(patch, job, columns, (int32_t *)own);
	spread(patch, job, own, sums);
}

static void sum_one_by_one(const struct patch *patch, const uint16_t *pixels, void *sums)
{
	for (unsigned int i = 0; i < patch->det.sites; i++) {
		int64_t sum = patch_sum_site(patch, &patch->site[i], pixels);

		if (patch->det.wide)
			((int64_t *)sums)[i] = sum;
		else
			((int32_t *)sums)[i] = (int32_t)sum;
	}
}

void patch_sums(const struct patch *patch, const uint16_t *pixels, void *sums)
{
	const struct patch_job *last = NULL;
	unsigned int strips = 0;
	struct patch_columns columns[2];

	if (patch->kernel->singles == NULL) {
		sum_one_by_one(patch, pixels, sums);
		return;
	}
	/* A strip is divided among its sites only when the next one has been read: loading its column
	 * sums, each across two of the stores just done, would wait for these, and the reading of
	 * pixels for them. */
	for (unsigned int j = 0; j < patch->jobs; j++) {
		const struct patch_job *job = &patch->job[j], *next = job + (j + 1 < patch->jobs);
		ptrdiff_t ahead = (ptrdiff_t)next->offset - (ptrdiff_t)job->offset;

		if (job->kind == PATCH_SINGLE) {
			patch->kernel->singles(patch, job, pixels, sums);
			continue;
		}
		patch->kernel->add(patch, job, ahead, pixels, &columns[strips++ % 2]);
		if (last != NULL)
			finish(patch, last, &columns[strips % 2], sums);
		last = job;
	}
	if (last != NULL)
		finish(patch, last, &columns[(strips + 1) % 2], sums);
}
