/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../drivers/proc/patch/patch.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The kernels that are compared with "scalar"; one that this CPU lacks is left out, aloud. */
#ifdef __aarch64__
#define FAST "neon"
#else
#define FAST "avx2", "avx512"
#endif
static const char *const kernels[] = {FAST};
static const char *const all_kernels[] = {"scalar", FAST};

enum fill { ZEROS, ONES, NOISE };

static uint64_t random_state = 1;

/* The same numbers on every run (xorshift64*). */
static uint32_t random32(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1dULL) >> 32);
}

static void fill(uint16_t *pixels, size_t count, enum fill with)
{
	for (size_t i = 0; i < count; i++)
		pixels[i] = with == ZEROS ? 0 : with == ONES ? UINT16_MAX : (uint16_t)random32();
}

/* A frame between two pages that must not be touched: against the one after it, or against the one
 * before it. */
struct fenced {
	uint16_t *pixels;
	void *map;
	size_t bytes;
};

static void fenced_open(struct fenced *f, size_t pixels, bool at_end)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t inside = (pixels * 2 + page - 1) / page * page;
	char *map;

	f->bytes = inside + 2 * page;
	map = mmap(NULL, f->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, inside, PROT_READ | PROT_WRITE), 0);
	f->map = map;
	f->pixels = (uint16_t *)(map + page + (at_end ? inside - pixels * 2 : 0));
}

static void fenced_close(struct fenced *f)
{
	munmap(f->map, f->bytes);
}

/* NULL when this CPU lacks the kernel. */
static struct dip_detector *detector_of(const char *kernel, uint32_t width, uint32_t height,
	const struct dip_sites *sites, const struct dip_pixels *pixels)
{
	const struct dip_detector_conf conf = {.width = width,
		.height = height,
		.sites = sites,
		.pixels = pixels,
		.kernel = kernel};
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	struct dip_detector *det = NULL;
	struct dip_error err;
	int rc;

	assert_non_null(ops);
	rc = ops->create(&det, &conf, &err);
	if (rc == -ENOTSUP)
		return NULL;
	if (rc != 0)
		fail_msg("%s", err.text);
	return det;
}

static struct dip_detector *detector(const char *kernel, uint32_t width, uint32_t height,
	const struct dip_sites *sites, int64_t threshold)
{
	for (unsigned int i = 0; i < sites->count; i++)
		sites->site[i].threshold = threshold;
	return detector_of(kernel, width, height, sites, NULL);
}

/* What a pixel adds, by the definition, for the scalar kernel too; without maps that divide. */
static int64_t value_at(const uint16_t *pixels, const struct dip_pixels *p, size_t at)
{
	if (p == NULL)
		return pixels[at];
	if (p->hot != NULL && p->hot[at] != 0)
		return 0;
	if (p->least > 0)
		return (pixels[at] - (p->offset != NULL ? p->offset[at] : 0)) /
			       (p->gain != NULL ? p->gain[at] : 1) >=
		       p->least;
	return pixels[at] - (int64_t)(p->offset != NULL ? p->offset[at] : 0);
}

static int64_t sum_under(const uint16_t *pixels, uint32_t width, const struct dip_site *site,
	const struct dip_pixels *p)
{
	int64_t sum = 0;

	for (uint32_t k = 0; k < (uint32_t)site->h * site->w; k++) {
		size_t at = (size_t)(site->row + k / site->w) * width + site->col + k % site->w;

		sum += value_at(pixels, p, at) * (site->weights != NULL ? site->weights[k] : 1);
	}
	return sum;
}

/* Room for that many sums with a canary behind it. */
static void *sums_new(const struct dip_detector *det)
{
	size_t bytes = det->sites * dip_detector_sum_bytes(det);
	uint8_t *sums = aligned_alloc(64, (bytes + 8 + 63) / 64 * 64);

	assert_non_null(sums);
	memset(sums, 0xa5, bytes + 8);
	return sums;
}

/* The canary is alive. */
static void sums_free(const struct dip_detector *det, void *sums)
{
	uint8_t *end = (uint8_t *)sums + det->sites * dip_detector_sum_bytes(det);

	for (int i = 0; i < 8; i++)
		assert_int_equal(end[i], 0xa5);
	free(sums);
}

