/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A source with a pool of its own, driven as its user drives it. */

#include "eal_fixture.h"

#include <rte_bus_vdev.h>
#include <rte_rawdev.h>
#include <rte_rawdev_pmd.h>

#include "dma/dma.h"

#define BURST 32u
#define SLABS 64

struct rig {
	char name[32];
	uint16_t id;
	struct dip_dma_info info;
	struct dip_frame_pool *pool;
};

/* What a test that failed has left behind. */
static inline int clean_up(void **state)
{
	(void)state;
	for (unsigned int id = 0; id < RTE_RAWDEV_MAX_DEVS; id++) {
		struct rte_mempool *pool;
		char name[64];

		if (!rte_rawdevs[id].attached)
			continue;
		snprintf(name, sizeof(name), "%s", rte_rawdevs[id].name);
		rte_rawdev_stop(id);
		rte_vdev_uninit(name);
		pool = rte_mempool_lookup(name);
		rte_mempool_free(pool);
	}
	return 0;
}

static inline void open_device(struct rig *r, const char *name, const char *args)
{
	struct rte_rawdev_info info = {.dev_private = &r->info};

	snprintf(r->name, sizeof(r->name), "%s", name);
	assert_int_equal(rte_vdev_init(name, args), 0);
	r->id = rte_rawdev_get_dev_id(name);
	memset(&r->info, 0xff, sizeof(r->info));
	assert_int_equal(rte_rawdev_info_get(r->id, &info, sizeof(r->info)), 0);
	r->pool = NULL;
}

static inline void make_pool(struct rig *r, uint32_t slabs)
{
	struct dip_frame_pool_conf conf = {
		.name = r->name,
		.slabs = slabs,
		.record_bytes = RTE_ALIGN_CEIL(r->info.width * r->info.height * 2u, 4096u),
		.lcores = EAL_WORKERS + 1,
		.socket = SOCKET_ID_ANY,
	};
	struct dip_error err = {""};

	if (dip_frame_pool_create(&conf, &r->pool, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int configure(struct rig *r, const struct dip_dma_conf *conf)
{
	struct dip_dma_conf full = *conf;
	struct rte_rawdev_info info = {.dev_private = &full};

	if (full.pool == NULL)
		full.pool = r->pool;
	if (full.queues == 0)
		full.queues = 1;
	return rte_rawdev_configure(r->id, &info, sizeof(full));
}

static inline void open_started(
	struct rig *r, const char *name, const char *args, const struct dip_dma_conf *conf)
{
	open_device(r, name, args);
	make_pool(r, SLABS);
	assert_int_equal(configure(r, conf), 0);
	assert_int_equal(rte_rawdev_start(r->id), 0);
}

/* Every frame must be back. */
static inline void close_device(struct rig *r)
{
	rte_rawdev_stop(r->id);
	assert_int_equal(rte_vdev_uninit(r->name), 0);
	if (r->pool != NULL)
		assert_int_equal(dip_frame_pool_available(r->pool), r->pool->slabs);
	dip_frame_pool_free(r->pool);
}

static inline uint64_t xstat(const struct rig *r, const char *name)
{
	return rte_rawdev_xstats_by_name_get(r->id, name, NULL);
}

static inline int dequeue(
	const struct rig *r, struct dip_dma_poll *poll, struct dip_frame **frames, unsigned int n)
{
	struct rte_rawdev_buf buf[BURST], *bufs[BURST];
	int got;

	for (unsigned int i = 0; i < n; i++)
		bufs[i] = &buf[i];
	got = rte_rawdev_dequeue_buffers(r->id, bufs, n, poll);
	for (int i = 0; i < got; i++)
		frames[i] = buf[i].buf_addr;
	return got;
}
