/* SPDX-License-Identifier: BSD-3-Clause */
#ifdef __aarch64__
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#include "patch.h"

/* The "neon" kernel: what the kernels for x86-64 do, in vectors of eight pixels. A product of two 16-bit
 * numbers has a lane of 32 bits to itself here, so that each column has a sum of its own. */

#define INLINE static inline __attribute__((always_inline))

#define LANES 8   /* pixels of a vector */
#define VECTORS 8 /* columns of vectors held in registers at once, two sums each */
#define LINE 32   /* pixels of a line of the cache */

#ifndef HWCAP_ASIMD
#define HWCAP_ASIMD (1 << 1)
#endif

static bool neon_supported(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
}

/* The pixels at `at`, or what belongs to them in a map, 0 beyond the frame. A row of a patch may end
 * within a vector; what else is in that is not used, as its weights are 0 or nobody takes its sum. */
INLINE uint16x8_t load(const struct patch *patch, const uint16_t *from, size_t at, bool inside)
{
	uint16_t tail[LANES] = {0};

	if (inside || patch->pixels - at >= LANES)
		return vld1q_u16(from + at);
	memcpy(tail, from + at, (patch->pixels - at) * sizeof(tail[0]));
	return vld1q_u16(tail);
}

/* What pixels add to the weights: see enum patch_counts. */
INLINE int16x8_t value_at(const struct patch *patch, const uint16_t *pixels, size_t at, bool inside,
	enum patch_counts counts)
{
	uint16x8_t v = load(patch, pixels, at, inside), least;

	if (counts == PATCH_AS_IT_IS)
		return vreinterpretq_s16_u16(veorq_u16(v, vdupq_n_u16(PATCH_BIAS)));
	if (counts == PATCH_FROM_LEAST)
		least = vdupq_n_u16(patch->least);
	else
		least = load(patch, patch->least_map, at, inside);
	return vreinterpretq_s16_u16(vshrq_n_u16(vcgeq_u16(v, least), 15));
}

/* Of a strip: so many vectors of columns from `at` on, which stand at weights and column. vectors,
 * counts and weighted are constants at each call. Boxes have no weights, and unsigned sums. */
INLINE void add_rows(const struct patch *patch, const struct patch_job *job, const uint16_t *pixels,
	size_t at, ptrdiff_t ahead, int vectors, enum patch_counts counts, bool weighted,
	const int16_t *weights, uint32_t *column)
{
	/* Only the last vector of the last row can leave the frame. */
	bool inside = at + (job->h - 1) * patch->stride + vectors * LANES <= patch->pixels;
	size_t row_weights = (job->width + 31) / 32 * 32;
	int32x4_t low[VECTORS], high[VECTORS];

	PATCH_UNROLL
	for (int i = 0; i < vectors; i++)
		low[i] = high[i] = vdupq_n_s32(0);
	for (uint32_t row = 0; row < job->h; row++, at += patch->stride) {
		PATCH_UNROLL
		for (int i = 0; i < vectors; i++) {
			size_t from = at + i * LANES;

			if (i % (LINE / LANES) == 0)
				__builtin_prefetch(pixels + from + ahead);
			if (!weighted) {
				uint16x8_t v = load(patch, pixels, from, inside);

				low[i] = vreinterpretq_s32_u32(
					vaddw_u16(vreinterpretq_u32_s32(low[i]), vget_low_u16(v)));
				high[i] = vreinterpretq_s32_u32(
					vaddw_high_u16(vreinterpretq_u32_s32(high[i]), v));
			} else {
				int16x8_t v = value_at(patch, pixels, from, inside, counts);
				int16x8_t w = vld1q_s16(weights + i * LANES);

				low[i] = vmlal_s16(low[i], vget_low_s16(v), vget_low_s16(w));
				high[i] = vmlal_high_s16(high[i], v, w);
			}
		}
		weights += weighted ? row_weights : 0;
	}
	PATCH_UNROLL
	for (int i = 0; i < vectors; i++) {
		vst1q_u32(column + i * LANES, vreinterpretq_u32_s32(low[i]));
		vst1q_u32(column + i * LANES + 4, vreinterpretq_u32_s32(high[i]));
	}
}