static void check_kernel(const char *kernel, const uint16_t *pixels, uint32_t width,
	uint32_t height, const struct dip_sites *sites, const struct dip_pixels *p)
{
	struct dip_detector *det = detector_of(kernel, width, height, sites, p);
	void *sums;

	if (det == NULL)
		return;
	assert_string_equal(det->kernel, kernel);
	assert_int_equal(det->sites, sites->count);
	assert_int_equal(det->scale, 1);
	/* Every other shape, as may be chosen for frames that come in no cache. */
	((struct patch *)det)->fetch_ahead = (sites->site[0].h + sites->site[0].w) % 2 == 0;
	sums = sums_new(det);
	det->ops->sums(det, pixels, sums);
	for (unsigned int i = 0; i < sites->count; i++) {
		const struct dip_site *s = &sites->site[i];

		if (dip_detector_sum(det, sums, i) != sum_under(pixels, width, s, p))
			fail_msg("%s, frame %ux%u, site %u (row %u, col %u, %ux%u, %s): found "
				 "%ld, expected %ld",
				kernel, height, width, i, s->row, s->col, s->h, s->w,
				s->weights != NULL ? "weights" : "box",
				(long)dip_detector_sum(det, sums, i),
				(long)sum_under(pixels, width, s, p));
	}
	sums_free(det, sums);
	det->ops->destroy(det);
}

static void check_all_under(const uint16_t *pixels, uint32_t width, uint32_t height,
	const struct dip_sites *sites, const struct dip_pixels *p)
{
	check_kernel("scalar", pixels, width, height, sites, p);
	for (size_t k = 0; k < COUNT(kernels); k++)
		check_kernel(kernels[k], pixels, width, height, sites, p);
}

static void check_all(
	const uint16_t *pixels, uint32_t width, uint32_t height, const struct dip_sites *sites)
{
	check_all_under(pixels, width, height, sites, NULL);
}

/* Both kinds of box at every edge: a box by itself at the four corners and in the middle, then
 * boxes side by side that fill the first and the last rows. */
static void check_size(
	const uint16_t *pixels, uint32_t width, uint32_t height, uint16_t h, uint16_t w)
{
	struct dip_site site[5 + 2 * 80];
	struct dip_sites sites = {.site = site};
	uint16_t bottom = (uint16_t)(height - h), right = (uint16_t)(width - w);
	uint16_t rest = (uint16_t)(width % w);

	site[sites.count++] = (struct dip_site){0, right, h, w};
	site[sites.count++] = (struct dip_site){bottom, right, h, w};
	site[sites.count++] = (struct dip_site){bottom, 0, h, w};
	site[sites.count++] = (struct dip_site){bottom / 2, right / 2, h, w};
	for (uint32_t col = 0; col + w <= width; col += w)
		site[sites.count++] = (struct dip_site){0, (uint16_t)col, h, w};
	for (uint32_t col = rest; col + w <= width; col += w)
		site[sites.count++] = (struct dip_site){bottom, (uint16_t)col, h, w};
	check_all(pixels, width, height, &sites);
}

/* Under the sanitizers, which take twenty times as long, every seventh size has to do. */
static uint16_t next_size(uint16_t size)
{
	return size + (size > 2 && getenv("DIP_SANITIZE") != NULL ? 7 : 1);
}

static void every_size(uint32_t width, uint32_t height, bool at_end, enum fill with)
{
	struct fenced f;

	fenced_open(&f, (size_t)width * height, at_end);
	fill(f.pixels, (size_t)width * height, with);
	for (uint16_t h = 1; h <= 64 && h <= height; h = next_size(h)) {
		for (uint16_t w = 1; w <= 64 && w <= width; w = next_size(w))
			check_size(f.pixels, width, height, h, w);
	}
	fenced_close(&f);
}

static void test_every_size_noise(void **state)
{
	(void)state;
	every_size(77, 67, true, NOISE);
	every_size(64, 64, true, NOISE);
	every_size(67, 65, false, NOISE);
}

static void test_every_size_full(void **state)
{
	(void)state;
	every_size(67, 65, true, ONES);
}

static void test_every_size_zero(void **state)
{
	(void)state;
	every_size(65, 67, true, ZEROS);
}

/* Frames that are smaller than a vector, down to one pixel. */
static void test_small_frames(void **state)
{
	(void)state;
	for (uint32_t width = 1; width <= 35; width = next_size(width)) {
		for (uint32_t height = 1; height <= 4; height++) {
			every_size(width, height, true, NOISE);
			every_size(width, height, false, ONES);
		}
	}
}

/* The sum may need all of its 32 bits: 65,537 pixels of 65,535. */
static void test_largest_boxes(void **state)
{
	static const struct dip_site shape[] = {
		{0, 0, 1, 65535},
		{0, 0, 65535, 1},
		{0, 0, 255, 257},
		{0, 0, 256, 256},
		{0, 0, 64, 1024},
		{0, 0, 63, 1040},
		{0, 0, 1820, 36},
		{0, 0, 300, 218},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(shape); i++) {
		for (enum fill with = ONES; with <= NOISE; with++) {
			struct dip_site site = shape[i];
			const struct dip_sites sites = {1, &site};
			struct fenced f;

			fenced_open(&f, (size_t)site.h * site.w, true);
			fill(f.pixels, (size_t)site.h * site.w, with);
			check_all(f.pixels, site.w, site.h, &sites);
			fenced_close(&f);
		}
	}
}

