/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <rte_common.h>
#include <rte_cycles.h>

#include "dma/copy.h"

/* Frames larger than this are measured by their begin: it exceeds any L2. */
#define SAMPLE_MAX ((size_t)8 << 20)
#define MEASURE_HZ 100 /* a hundredth of a second */

static void copy_cached(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}

#ifdef __SSE2__
/* Whole lines, so that each leaves the write-combining buffer in one piece. */
static void copy_streaming(void *to, const void *from, size_t bytes)
{
	uint8_t *at = to;
	const uint8_t *in = from;
	size_t head = RTE_MIN(-(uintptr_t)at % RTE_CACHE_LINE_SIZE, bytes);

	memcpy(at, in, head);
	at += head;
	in += head;
	bytes -= head;
	for (; bytes >= 64; bytes -= 64, at += 64, in += 64) {
		__m128i a = _mm_loadu_si128((const __m128i *)in),
			b = _mm_loadu_si128((const __m128i *)(in + 16)),
			c = _mm_loadu_si128((const __m128i *)(in + 32)),
			d = _mm_loadu_si128((const __m128i *)(in + 48));

		_mm_stream_si128((__m128i *)at, a);
		_mm_stream_si128((__m128i *)(at + 16), b);
		_mm_stream_si128((__m128i *)(at + 32), c);
		_mm_stream_si128((__m128i *)(at + 48), d);
	}
	memcpy(at, in, bytes);
	_mm_sfence();
}
#else
/* This processor's streaming stores are not known here: the same bytes, through the cache. */
static void copy_streaming(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}
#endif

const struct dip_copier dip_copy_cached = {.name = "cached", .copy = copy_cached};
const struct dip_copier dip_copy_streaming = {.name = "streaming", .copy = copy_streaming};

const struct dip_copier *dip_copier_find(const char *name)
{
	if (strcmp(name, dip_copy_cached.name) == 0)
		return &dip_copy_cached;
	return strcmp(name, dip_copy_streaming.name) == 0 ? &dip_copy_streaming : NULL;
}

/* A word of each line: what a reader waits for. */
static uint64_t read_lines(const uint8_t *at, size_t bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + sizeof(uint64_t) <= bytes; i += RTE_CACHE_LINE_SIZE)
		sum += *(const volatile uint64_t *)(at + i);
	return sum;
}

static uint64_t copy_and_read(
	const struct dip_copier *copier, void *slab, const void *frame, size_t bytes)
{
	uint64_t begin = rte_rdtsc_precise();

	copier->copy(slab, frame, bytes);
	read_lines(slab, bytes);
	return rte_rdtsc_precise() - begin;
}

struct dip_copy_cost dip_copy_measure(void *slab, size_t bytes,
	const void *(*frame)(const void *priv, uint64_t i), const void *priv)
{
	struct dip_copy_cost cost = {UINT64_MAX, UINT64_MAX};
	uint64_t begin = rte_rdtsc(), limit = rte_get_tsc_hz() / MEASURE_HZ, i = 0;

	bytes = RTE_MIN(bytes, SAMPLE_MAX);
	do {
		uint64_t cached = copy_and_read(&dip_copy_cached, slab, frame(priv, i++), bytes),
			 streaming =
				 copy_and_read(&dip_copy_streaming, slab, frame(priv, i++), bytes);

		cost.cached = RTE_MIN(cost.cached, cached);
		cost.streaming = RTE_MIN(cost.streaming, streaming);
	} while (rte_rdtsc() - begin < limit);
	return cost;
}
