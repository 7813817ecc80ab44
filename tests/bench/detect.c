/* SPDX-License-Identifier: BSD-3-Clause */

/* How long the program's own kernels take for a frame, each in turn with what it is measured
 * against: a plain sum of the same pixels, the same sites without weights, or without noting what they
 * counted. Prints one JSON object:
 * for each case the nanoseconds of every round, of both.
 * Usage: detect CPU KERNEL SECONDS ROUNDS [CASE...]; SECONDS: of each round of each. */

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "detect/detector.h"
#include "process/site_stats.h"

#define HUGE ((size_t)2 << 20)
#define ROUNDS_MAX 1000
#define COLD_MAX 100000
#define WARM_SECONDS 0.5

/* h x w pixels, or a lattice of such patches every `pitch` pixels from `first` on. */
struct geometry {
	uint32_t side;  /* of the frame */
	uint32_t first; /* row and column of the first site */
	uint32_t count; /* sites along a side */
	uint32_t pitch, h, w;
};

enum rival { NONE, SUM_PIXELS, SWEEP_ROWS, BOXES, NOT_NOTED };

static const struct bench {
	const char *name;
	struct geometry at;
	bool weighted, cold;
	enum rival rival;
	uint32_t every; /* NOT_NOTED: proc.site_stats */
} benches[] = {
	{"boxes", {300, 50, 20, 10, 10, 10}, false, false, SUM_PIXELS},
	{"boxes-cold", {300, 50, 20, 10, 10, 10}, false, true, SWEEP_ROWS},
	{"weighted-10000", {1024, 12, 100, 10, 9, 9}, true, false, NONE},
	{"weighted-10000-cold", {1024, 12, 100, 10, 9, 9}, true, true, SWEEP_ROWS},
	{"noted-every-16", {300, 50, 20, 10, 10, 10}, false, false, NOT_NOTED, 16},
	{"noted-all", {300, 50, 20, 10, 10, 10}, false, false, NOT_NOTED, 1},
	{"weighted-2x2", {300, 50, 100, 2, 2, 2}, true, false, BOXES},
	{"weighted-3x3", {300, 50, 66, 3, 3, 3}, true, false, BOXES},
	{"weighted-5x5", {300, 50, 40, 5, 5, 5}, true, false, BOXES},
	{"weighted-9x9", {300, 50, 22, 9, 9, 9}, true, false, BOXES},
	{"weighted-10x10", {300, 50, 20, 10, 10, 10}, true, false, BOXES},
	{"weighted-7x7-every-10", {300, 50, 20, 10, 7, 7}, true, false, BOXES},
	{"weighted-9x9-every-11", {300, 50, 18, 11, 9, 9}, true, false, BOXES},
	{"weighted-16x16", {300, 50, 12, 16, 16, 16}, true, false, BOXES},
	{"weighted-20x20", {300, 50, 10, 20, 20, 20}, true, false, BOXES},
	{"weighted-32x32", {300, 50, 6, 32, 32, 32}, true, false, BOXES},
	{"weighted-64x64", {300, 50, 3, 64, 64, 64}, true, false, BOXES},
};

#define BENCHES (sizeof(benches) / sizeof(benches[0]))