/* Boxes side by side, more and wider than a kernel takes at once. */
static void test_wide_rows(void **state)
{
	static const uint16_t widths[] = {1, 2, 3, 10, 15, 16, 17, 31, 32, 33, 100, 255, 256, 341,
		342, 511, 512, 513, 1024, 1025, 2100};
	struct fenced f;

	(void)state;
	fenced_open(&f, 2113 * 9, true);
	fill(f.pixels, 2113 * 9, NOISE);
	for (size_t i = 0; i < COUNT(widths); i++) {
		const struct dip_grid grid = {.row_end = 9,
			.col_end = 2113 - widths[i] + 1,
			.roi_h = 3,
			.roi_w = widths[i]};
		struct dip_sites sites;
		struct dip_error err;

		if (dip_sites_grid(&grid, 2113, 9, &sites, &err) != 0)
			fail_msg("%s", err.text);
		check_all(f.pixels, 2113, 9, &sites);
		dip_sites_free(&sites);
	}
	fenced_close(&f);
}

/* Any sites in any order, overlapping or twice the same, beside rows of a grid. */
static void test_irregular(void **state)
{
	struct dip_site site[400] = {0};
	const struct dip_sites sites = {COUNT(site), site};
	struct fenced f;

	(void)state;
	fenced_open(&f, 211 * 97, true);
	fill(f.pixels, 211 * 97, NOISE);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < COUNT(site); i++) {
			struct dip_site *s = &site[i];

			s->h = (uint16_t)(1 + random32() % 97);
			s->w = (uint16_t)(1 + random32() % (random32() % 2 ? 40 : 211));
			s->row = (uint16_t)(random32() % (97 - s->h + 1u));
			s->col = (uint16_t)(random32() % (211 - s->w + 1u));
			if (i > 0 && random32() % 2 && s[-1].col + 2 * s[-1].w <= 211) {
				*s = s[-1];
				s->col += s->w;
			}
			/* Neighbours that differ in height or in width only. */
			if (i > 0 && random32() % 8 == 0 && s->h > 1)
				s->h--;
			if (i > 0 && random32() % 8 == 0 && s->w > 1)
				s->w--;
			if (i > 0 && random32() % 8 == 0)
				*s = s[-1];
		}
		check_all(f.pixels, 211, 97, &sites);
	}
	fenced_close(&f);
}

/* Weights up to so many in magnitude: 0 and the extremes among them. */
static void fill_weights(int16_t *weights, size_t count, int32_t most)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t r = random32();

		weights[i] = (int16_t)(r % 7 == 0   ? 0
				       : r % 7 == 1 ? most
				       : r % 7 == 2 ? (most == INT16_MAX ? INT16_MIN : -most)
						    : (int32_t)(r >> 8) % (most + 1));
		if (r >> 31)
			weights[i] = (int16_t)(weights[i] == INT16_MIN ? INT16_MIN : -weights[i]);
	}
}

/* A row of patches at the top, one at the bottom, with gaps and without, and the corners: with one
 * patch of weights for all, or one for each. */
static void lay_weighted(struct dip_sites *sites, uint32_t width, uint32_t height, uint16_t h,
	uint16_t w, const int16_t *weights, bool shared, uint32_t gap)
{
	uint16_t bottom = (uint16_t)(height - h), right = (uint16_t)(width - w);
	struct dip_site *site = sites->site;

	sites->count = 0;
	site[sites->count++] = (struct dip_site){.row = 0, .col = right, .h = h, .w = w};
	site[sites->count++] = (struct dip_site){.row = bottom, .col = right, .h = h, .w = w};
	site[sites->count++] = (struct dip_site){.row = bottom / 2, .col = 0, .h = h, .w = w};
	for (uint32_t col = gap; col + w <= width; col += w + gap)
		site[sites->count++] =
			(struct dip_site){.row = 0, .col = (uint16_t)col, .h = h, .w = w};
	for (uint32_t col = width % w; col + w <= width; col += w + gap)
		site[sites->count++] =
			(struct dip_site){.row = bottom, .col = (uint16_t)col, .h = h, .w = w};
	for (unsigned int i = 0; i < sites->count; i++)
		site[i].weights = shared ? weights : weights + i % 7 * h * w;
}

static int16_t many_weights[7 * 64 * 64];