/* The sums of all columns of a strip: whole blocks of vectors, the rest vector by vector. */
INLINE void add_columns(const struct patch *patch, const struct patch_job *job, size_t offset,
	ptrdiff_t ahead, const uint16_t *pixels, enum patch_counts counts, bool weighted,
	uint32_t *column)
{
	const int16_t *weights = job->weights;
	uint32_t col = 0;

	for (; col + VECTORS * LANES <= job->width; col += VECTORS * LANES)
		add_rows(patch, job, pixels, offset + col, ahead, VECTORS, counts, weighted,
			weighted ? weights + col : NULL, column + col);
	for (; col < job->width; col += LANES)
		add_rows(patch, job, pixels, offset + col, ahead, 1, counts, weighted,
			weighted ? weights + col : NULL, column + col);
}

INLINE uint32_t add_lanes(const uint32_t *from, uint32_t count)
{
	uint32x4_t sum = vdupq_n_u32(0);
	uint32_t i = 0, all;

	for (; i + 4 <= count; i += 4)
		sum = vaddq_u32(sum, vld1q_u32(from + i));
	all = vaddvq_u32(sum);
	for (; i < count; i++)
		all += from[i];
	return all;
}

/* Divide column sums among the sites. */
INLINE void fold(const struct patch *patch, const struct patch_job *job, bool weighted,
	const uint32_t *column, int32_t *sums)
{
	const struct patch_place *place = &patch->place[job->first];
	const int32_t *bias = &patch->bias32[job->first];

	for (unsigned int i = 0; i < job->count; i++) {
		uint32_t first = weighted ? place[i].offset : i * job->w;
		uint32_t sum = add_lanes(column + first, job->w);

		sums[i] = (int32_t)(weighted ? sum + (uint32_t)bias[i] : sum);
	}
}

INLINE void sum_strips(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, enum patch_counts counts,
	bool weighted, int32_t *sums, size_t step)
{
	uint32_t column[PATCH_STRIP_PIXELS] __attribute__((aligned(64)));

	for (unsigned int i = 0; i < jobs; i++, job++, sums += step) {
		const struct patch_job *then = i + 1 < jobs ? job + 1 : next;

		add_columns(patch, job, job->offset,
			(ptrdiff_t)then->offset - (ptrdiff_t)job->offset, pixels, counts, weighted,
			column);
		fold(patch, job, weighted, column, sums);
	}
}

static void neon_strips(const struct patch *patch, const struct patch_job *job, unsigned int jobs,
	const struct patch_job *next, const uint16_t *pixels, int32_t *sums, size_t step)
{
	if (job->kind == PATCH_BOXES)
		sum_strips(patch, job, jobs, next, pixels, PATCH_AS_IT_IS, false, sums, step);
	else if (patch->counting && patch->least_map != NULL)
		sum_strips(patch, job, jobs, next, pixels, PATCH_FROM_MAP, true, sums, step);
	else if (patch->counting)
		sum_strips(patch, job, jobs, next, pixels, PATCH_FROM_LEAST, true, sums, step);
	else
		sum_strips(patch, job, jobs, next, pixels, PATCH_AS_IT_IS, true, sums, step);
}

/* A single site, modulo 2^32. */
INLINE int32_t sum_narrow(const struct patch *patch, const struct patch_job *job,
	const struct patch_place *place, const uint16_t *pixels, enum patch_counts counts)
{
	const size_t row_weights = patch_row(job->w);
	int32x4_t low = vdupq_n_s32(0), high = low;

	for (uint32_t col = 0; col < job->w; col += LANES) {
		const int16_t *weights = place->weights + col;
		size_t at = place->offset + col;

		for (uint32_t row = 0; row < job->h; row++) {
			int16x8_t v = value_at(patch, pixels, at, job->inside, counts);
			int16x8_t w = vld1q_s16(weights);

			low = vmlal_s16(low, vget_low_s16(v), vget_low_s16(w));
			high = vmlal_high_s16(high, v, w);
			at += patch->stride;
			weights += row_weights;
		}
	}
	return vaddvq_s32(vaddq_s32(low, high));
}

/* 64 bits wide, exact: lanes are taken over before they may be full. Of the two products that job->flush
 * allows for in a lane there is one here. */
