/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#include "frame/frame.h"

#define PAGE 4096
/* For what else takes memory, where the caller does not say. */
#define SPARE_PAGES 32
#define CHUNK_MAX ((size_t)1 << 30)

/* Frames parked in one lcore's cache are out of another's reach: small pools do without. */
static unsigned int cache_size(uint32_t slabs, unsigned int lcores)
{
	return RTE_MIN(slabs / (16 * RTE_MAX(lcores, 1U)), 32U);
}

static uint32_t slabs_per_chunk(size_t record_bytes)
{
	return RTE_MAX(CHUNK_MAX / record_bytes, (size_t)1);
}

static size_t heap_free_bytes(void)
{
	struct rte_malloc_socket_stats stats;
	size_t bytes = 0;

	for (unsigned int i = 0; i < rte_socket_count(); i++)
		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0)
			bytes += stats.heap_freesz_bytes;
	return bytes;
}

/* What the kernel could still give an EAL that takes hugepages as it needs them. */
static size_t hugepages_free_bytes(void)
{
	unsigned long pages = 0, kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "HugePages_Free: %lu", &pages);
		sscanf(line, "Hugepagesize: %lu", &kib);
	}
	fclose(f);
	return pages * kib * 1024;
}

size_t dip_frame_pool_bytes(uint32_t slabs, size_t record_bytes)
{
	/* Of a frame: the object, its place in the stack. */
	return slabs * (record_bytes + sizeof(void *) +
			       rte_mempool_calc_obj_size(sizeof(struct dip_frame), 0, NULL));
}

/* heap: bytes that were free in it before the pool took any. */
static int fail_memory(const struct dip_frame_pool_conf *conf, size_t heap, struct dip_error *err)
{
	double mib = 1 << 20, needed = conf->total_bytes;
	unsigned int spare = needed == 0 ? SPARE_PAGES : 0;

	if (needed == 0)
		needed = (double)conf->slabs * conf->record_bytes;

	if (!rte_eal_has_hugepages())
		return dip_fail(err, ENOMEM,
			"main.slabs = %" PRIu32
			": needs %.0f bytes (slabs of %zu bytes), found %zu bytes "
			"free without hugepages; expected fewer slabs, or a larger EAL -m: -m %.0f",
			conf->slabs, needed, conf->record_bytes, heap, needed / mib + 64);
	return dip_fail(err, ENOMEM,
		"main.slabs = %" PRIu32
		": needs %.0f bytes (slabs of %zu bytes), found %zu bytes of free "
		"hugepages; expected fewer slabs, or more 2 MiB hugepages: echo %.0f > "
		"/proc/sys/vm/nr_hugepages; see scripts/doctor",
		conf->slabs, needed, conf->record_bytes, heap + hugepages_free_bytes(),
		ceil(needed / (2 * mib)) + spare);
}

/* Hugepages are there once reserved; ordinary pages come at the first touch, which must not be the
 * first frame's. */
static void touch_pages(const struct dip_frame_chunk *c)
{
	for (size_t offset = 0; offset < c->bytes; offset += PAGE)
		*(volatile char *)RTE_PTR_ADD(c->addr, offset) = 0;
}

static int reserve_chunks(
	struct dip_frame_pool *pool, const struct dip_frame_pool_conf *conf, struct dip_error *err)
{
	uint32_t per_chunk = slabs_per_chunk(conf->record_bytes), left = conf->slabs;
	size_t heap = heap_free_bytes();

	while (left > 0) {
		struct dip_frame_chunk *c = &pool->chunk[pool->chunks];
		uint32_t slabs = RTE_MIN(left, per_chunk);

		c->bytes = slabs * conf->record_bytes;
		c->addr = rte_malloc_socket("dip_slabs", c->bytes, PAGE, conf->socket);
		if (c->addr == NULL)
			return fail_memory(conf, heap, err);
		pool->chunks++;
		left -= slabs;
		if (!rte_eal_has_hugepages())
			touch_pages(c);
	}
	return 0;
}

static void frame_init(struct rte_mempool *mp, void *arg, void *obj, unsigned int index)
{
	struct dip_frame_pool *pool = arg;
	struct dip_frame *frame = obj;
	uint32_t per_chunk = slabs_per_chunk(pool->record_bytes);

	*frame = (struct dip_frame){.mempool = mp};
	frame->pixels = RTE_PTR_ADD(pool->chunk[index / per_chunk].addr,
		(size_t)(index % per_chunk) * pool->record_bytes);
}

/* A stack, so that the slab given back last, still in a cache, is the next one taken. */
static struct rte_mempool *create_mempool(const struct dip_frame_pool_conf *conf)
{
	struct rte_mempool *mp = rte_mempool_create_empty(conf->name, conf->slabs,
		sizeof(struct dip_frame), cache_size(conf->slabs, conf->lcores), 0, conf->socket,
		RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (mp == NULL)
		return NULL;
	if (rte_mempool_set_ops_byname(mp, "stack", NULL) != 0 ||
		rte_mempool_populate_default(mp) < 0) {
		rte_mempool_free(mp);
		return NULL;
	}
	return mp;
}

int dip_frame_pool_create(
	const struct dip_frame_pool_conf *conf, struct dip_frame_pool **out, struct dip_error *err)
{
	size_t heap = heap_free_bytes();
	struct dip_frame_pool *pool;
	uint32_t per_chunk;
	int ret;

	if (conf->record_bytes == 0 || conf->record_bytes % PAGE != 0)
		return dip_fail(err, EINVAL, "slab of %zu bytes: expected a multiple of %d",
			conf->record_bytes, PAGE);
	per_chunk = slabs_per_chunk(conf->record_bytes);
	pool = calloc(1, sizeof(*pool) + (conf->slabs + per_chunk - 1) / per_chunk *
						 sizeof(struct dip_frame_chunk));
	if (pool == NULL)
		return dip_fail(err, ENOMEM, "frame pool: out of memory");
	pool->slabs = conf->slabs;
	pool->record_bytes = conf->record_bytes;
	ret = reserve_chunks(pool, conf, err);
	if (ret < 0)
		goto fail;
	pool->mempool = create_mempool(conf);
	if (pool->mempool == NULL) {
		ret = rte_errno == EEXIST
			      ? dip_fail(err, EEXIST, "there is a pool %s already", conf->name)
			      : fail_memory(conf, heap, err);
		goto fail;
	}
	rte_mempool_obj_iter(pool->mempool, frame_init, pool);
	*out = pool;
	return 0;
fail:
	dip_frame_pool_free(pool);
	return ret;
}

void dip_frame_pool_free(struct dip_frame_pool *pool)
{
	if (pool == NULL)
		return;
	rte_mempool_free(pool->mempool);
	for (unsigned int i = 0; i < pool->chunks; i++)
		rte_free(pool->chunk[i].addr);
	free(pool);
}