static void every_weighted_size(
	uint32_t width, uint32_t height, enum fill with, int32_t most, const struct dip_pixels *p)
{
	struct dip_site site[3 + 2 * 80];
	struct dip_sites sites = {.site = site};
	struct fenced f;

	fenced_open(&f, (size_t)width * height, (width + height) % 2);
	fill(f.pixels, (size_t)width * height, with);
	for (uint16_t h = 1; h <= 64 && h <= height; h += h < 4 ? 1 : 12) {
		for (uint16_t w = 1; w <= 64 && w <= width; w = next_size(w)) {
			/* As large as 32-bit sums allow, or larger. */
			int32_t bound = 32768 / (h * w);

			fill_weights(many_weights, 7u * h * w, most != 0 ? most : bound);
			lay_weighted(&sites, width, height, h, w, many_weights, h % 2, w % 4);
			check_all_under(f.pixels, width, height, &sites, p);
		}
	}
	fenced_close(&f);
}

static void test_weights_narrow(void **state)
{
	(void)state;
	every_weighted_size(77, 67, NOISE, 0, NULL);
	every_weighted_size(67, 64, ONES, 0, NULL);
	every_weighted_size(65, 66, ZEROS, 0, NULL);
}

static void test_weights_wide(void **state)
{
	(void)state;
	every_weighted_size(77, 67, NOISE, INT16_MAX, NULL);
	every_weighted_size(66, 64, ONES, INT16_MAX, NULL);
	every_weighted_size(65, 66, ZEROS, INT16_MAX, NULL); /* -32768 x -32768, twice a lane */
	every_weighted_size(65, 66, NOISE, 3000, NULL);
}

/* Weights of every size to 64 x 64, one patch in each corner of a frame that it nearly fills. */
static void test_weights_all_sizes(void **state)
{
	struct dip_site site[4];
	struct dip_sites sites = {.count = 4, .site = site};
	struct fenced f;

	(void)state;
	fenced_open(&f, 66 * 65, true);
	fill(f.pixels, 66 * 65, NOISE);
	fill_weights(many_weights, 64 * 64, 8);
	for (uint16_t h = 1; h <= 64; h = next_size(h)) {
		for (uint16_t w = 1; w <= 64; w = next_size(w)) {
			for (int i = 0; i < 4; i++)
				site[i] = (struct dip_site){.row = i / 2 ? 65 - h : 0,
					.col = i % 2 ? 66 - w : 0,
					.h = h,
					.w = w,
					.weights = many_weights};
			check_all(f.pixels, 66, 65, &sites);
		}
	}
	fenced_close(&f);
}

/* The pair of weights of -32,768 on pixels of 0 is the one sum of two products that 32 bits do not
 * hold. */
static void test_extreme_weights(void **state)
{
	static const int16_t extremes[] = {INT16_MIN, INT16_MAX, -1, 0};
	struct dip_site site[3] = {
		{.h = 3, .w = 2}, {.h = 3, .w = 2, .col = 1}, {.h = 3, .w = 2, .row = 1}};
	struct dip_sites sites = {.count = 3, .site = site};
	uint16_t pixels[12] __attribute__((aligned(64)));
	int16_t weights[6];

	(void)state;
	for (unsigned int n = 0; n < 4096; n++) {
		for (unsigned int k = 0; k < 6; k++)
			weights[k] = extremes[n >> 2 * k & 3];
		for (int i = 0; i < 3; i++)
			site[i].weights = weights;
		fill(pixels, 12, n % 3);
		check_all(pixels, 3, 4, &sites);
	}
}

/* Give each site a threshold that it can reach and miss under the maps; leave out those that have
 * none. */
static void reachable(struct dip_sites *sites, const struct dip_pixels *p)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < sites->count; i++) {
		struct dip_site *s = &sites->site[i];
		int64_t least = 0, most = 0;

		for (uint32_t k = 0; k < (uint32_t)s->h * s->w; k++) {
			size_t at = (size_t)(s->row + k / s->w) * 211 + s->col + k % s->w;
			int64_t weight = s->weights != NULL ? s->weights[k] : 1;
			double offset = p->offset != NULL ? p->offset[at] : 0;
			double gain = p->gain != NULL ? p->gain[at] : 1;

			if ((p->hot != NULL && p->hot[at]) ||
				(p->least > 0 && ceil(offset + gain * p->least) > UINT16_MAX))
				continue;
			if (p->least > 0) {
				least += weight < 0 ? weight : 0;
				most += weight > 0 ? weight : 0;
			} else {
				least += weight < 0 ? weight * UINT16_MAX : 0;
				most += weight > 0 ? weight * UINT16_MAX : 0;
				least -= weight * (int64_t)offset;
				most -= weight * (int64_t)offset;
			}
		}
		s->threshold = most;
		if (most > least)
			sites->site[kept++] = *s;
	}
	sites->count = kept;
}

