/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* ThreadSanitizer sees only what it has compiled. EAL and the mempool's back ends are libraries that it
 * has not, so it does not know what their hand-overs order; here it is told, and nothing more: a frame
 * that is read after it was put, or a descriptor taken from a ring by two, is still a race. Every file
 * of a build with -Db_sanitize=thread includes this first. */
#if defined(__has_include) && __has_include(<rte_mempool.h>)

/* As the files do that need it, before the same headers. */
#define ALLOW_EXPERIMENTAL_API

#include <sanitizer/tsan_interface.h>

#include <rte_lcore.h>
#include <rte_pause.h>

/* A producer of a ring with several waits with a relaxed load until the one before it has published,
 * and then publishes for both. On the processors that is enough. In C11, and so for the sanitizer, the
 * consumer is ordered after the earlier producer only if that load acquires. */
#define rte_wait_until_equal_32(at, value, order) rte_wait_until_equal_32(at, value, __ATOMIC_ACQUIRE)

#include <rte_launch.h>
#include <rte_mempool.h>

/* Pool: what was done with an object before it was given back is before what is done by who takes it. */
static inline int tsan_mempool_get_bulk(struct rte_mempool *pool, void **objects, unsigned int n)
{
	int ret = rte_mempool_get_bulk(pool, objects, n);

	for (unsigned int i = 0; ret == 0 && i < n; i++)
		__tsan_acquire(objects[i]);
	return ret;
}

static inline int tsan_mempool_get(struct rte_mempool *pool, void **object)
{
	return tsan_mempool_get_bulk(pool, object, 1);
}

static inline void tsan_mempool_put(struct rte_mempool *pool, void *object)
{
	__tsan_release(object);
	rte_mempool_put(pool, object);
}

#define rte_mempool_get_bulk tsan_mempool_get_bulk
#define rte_mempool_get tsan_mempool_get
#define rte_mempool_put tsan_mempool_put

/* Lcores: what the main lcore did before a launch is before the worker's function, and what that did is
 * before what follows the waiting for it. Both in one file. */
static struct {
	lcore_function_t *function;
	void *arg;
} tsan_launched[RTE_MAX_LCORE] __rte_unused;

static inline int tsan_launched_main(void *at)
{
	int ret;

	__tsan_acquire(at);
	ret = tsan_launched[rte_lcore_id()].function(tsan_launched[rte_lcore_id()].arg);
	__tsan_release(at);
	return ret;
}

static inline int tsan_remote_launch(lcore_function_t *function, void *arg, unsigned int id)
{
	tsan_launched[id].function = function;
	tsan_launched[id].arg = arg;
	__tsan_release(&tsan_launched[id]);
	return rte_eal_remote_launch(tsan_launched_main, &tsan_launched[id], id);
}

static inline int tsan_wait_lcore(unsigned int id)
{
	int ret = rte_eal_wait_lcore(id);

	__tsan_acquire(&tsan_launched[id]);
	return ret;
}

static inline void tsan_mp_wait_lcore(void)
{
	rte_eal_mp_wait_lcore();
	for (unsigned int id = 0; id < RTE_MAX_LCORE; id++)
		__tsan_acquire(&tsan_launched[id]);
}

#define rte_eal_mp_wait_lcore tsan_mp_wait_lcore
#define rte_eal_remote_launch tsan_remote_launch
#define rte_eal_wait_lcore tsan_wait_lcore

#endif
