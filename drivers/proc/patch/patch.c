/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "patch.h"
#include "plan.h"
#include "store.h"

/* The "patch" detector: a site's count is the sum of its pixels, each with its weight. */

static struct dip_detector_ops patch_ops;

/* Best first: "auto" takes the first one that this CPU supports. */
static const struct patch_kernel *const kernels[] = {
#ifdef __x86_64__
	&patch_kernel_avx512,
	&patch_kernel_avx2,
#endif
#ifdef __aarch64__
	&patch_kernel_neon,
#endif
	&patch_kernel_scalar,
};

#define KERNELS (sizeof(kernels) / sizeof(kernels[0]))

static int find_kernel(const char *name, const struct patch_kernel **kernel, struct dip_error *err)
{
	char known[128] = "auto";
	size_t len;

	for (size_t i = 0; i < KERNELS; i++) {
		bool any = strcmp(name, "auto") == 0;

		if (any && !kernels[i]->supported())
			continue;
		if (any || strcmp(name, kernels[i]->name) == 0) {
			*kernel = kernels[i];
			break;
		}
		len = strlen(known);
		snprintf(known + len, sizeof(known) - len, ", %s", kernels[i]->name);
	}
	if (*kernel == NULL)
		return dip_fail(err, EINVAL,
			"proc.kernel: found \"%s\", expected one of %s; "
			"use auto to have the best one chosen",
			name, known);
	if (!(*kernel)->supported())
		return dip_fail(err, ENOTSUP,
			"proc.kernel: found \"%s\", which needs %s, and this CPU "
			"lacks it; use auto to have the best one chosen",
			name, (*kernel)->needs);
	return 0;
}

/* The kernels trust the sites from here on. */
static int check_conf(const struct dip_detector_conf *conf, struct dip_error *err)
{
	const struct dip_sites *sites = conf->sites;

	if (sites->count == 0)
		return dip_fail(err, EINVAL,
			"detector: found no site, expected at least one; check the pois group");
	for (unsigned int i = 0; i < sites->count; i++) {
		const struct dip_site *s = &sites->site[i];

		if (s->h == 0 || s->w == 0 || (uint32_t)s->row + s->h > conf->height ||
			(uint32_t)s->col + s->w > conf->width)
			return dip_fail(err, EINVAL,
				"detector: site %u: found a patch at row %u, col %u of %ux%u, "
				"expected one inside the frame of %u x %u; move it or shrink it",
				i, s->row, s->col, s->h, s->w, conf->height, conf->width);
		if ((uint32_t)s->h * s->w > DIP_SITE_PIXELS)
			return dip_fail(err, EINVAL,
				"detector: site %u: found a patch of %ux%u, expected at most %d "
				"pixels; shrink it",
				i, s->h, s->w, DIP_SITE_PIXELS);
	}
	return 0;
}

static void patch_destroy(struct dip_detector *det)
{
	struct patch *patch = (struct patch *)det;

	if (patch == NULL)
		return;
	patch_store_free(patch->store);
	free((void *)patch->least_map);
	free(patch->site);
	free(patch->limit);
	free(patch->limit32);
	free(patch->place);
	free(patch->bias);
	free(patch->bias32);
	free(patch->job);
	free(patch);
}

static int allocate(struct patch *patch, const struct dip_detector_conf *conf)
{
	unsigned int sites = conf->sites->count;

	patch->site = calloc(sites, sizeof(patch->site[0]));
	patch->limit = calloc(sites, sizeof(patch->limit[0]));
	patch->limit32 = calloc(sites, sizeof(patch->limit32[0]));
	patch->place = calloc(sites, sizeof(patch->place[0]));
	patch->bias = calloc(sites, sizeof(patch->bias[0]));
	patch->bias32 = calloc(sites, sizeof(patch->bias32[0]));
	patch->store = patch_store_new();
	if (patch->site == NULL || patch->limit == NULL || patch->limit32 == NULL ||
		patch->place == NULL || patch->bias == NULL || patch->bias32 == NULL ||
		patch->store == NULL)
		return -ENOMEM;
	patch->det.ops = &patch_ops;
	patch->fetch_ahead = true;
	patch->det.sites = sites;
	patch->det.limit = patch->limit;
	patch->stride = conf->width;
	patch->pixels = (size_t)conf->width * conf->height;
	for (unsigned int i = 0; i < sites; i++) {
		const struct dip_site *s = &conf->sites->site[i];

		patch->site[i] = (struct patch_site){
			.offset = s->row * conf->width + s->col, .h = s->h, .w = s->w};
	}
	return 0;
}

static int patch_create(
	struct dip_detector **det, const struct dip_detector_conf *conf, struct dip_error *err)
{
	const struct patch_kernel *kernel = NULL;
	struct patch *patch;
	int ret;

	ret = find_kernel(conf->kernel, &kernel, err);
	if (ret == 0)
		ret = check_conf(conf, err);
	if (ret != 0)
		return ret;
	patch = calloc(1, sizeof(*patch));
	if (patch == NULL || allocate(patch, conf) < 0) {
		ret = dip_fail(err, ENOMEM, "detector: no memory for %u sites", conf->sites->count);
		goto fail;
	}
	patch->kernel = kernel;
	patch->det.kernel = kernel->name;
	patch_sort(patch);
	ret = patch_fold(patch, conf, patch->store, err);
	if (ret < 0)
		goto fail;
	ret = patch_plan(patch, patch->store);
	if (ret < 0) {
		dip_fail(err, ENOMEM, "detector: no memory for %u sites", conf->sites->count);
		goto fail;
	}
	*det = &patch->det;
	return 0;

fail:
	patch_destroy(patch != NULL ? &patch->det : NULL);
	return ret;
}

static void detector_sums(const struct dip_detector *det, const uint16_t *pixels, void *sums)
{
	patch_sums((const struct patch *)det, pixels, sums);
}

static void expect_uncached(struct dip_detector *det)
{
	patch_tune((struct patch *)det);
}

static unsigned int patch_detect(
	const struct dip_detector *det, const uint16_t *pixels, void *sums, uint8_t *bits)
{
	const struct patch *patch = (const struct patch *)det;

	patch_sums(patch, pixels, sums);
	memset(bits, 0, dip_occupancy_bytes(det->sites));
	if (det->wide)
		return patch->kernel->compare_wide(sums, patch->limit, det->sites, bits);
	return patch->kernel->compare(sums, patch->limit32, det->sites, bits);
}

static struct dip_detector_ops patch_ops = {
	.name = "patch",
	.create = patch_create,
	.expect_uncached = expect_uncached,
	.sums = detector_sums,
	.detect = patch_detect,
	.destroy = patch_destroy,
};

DIP_DETECTOR_REGISTER(patch_ops)