/* Boxes and weights of several sizes in any order, overlapping, twice the same, in grids. */
static void irregular_weighted(const uint16_t *pixels, int32_t most, const struct dip_pixels *p)
{
	static struct dip_site site[600];
	struct dip_sites sites = {.count = 0, .site = site};

	fill_weights(many_weights, COUNT(many_weights), most);
	while (sites.count < COUNT(site)) {
		uint16_t h = (uint16_t)(1 + random32() % 20), w = (uint16_t)(1 + random32() % 40);
		uint16_t row = (uint16_t)(random32() % (97 - h + 1u));
		uint32_t col = random32() % (211 - w + 1u), gap = random32() % 40;
		uint32_t kind = random32() % 4, step = random32() % 8 == 0 ? 1u + w / 2 : w + gap;

		for (uint32_t n = random32() % 12; n > 0 && sites.count < COUNT(site); n--) {
			site[sites.count++] = (struct dip_site){.row = row,
				.col = (uint16_t)col,
				.h = h,
				.w = w,
				.weights = kind == 0   ? NULL
					   : kind == 1 ? many_weights
						       : many_weights + random32() % 1000};
			col += kind == 3 ? w + random32() % 4 : step;
			if (col + w > 211)
				break;
		}
	}
	for (unsigned int i = 0; i < sites.count; i++) { /* shuffle some */
		struct dip_site *x = &site[random32() % sites.count], y = *x;

		if (random32() % 2)
			continue;
		*x = site[i];
		site[i] = y;
	}
	for (unsigned int i = 0; i < sites.count; i++)
		site[i].name = "";
	if (p != NULL)
		reachable(&sites, p);
	check_all_under(pixels, 211, 97, &sites, p);
}

static void test_irregular_weighted(void **state)
{
	struct fenced f;

	(void)state;
	fenced_open(&f, 211 * 97, true);
	for (int round = 0; round < 60; round++) {
		fill(f.pixels, 211 * 97, round % 8 == 0 ? ONES : NOISE);
		irregular_weighted(f.pixels, round % 2 == 0 ? 40 : INT16_MAX, NULL);
	}
	fenced_close(&f);
}

static double map_offset[211 * 97], map_gain[211 * 97];
static uint8_t map_hot[211 * 97];

static void fill_maps(void)
{
	for (size_t i = 0; i < COUNT(map_hot); i++) {
		map_offset[i] = (int32_t)(random32() % 400) - 100;
		map_gain[i] = 0.25 * (1 + random32() % 16);
		map_hot[i] = random32() % 16 == 0;
	}
	map_offset[5] = 70000;  /* can never count */
	map_offset[6] = -70000; /* always does */
}

/* Pixels that count one each, hot ones, whole offsets: exact, so by the definition. */
static void test_pixel_modes(void **state)
{
	const struct dip_pixels modes[] = {
		{.least = 30000},
		{.least = 0.25},
		{.least = 65534.5},
		{.least = 3, .hot = map_hot},
		{.least = 1000.25, .offset = map_offset},
		{.least = 12000.5, .offset = map_offset, .gain = map_gain, .hot = map_hot},
		{.least = 9000, .gain = map_gain},
		{.hot = map_hot},
		{.offset = map_offset},
		{.offset = map_offset, .hot = map_hot},
	};
	struct fenced f;

	(void)state;
	fill_maps();
	fenced_open(&f, 211 * 97, true);
	/* Thresholds that are out of reach are refused under maps. */
	for (size_t m = 0; m < COUNT(modes); m++) {
		for (int round = 0; round < 6; round++) {
			fill(f.pixels, 211 * 97, NOISE);
			irregular_weighted(f.pixels, round % 2 == 0 ? 40 : INT16_MAX, &modes[m]);
		}
	}
	fenced_close(&f);
}

/* Under a gain a sum is in 1 / scale counts and as near to the truth as the header says: half a unit
 * of weight a pixel. All kernels agree to the bit. */