INLINE int64_t sum_wide(const struct patch *patch, const struct patch_job *job,
	const struct patch_place *place, const uint16_t *pixels, enum patch_counts counts)
{
	const size_t row_weights = patch_row(job->w);
	int32x4_t low = vdupq_n_s32(0), high = low;
	int64x2_t sum = vdupq_n_s64(0);
	uint32_t until = job->flush;

	for (uint32_t col = 0; col < job->w; col += LANES) {
		const int16_t *weights = place->weights + col;
		size_t at = place->offset + col;

		for (uint32_t row = 0; row < job->h; row++) {
			int16x8_t v = value_at(patch, pixels, at, job->inside, counts);
			int16x8_t w = vld1q_s16(weights);

			low = vmlal_s16(low, vget_low_s16(v), vget_low_s16(w));
			high = vmlal_high_s16(high, v, w);
			at += patch->stride;
			weights += row_weights;
			if (--until > 0)
				continue;
			until = job->flush;
			sum = vpadalq_s32(vpadalq_s32(sum, low), high);
			low = high = vdupq_n_s32(0);
		}
	}
	return vaddvq_s64(vpadalq_s32(vpadalq_s32(sum, low), high));
}

INLINE void sum_singles(const struct patch *patch, const struct patch_job *job,
	const uint16_t *pixels, enum patch_counts counts, void *sums)
{
	for (unsigned int i = job->first; i < job->first + job->count; i++) {
		const struct patch_place *place = &patch->place[i];

		if (!patch->det.wide)
			((int32_t *)sums)[place->site] =
				(int32_t)((uint32_t)sum_narrow(patch, job, place, pixels, counts) +
					  (uint32_t)patch->bias32[i]);
		else if (job->flush > 0)
			((int64_t *)sums)[place->site] =
				patch->bias[i] + sum_wide(patch, job, place, pixels, counts);
		else
			((int64_t *)sums)[place->site] =
				patch_sum_site(patch, &patch->site[place->site], pixels);
	}
}

static void neon_singles(
	const struct patch *patch, const struct patch_job *job, const uint16_t *pixels, void *sums)
{
	if (patch->counting && patch->least_map != NULL)
		sum_singles(patch, job, pixels, PATCH_FROM_MAP, sums);
	else if (patch->counting)
		sum_singles(patch, job, pixels, PATCH_FROM_LEAST, sums);
	else
		sum_singles(patch, job, pixels, PATCH_AS_IT_IS, sums);
}

static unsigned int neon_compare(
	const int32_t *sums, const int32_t *limits, unsigned int count, uint8_t *bits)
{
	static const uint32_t weights[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint32x4_t low = vld1q_u32(weights), high = vld1q_u32(weights + 4);
	unsigned int occupied = 0, i = 0;

	for (; i + 8 <= count; i += 8) {
		uint32x4_t a = vcgeq_s32(vld1q_s32(sums + i), vld1q_s32(limits + i));
		uint32x4_t b = vcgeq_s32(vld1q_s32(sums + i + 4), vld1q_s32(limits + i + 4));

		bits[i / 8] = (uint8_t)vaddvq_u32(vorrq_u32(vandq_u32(a, low), vandq_u32(b, high)));
		occupied += (unsigned int)__builtin_popcount(bits[i / 8]);
	}
	if (i < count)
		occupied +=
			patch_kernel_scalar.compare(sums + i, limits + i, count - i, bits + i / 8);
	return occupied;
}

static unsigned int neon_compare_wide(
	const int64_t *sums, const int64_t *limits, unsigned int count, uint8_t *bits)
{
	static const uint64_t weights[2] = {1, 2};
	unsigned int occupied = 0, i = 0;

	for (; i + 2 <= count; i += 2) {
		uint64x2_t set = vcgeq_s64(vld1q_s64(sums + i), vld1q_s64(limits + i));
		unsigned int two = (unsigned int)vaddvq_u64(vandq_u64(set, vld1q_u64(weights)));

		bits[i / 8] |= (uint8_t)(two << i % 8);
		occupied += (unsigned int)__builtin_popcount(two);
	}
	if (i < count && sums[i] >= limits[i]) {
		bits[i / 8] |= (uint8_t)(1u << i % 8);
		occupied++;
	}
	return occupied;
}

const struct patch_kernel patch_kernel_neon = {
	.name = "neon",
	.needs = "Advanced SIMD",
	.supported = neon_supported,
	.strips = neon_strips,
	.singles = neon_singles,
	.compare = neon_compare,
	.compare_wide = neon_compare_wide,
};
#endif
