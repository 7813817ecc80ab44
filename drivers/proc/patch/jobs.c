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

/* Of one shape, whose sums are not where their sites' are: through a buffer, one by one. */
static void sum_apart(const struct patch *patch, const struct patch_job *job,
	const struct patch_job *next, const uint16_t *pixels, void *sums)
{
	uint32_t own[PATCH_STRIP_PIXELS] __attribute__((aligned(64)));

	patch->kernel->strips(patch, job, 1, next, pixels, (int32_t *)own, 0);
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
	if (patch->kernel->singles == NULL) {
		sum_one_by_one(patch, pixels, sums);
		return;
	}
	for (unsigned int j = 0; j < patch->jobs; j += patch->job[j].alike) {
		const struct patch_job *job = &patch->job[j], *next = job + job->alike;

		if (j + job->alike == patch->jobs)
			next = job + job->alike - 1;
		/* Only boxes come in a wide detector, and theirs are unsigned. */
		if (job->kind == PATCH_SINGLE)
			patch->kernel->singles(patch, job, pixels, sums);
		else if (job->in_order && !patch->det.wide)
			patch->kernel->strips(patch, job, job->alike, next, pixels,
				(int32_t *)sums + patch->place[job->first].site, job->count);
		else
			sum_apart(patch, job, next, pixels, sums);
	}
}