static void test_gain(void **state)
{
	const struct dip_pixels p = {.offset = map_offset, .gain = map_gain, .hot = map_hot};
	static struct dip_site site[300];
	struct dip_sites sites = {.count = COUNT(site), .site = site};
	static int64_t sums[3][300] __attribute__((aligned(64)));
	struct fenced f;

	(void)state;
	fill_maps();
	for (size_t i = 0; i < COUNT(map_offset); i++)
		map_offset[i] = fabs(map_offset[i]) + (double)(random32() % 100) / 100;
	fenced_open(&f, 211 * 97, true);
	fill(f.pixels, 211 * 97, NOISE);
	fill_weights(many_weights, 400, 20);
	for (int weighted = 0; weighted < 2; weighted++) {
		for (unsigned int i = 0; i < COUNT(site); i++) {
			uint16_t h = 2 + i % 9, w = 2 + i / 9 % 9;

			site[i] = (struct dip_site){.row = random32() % (97 - h),
				.col = random32() % (211 - w),
				.h = h,
				.w = w,
				.name = "x",
				.weights = weighted ? many_weights : NULL,
				.threshold = 1};
		}
		for (size_t k = 0; k < COUNT(all_kernels); k++) {
			struct dip_detector *det = detector_of(all_kernels[k], 211, 97, &sites, &p);

			if (det == NULL)
				continue;
			assert_true(det->scale > 1);
			assert_int_equal(det->scale & (det->scale - 1), 0);
			det->ops->sums(det, f.pixels, sums[2]);
			for (unsigned int i = 0; i < COUNT(site); i++) {
				const struct dip_site *s = &site[i];
				int64_t got = dip_detector_sum(det, sums[2], i);
				double want = 0, slack = 0.5;

				for (uint32_t n = 0; n < (uint32_t)s->h * s->w; n++) {
					size_t at = (size_t)(s->row + n / s->w) * 211 + s->col +
						    n % s->w;
					double value = f.pixels[at] - map_offset[at];

					if (map_hot[at])
						continue;
					want += value / map_gain[at] *
						(weighted ? many_weights[n] : 1);
					slack += 0.5 * fabs(value);
				}
				assert_int_equal(det->limit[i], det->scale - det->scale / 2);
				if (fabs((double)got - want * det->scale) > slack * (1 + 1e-9))
					fail_msg("%s, site %u: found %.6f, expected %.6f",
						all_kernels[k], i, (double)got / det->scale, want);
				if (k == 0)
					sums[0][i] = got;
				else
					assert_int_equal(got, sums[0][i]);
			}
			det->ops->destroy(det);
		}
	}
	fenced_close(&f);
}

static void test_maps_refused(void **state)
{
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	static double number[100];
	static uint8_t hot[100];
	struct dip_site site = {.row = 1, .col = 2, .h = 3, .w = 3, .name = "A", .threshold = 5};
	const struct dip_sites sites = {1, &site, NULL};
	struct dip_pixels p = {.gain = number};
	struct dip_detector_conf conf = {
		.width = 10, .height = 10, .sites = &sites, .pixels = &p, .kernel = "auto"};
	struct dip_detector *det = NULL;
	struct dip_error err;

	(void)state;
	for (int i = 0; i < 100; i++)
		number[i] = i == 23 ? 0 : 1;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "pois.gain_map: row 2, column 3, in site 0 (A): found 0"));
	p.hot = hot;
	hot[23] = 1; /* nobody asks a hot pixel */
	assert_int_equal(ops->create(&det, &conf, &err), 0);
	ops->destroy(det);
	det = NULL;
	number[12] = NAN;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	number[12] = 1e-6;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "pois.gain_map"));
	p = (struct dip_pixels){.offset = number};
	number[12] = INFINITY;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "pois.offset_map: row 1, column 2"));
	p = (struct dip_pixels){.least = 7};
	site.threshold = 10; /* nine pixels count nine at most */
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "site 0 (A)"));
	assert_non_null(strstr(err.text, "0 to 9"));
	site.threshold = 9;
	assert_int_equal(ops->create(&det, &conf, &err), 0);
	ops->destroy(det);
}

static void check_bits(
	const char *kernel, const uint16_t *pixels, unsigned int count, int64_t threshold)
{
	const struct dip_grid grid = {.row_end = 1, .col_end = count, .roi_h = 1, .roi_w = 1};
	unsigned int bytes = dip_occupancy_bytes(count), occupied = 0;
	struct dip_detector *det;
	void *sums;
	struct dip_sites sites;
	struct dip_error err;
	uint8_t bits[72];

	assert_int_equal(dip_sites_grid(&grid, count, 1, &sites, &err), 0);
	det = detector(kernel, count, 1, &sites, threshold);
	dip_sites_free(&sites); /* copied, so gone before use */
	if (det != NULL) {
		sums = sums_new(det);
		memset(bits, 0xff, sizeof(bits));
		occupied = det->ops->detect(det, pixels, sums, bits);
		for (unsigned int i = 0; i < bytes * 8; i++) {
			unsigned int want = i < count && pixels[i] >= threshold;

			assert_int_equal(bits[i / 8] >> i % 8 & 1, want);
			occupied -= want;
		}
		assert_int_equal(occupied, 0);
		assert_int_equal(bits[bytes], 0xff);
		sums_free(det, sums);
		det->ops->destroy(det);
	}
}

