/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "detect/detector.h"
#include "detect/sites_file.h"

/* A file of sites: it is read, or refused by a line that names it. What is read lies inside the frame,
 * and can be made into a detector, whose kernels decide a frame alike, or is refused likewise. */

#define WIDTH 60
#define HEIGHT 48

static const struct dip_prior prior = {
	.lambda_empty = 0.5, .lambda_occ = 10, .fill = 0.5, .fp_target = 1e-3, .max_k = 1000};

/* Returns the number of occupied sites, -1 when there is no detector; bits: of every site. */
static int decide(const struct dip_sites *sites, const char *kernel, uint8_t **bits)
{
	static uint16_t pixels[WIDTH * HEIGHT];
	const struct dip_detector_conf conf = {
		.width = WIDTH, .height = HEIGHT, .sites = sites, .kernel = kernel};
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	struct dip_detector *det;
	struct dip_error err = {""};
	void *sums;
	int rc = ops->create(&det, &conf, &err);

	if (rc < 0) {
		check_refusal(rc, &err);
		return -1;
	}
	for (unsigned int i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = (uint16_t)(i * 2654435761u >> 16);
	*bits = aligned_alloc(64, (dip_occupancy_bytes(sites->count) + 63) / 64 * 64);
	sums = aligned_alloc(64, (sites->count * sizeof(int64_t) + 63) / 64 * 64);
	HOLDS(*bits != NULL && sums != NULL);
	rc = (int)ops->detect(det, pixels, sums, *bits);
	free(sums);
	ops->destroy(det);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dip_sites_conf conf = {.file = memory_file(data, size),
		.width = WIDTH,
		.height = HEIGHT,
		.prior = &prior,
		.plain = size % 2};
	struct dip_sites sites = {.count = 77}, before = sites;
	uint8_t *scalar = NULL, *best = NULL;
	struct dip_error err = {""};
	int rc = dip_sites_load(&conf, &sites, &err);

	if (rc < 0) {
		check_refusal(rc, &err);
		/* Or a file that it includes. */
		HOLDS(strstr(err.text, conf.file) != NULL ||
			memmem(data, size, "@include", strlen("@include")) != NULL);
		HOLDS(memcmp(&sites, &before, sizeof(sites)) == 0);
		return 0;
	}
	HOLDS(sites.count >= 1 && sites.count <= DIP_SITES_MAX);
	for (unsigned int i = 0; i < sites.count; i++) {
		const struct dip_site *s = &sites.site[i];

		HOLDS(s->h >= 1 && s->row + s->h <= HEIGHT && s->w >= 1 && s->col + s->w <= WIDTH);
		HOLDS(s->name != NULL);
	}
	rc = decide(&sites, "scalar", &scalar);
	HOLDS(decide(&sites, "auto", &best) == rc);
	HOLDS(rc < 0 || memcmp(scalar, best, dip_occupancy_bytes(sites.count)) == 0);
	free(scalar);
	free(best);
	dip_sites_free(&sites);
	return 0;
}