static double seconds;
static const char *kernel;
static volatile uint64_t sink;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void *reserve(size_t bytes)
{
	size_t whole = (bytes + HUGE - 1) / HUGE * HUGE;
	uint8_t *p = mmap(
		NULL, whole + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("detect: mmap");
		exit(1);
	}
	p = (uint8_t *)(((uintptr_t)p + HUGE - 1) / HUGE * HUGE);
	madvise(p, whole, MADV_HUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

/* Something to measure. */
struct work {
	const struct bench *bench;
	const struct dip_detector *det; /* NULL: the rival that only reads */
	uint16_t *pixels;
	void *sums;
	uint8_t *bits;
	struct dip_site_stats *stats; /* NULL: nothing is noted */
};

#ifdef __x86_64__
/* The plain sum: whole vectors along each stretch of pixels, several sums at once so that none waits for
 * the last. The rest is in a vector that ends with the stretch, of whose pixels only the new ones count:
 * a vector that begins there, masked, would read another line of the cache, and was slower. */
__attribute__((target("avx512f,avx512bw"))) static uint64_t sum_avx512(
	const uint16_t *p, size_t stride, uint32_t rows, uint32_t width)
{
	const __m512i ones = _mm512_set1_epi16(1);
	const __m512i rest = _mm512_maskz_set1_epi16(~(UINT32_MAX >> width % 32), 1);
	__m512i sum[4] = {0};

	for (uint32_t r = 0; r < rows; r++, p += stride) {
		uint32_t col = 0;

		for (; col + 128 <= width; col += 128)
			for (int k = 0; k < 4; k++)
				sum[k] = _mm512_add_epi32(sum[k],
					_mm512_madd_epi16(
						_mm512_loadu_si512(p + col + 32 * k), ones));
		for (; col + 32 <= width; col += 32)
			sum[0] = _mm512_add_epi32(
				sum[0], _mm512_madd_epi16(_mm512_loadu_si512(p + col), ones));
		if (col < width) /* which is 32 at least */
			sum[3] = _mm512_add_epi32(sum[3],
				_mm512_madd_epi16(_mm512_loadu_si512(p + width - 32), rest));
	}
	for (int k = 1; k < 4; k++)
		sum[0] = _mm512_add_epi32(sum[0], sum[k]);
	return (uint32_t)_mm512_reduce_add_epi32(sum[0]);
}

__attribute__((target("avx2,tune=haswell"))) static uint64_t sum_avx2(
	const uint16_t *p, size_t stride, uint32_t rows, uint32_t width)
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i sum[4] = {0};
	uint32_t lanes[8];
	uint64_t tail = 0;

	for (uint32_t r = 0; r < rows; r++, p += stride) {
		uint32_t col = 0;

		for (; col + 64 <= width; col += 64)
			for (int k = 0; k < 4; k++)
				sum[k] = _mm256_add_epi32(sum[k],
					_mm256_madd_epi16(
						_mm256_loadu_si256(
							(const __m256i *)(p + col + 16 * k)),
						ones));
		for (; col + 16 <= width; col += 16)
			sum[0] = _mm256_add_epi32(sum[0],
				_mm256_madd_epi16(
					_mm256_loadu_si256((const __m256i *)(p + col)), ones));
		for (; col < width; col++)
			tail += p[col];
	}
	for (int k = 1; k < 4; k++)
		sum[0] = _mm256_add_epi32(sum[0], sum[k]);
	_mm256_storeu_si256((__m256i *)lanes, sum[0]);
	for (int k = 0; k < 8; k++)
		tail += lanes[k];
	return tail;
}
#endif

static uint64_t sum_plain(const uint16_t *p, size_t stride, uint32_t rows, uint32_t width)
{
	uint64_t sum = 0;

#ifdef __x86_64__
	if (strcmp(kernel, "avx512") == 0)
		return sum_avx512(p, stride, rows, width);
	if (strcmp(kernel, "avx2") == 0)
		return sum_avx2(p, stride, rows, width);
#endif
	for (uint32_t r = 0; r < rows; r++, p += stride)
		for (uint32_t c = 0; c < width; c++)
			sum += p[c];
	return sum;
}

static void decide(const struct work *w)
{
	unsigned int occupied = w->det->ops->detect(w->det, w->pixels, w->sums, w->bits);

	if (w->stats != NULL)
		dip_site_stats_note(w->stats, w->det, w->sums, sink, occupied, 0);
	sink += occupied;
}

static void run_once(const struct work *w)
{
	const struct geometry *g = &w->bench->at;
	uint32_t span = (g->count - 1) * g->pitch;

	if (w->det != NULL)
		decide(w);
	else if (w->bench->rival == SUM_PIXELS)
		sink += sum_plain(w->pixels + (size_t)g->first * g->side + g->first, g->side,
			span + g->h, span + g->w);
	else /* every row that a site touches, from end to end */
		sink += sum_plain(
			w->pixels + (size_t)g->first * g->side, 0, 1, (span + g->h) * g->side);
}

static void chill(const struct work *w)
{
#ifdef __x86_64__
	size_t bytes = (size_t)w->bench->at.side * w->bench->at.side * 2;

	for (size_t i = 0; i < bytes; i += 64)
		_mm_clflush((const uint8_t *)w->pixels + i);
	_mm_mfence();
#else
	(void)w;
#endif
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nanoseconds of a frame that is in no cache: the median. */
static double time_cold(const struct work *w)
{
	static double ns[COLD_MAX];
	double end = now() + seconds;
	int n = 0;

	while (n < COLD_MAX && (n == 0 || now() < end)) {
		double begin;

		chill(w);
		begin = now();
		run_once(w);
		ns[n++] = (now() - begin) * 1e9;
	}
	qsort(ns, n, sizeof(ns[0]), compare_doubles);
	return ns[n / 2];
}

/* The same frame again and again: the mean. */
static double time_hot(const struct work *w)
{
	double begin = now(), elapsed;
	uint64_t n = 0;

	do {
		for (int i = 0; i < 64; i++)
			run_once(w);
		n += 64;
		elapsed = now() - begin;
	} while (elapsed < seconds);
	return elapsed / (double)n * 1e9;
}

static double time_it(const struct work *w)
{
	return w->bench->cold ? time_cold(w) : time_hot(w);
}

/* A spot, brightest in the middle, as small as the frame allows: 32-bit sums hold it. */
static const int16_t *spot(uint32_t h, uint32_t w)
{
	int16_t *weights = malloc((size_t)h * w * sizeof(*weights));
	int32_t most = 32768 / (int32_t)(h * w);

	for (uint32_t r = 0; r < h; r++)
		for (uint32_t c = 0; c < w; c++)
			weights[r * w + c] =
				(int16_t)(most - (int32_t)((r * 7 + c * 3) % (2 * most)));
	return weights;
}

static struct dip_detector *make(const struct geometry *g, bool weighted)
{
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	struct dip_sites sites = {.count = g->count * g->count};
	const int16_t *weights = weighted ? spot(g->h, g->w) : NULL;
	struct dip_detector_conf conf = {
		.width = g->side, .height = g->side, .sites = &sites, .kernel = kernel};
	struct dip_detector *det;
	struct dip_error err;

	sites.site = calloc(sites.count, sizeof(sites.site[0]));
	for (unsigned int i = 0; i < sites.count; i++)
		sites.site[i] = (struct dip_site){.row = g->first + i / g->count * g->pitch,
			.col = g->first + i % g->count * g->pitch,
			.h = g->h,
			.w = g->w,
			.weights = weights,
			.name = "",
			.threshold = 5};
	if (ops->create(&det, &conf, &err) < 0) {
		fprintf(stderr, "detect: %s\n", err.text);
		exit(2);
	}
	dip_sites_free(&sites);
	return det;
}

static void measure(const struct bench *b, uint16_t *pixels, int rounds, bool first)
{
	struct dip_detector *det = make(&b->at, b->weighted), *boxes = NULL;
	static double ns[2][ROUNDS_MAX];
	struct work works[2] = {{.bench = b, .det = det, .pixels = pixels}};

	if (b->cold)
		det->ops->expect_uncached(det);
	works[0].sums = reserve(det->sites * sizeof(int64_t));
	works[0].bits = reserve(dip_occupancy_bytes(det->sites));
	works[1] = works[0];
	if (b->rival == BOXES)
		boxes = make(&b->at, false);
	works[1].det = b->rival == NOT_NOTED ? det : boxes;
	if (b->rival == NOT_NOTED)
		works[0].stats = dip_site_stats_create(0, det, b->every);
	for (int r = 0; r < rounds; r++)
		for (int k = 0; k < (b->rival == NONE ? 1 : 2); k++)
			ns[k ^ r % 2][r] = time_it(&works[b->rival == NONE ? 0 : k ^ r % 2]);
	printf("%s\n \"%s\": {\"sites\": %u, \"wide\": %s", first ? "" : ",", b->name, det->sites,
		det->wide ? "true" : "false");
	for (int k = 0; k < (b->rival == NONE ? 1 : 2); k++) {
		printf(", \"%s\": [", k == 0 ? "ns" : "rival_ns");
		for (int r = 0; r < rounds; r++)
			printf("%s%.1f", r > 0 ? ", " : "",
				b->rival == NONE ? ns[r % 2][r] : ns[k][r]);
		printf("]");
	}
	printf("}");
	det->ops->destroy(det);
	if (boxes != NULL)
		boxes->ops->destroy(boxes);
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0) {
		perror("detect: CPU");
		exit(2);
	}
}

static bool wanted(const char *name, char **list)
{
	if (*list == NULL)
		return true;
	for (; *list != NULL; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

/* Until the processor's clock is what it will be. */
static void warm_up(const struct dip_detector *det, uint16_t *pixels)
{
	const struct work w = {.bench = &benches[0],
		.det = det,
		.pixels = pixels,
		.sums = reserve(det->sites * sizeof(int64_t)),
		.bits = reserve(dip_occupancy_bytes(det->sites))};

	for (double end = now() + WARM_SECONDS; now() < end;)
		time_hot(&w);
}

int main(int argc, char **argv)
{
	int rounds = argc > 4 ? atoi(argv[4]) : 0;
	struct dip_detector *det;
	bool first = true;
	uint16_t *pixels;

	if (argc < 5 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: detect CPU KERNEL SECONDS ROUNDS [CASE...]\n");
		return 2;
	}
	pin(atoi(argv[1]));
	kernel = argv[2];
	seconds = atof(argv[3]);
	det = make(&benches[0].at, false);
	kernel = det->kernel;
	pixels = reserve((size_t)1024 * 1024 * 2);
	for (size_t i = 0; i < (size_t)1024 * 1024; i++)
		pixels[i] = i * 2654435761u >> 16;
	warm_up(det, pixels);
	printf("{\"kernel\": \"%s\", \"cases\": {", kernel);
	for (size_t i = 0; i < BENCHES; i++) {
		if (!wanted(benches[i].name, argv + 5))
			continue;
		measure(&benches[i], pixels, rounds, first);
		first = false;
	}
	printf("\n}}\n");
	return 0;
}