/* Every number of sites around whole vectors, bytes and words of bits. */
static void test_bits(void **state)
{
	static const int64_t thresholds[] = {0, 1, 30000, 32768, 65535, 65536, INT32_MAX, -5,
		INT32_MAX + 1ll, UINT32_MAX, INT64_MAX, INT64_MIN};
	static uint16_t pixels[512] __attribute__((aligned(64)));

	(void)state;
	fill(pixels, COUNT(pixels), NOISE);
	pixels[0] = pixels[3] = 30000;
	pixels[1] = pixels[4] = 29999;
	pixels[2] = UINT16_MAX;
	for (unsigned int count = 1; count <= 512; count += count < 140 ? 1 : 31) {
		for (size_t t = 0; t < COUNT(thresholds); t++) {
			check_bits("scalar", pixels, count, thresholds[t]);
			for (size_t k = 0; k < COUNT(kernels); k++)
				check_bits(kernels[k], pixels, count, thresholds[t]);
		}
	}
}

/* 32 bits are enough exactly as long as they hold the sum and its distance from the limit. */
static void test_width(void **state)
{
	static uint16_t pixels[65537] __attribute__((aligned(64)));
	static const struct {
		uint16_t h, w;
		int64_t below; /* the threshold is so much below the greatest sum */
		bool wide;
	} row[] = {
		{1, 32768, 0, false},
		{1, 32768, INT32_MAX, false},
		{1, 32768, INT32_MAX + 1ll, true},
		{1, 32768, -32767, false}, /* T = 2^31 - 1 */
		{1, 32768, -32768, true},
		{1, 32769, 0, true},
		{1, 32769, 1, true},
		{1, 65535, 0, true},
		{1, 65535, -1, true},
		{1, 1, INT64_MAX, true},
		{1, 1, -(INT64_MAX - 65535), true},
	};

	(void)state;
	fill(pixels, COUNT(pixels), ONES);
	for (size_t k = 0; k < COUNT(all_kernels); k++) {
		for (size_t i = 0; i < COUNT(row); i++) {
			struct dip_site site[9]; /* more than a vector holds, and one besides */
			const struct dip_sites sites = {COUNT(site), site};
			int64_t most = (int64_t)row[i].h * row[i].w * UINT16_MAX;
			int64_t sums[COUNT(site)] __attribute__((aligned(64)));
			struct dip_detector *det;
			uint8_t bits[8];

			for (size_t n = 0; n < COUNT(site); n++)
				site[n] = (struct dip_site){0, 0, row[i].h, row[i].w};
			det = detector(
				all_kernels[k], row[i].w, row[i].h, &sites, most - row[i].below);
			if (det == NULL)
				break;
			assert_int_equal(det->wide, row[i].wide);
			assert_int_equal(det->limit[0], most - row[i].below);
			assert_int_equal(det->ops->detect(det, pixels, sums, bits),
				row[i].below >= 0 ? COUNT(site) : 0);
			assert_int_equal(bits[0], row[i].below >= 0 ? 0xff : 0);
			assert_int_equal(bits[1], row[i].below >= 0);
			for (unsigned int n = 0; n < COUNT(site); n++)
				assert_int_equal(dip_detector_sum(det, sums, n), most);
			det->ops->destroy(det);
		}
	}
}

static void test_create_errors(void **state)
{
	struct dip_site site = {0, 0, 10, 10};
	struct dip_sites sites = {1, &site};
	struct dip_detector_conf conf = {
		.width = 300, .height = 300, .sites = &sites, .kernel = "sse9"};
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	struct dip_detector *det = NULL;
	struct dip_error err;

	(void)state;
	assert_non_null(ops);
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "\"sse9\""));
	assert_non_null(strstr(err.text, "auto"));
	assert_non_null(strstr(err.text, "scalar"));
	conf.kernel = "auto";
	site.row = 291;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "row 291, col 0 of 10x10"));
	site = (struct dip_site){0, 0, 0, 10};
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	site = (struct dip_site){0, 0, 258, 255};
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "258x255"));
	sites.count = 0;
	assert_int_equal(ops->create(&det, &conf, &err), -EINVAL);
	assert_null(det);
	ops->destroy(NULL);
}

/* Whatever is chosen for frames that come in no cache, each frame counts what it did; from one pixel on. */
static void test_expect_uncached(void **state)
{
	struct dip_site site[] = {{0, 0, 1, 1}, {1, 2, 3, 3}, {1, 5, 3, 3}, {4, 4, 2, 2}};
	const uint32_t side[] = {1, 9};
	uint16_t *pixels = aligned_alloc(64, 192);
	struct dip_sites sites = {.site = site};

	(void)state;
	assert_non_null(pixels);
	fill(pixels, 96, NOISE);
	for (size_t k = 0; k < COUNT(kernels); k++)
		for (size_t i = 0; i < COUNT(side); i++) {
			struct dip_detector *det;
			int32_t *sums[2];

			sites.count = i == 0 ? 1 : COUNT(site);
			det = detector(kernels[k], side[i], side[i], &sites, 5);
			if (det == NULL)
				continue;
			for (int after = 0; after < 2; after++) {
				sums[after] = sums_new(det);
				det->ops->sums(det, pixels, sums[after]);
				det->ops->expect_uncached(det);
			}
			assert_memory_equal(sums[0], sums[1], sites.count * sizeof(int32_t));
			sums_free(det, sums[0]);
			sums_free(det, sums[1]);
			det->ops->destroy(det);
		}
	free(pixels);
}

/* "auto" takes the best of those that this CPU has; what it lacks is said. */
static void test_choice(void **state)
{
	struct dip_site site = {0, 0, 1, 1};
	const struct dip_sites sites = {1, &site};
	struct dip_detector_conf conf = {.width = 300, .height = 300, .sites = &sites};
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	const char *best = "scalar";
	struct dip_detector *det;
	struct dip_error err;

	(void)state;
	for (size_t k = 0; k < COUNT(kernels); k++) {
		int rc;

		conf.kernel = kernels[k];
		rc = ops->create(&det, &conf, &err);
		if (rc == 0) {
			best = kernels[k];
			ops->destroy(det);
			continue;
		}
		print_message("not tested: %s\n", err.text);
#ifdef __x86_64__
		assert_int_equal(rc, -ENOTSUP);
		assert_non_null(strstr(err.text, kernels[k]));
#else
		assert_int_equal(rc, -EINVAL);
#endif
	}
	det = detector("auto", 300, 300, &sites, 5);
	assert_non_null(det);
	assert_string_equal(det->kernel, best);
	ops->destroy(det);
}

/* Skip the header of a sample image and read its 300 x 300 pixels; false when there is none. */
static bool load_sample(const char *folder, unsigned int index, uint16_t *pixels)
{
	char path[4096];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "%s/image_%04u.npy", folder, index);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	ok = pread(fd, pixels, 300 * 300 * 2, 128) == 300 * 300 * 2;
	close(fd);
	return ok;
}

static void check_samples(const char *folder, const char *kernel)
{
	static const int32_t first[] = {16, 13, 7, 0, 10, 6, 10, 12, 11, 7};
	static uint16_t pixels[300 * 300] __attribute__((aligned(64)));
	static int32_t sums[400] __attribute__((aligned(64)));
	const struct dip_grid grid = {50, 50, 250, 250, 10, 10};
	unsigned int occupied, all_occupied = 0, all = 0, frame;
	struct dip_detector *det;
	struct dip_sites sites;
	struct dip_error err;
	uint8_t bits[56];

	assert_int_equal(dip_sites_grid(&grid, 300, 300, &sites, &err), 0);
	det = detector(kernel, 300, 300, &sites, 5);
	dip_sites_free(&sites);
	if (det == NULL)
		return;
	assert_int_equal(det->sites, 400);
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(load_sample(folder, i, pixels));
		occupied = det->ops->detect(det, pixels, sums, bits);
		frame = 0;
		for (unsigned int s = 0; s < 400; s++)
			frame += sums[s];
		if (i == 0) {
			assert_memory_equal(sums, first, sizeof(first));
			assert_int_equal(frame, 4120);
			assert_int_equal(occupied, 366);
		}
		all += frame;
		all_occupied += occupied;
	}
	assert_int_equal(all, 367509);
	assert_int_equal(all_occupied, 34075);
	det->ops->destroy(det);
}

static void test_sample_images(void **state)
{
	const char *folder = getenv("DIP_SAMPLE_IMAGES");
	static uint16_t pixels[300 * 300];

	(void)state;
	if (folder == NULL)
		folder = "../shared/images/atoms-300x300";
	if (!load_sample(folder, 0, pixels)) {
		print_message("no sample images in %s; set DIP_SAMPLE_IMAGES\n", folder);
		skip();
	}
	check_samples(folder, "scalar");
	for (size_t k = 0; k < COUNT(kernels); k++)
		check_samples(folder, kernels[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_errors),
		cmocka_unit_test(test_expect_uncached),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_small_frames),
		cmocka_unit_test(test_every_size_noise),
		cmocka_unit_test(test_every_size_full),
		cmocka_unit_test(test_every_size_zero),
		cmocka_unit_test(test_largest_boxes),
		cmocka_unit_test(test_wide_rows),
		cmocka_unit_test(test_irregular),
		cmocka_unit_test(test_weights_narrow),
		cmocka_unit_test(test_weights_wide),
		cmocka_unit_test(test_weights_all_sizes),
		cmocka_unit_test(test_extreme_weights),
		cmocka_unit_test(test_irregular_weighted),
		cmocka_unit_test(test_pixel_modes),
		cmocka_unit_test(test_gain),
		cmocka_unit_test(test_maps_refused),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_sample_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
