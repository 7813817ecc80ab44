/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_rawdev.h>

#include "dma/source.h"

#define SLABS 4
#define WAIT_S 5
#define PASS_MAX 256 /* frames looked at, of a source that has more or never ends */

static int compare(
	uint16_t dev_id, struct dip_frame *frame, uint64_t index, uint16_t *expected, size_t bytes)
{
	int ret = 0, result;
	uint64_t seq;

	memcpy(expected, frame->pixels, bytes); /* for a source that leaves pixels as they are */
	seq = dip_source_expected(dev_id, index, expected, &result);
	if (frame->seq != seq || frame->timestamp_ns == 0)
		ret = -EPROTO;
	else if (result < 0 || memcmp(expected, frame->pixels, bytes) != 0)
		ret = -EBADMSG;
	dip_frame_put(frame);
	return ret;
}

/* One frame, however long its transfer takes: 1; or 0 at the end, or a negative errno. */
static int wait_for_frame(uint16_t dev_id, struct rte_rawdev_buf *buf)
{
	struct rte_rawdev_buf *bufs[] = {buf};
	struct dip_dma_poll poll = {.queue = 0};
	uint64_t deadline = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;

	while (rte_rdtsc() < deadline) {
		int n = rte_rawdev_dequeue_buffers(dev_id, bufs, 1, &poll);

		if (n != 0 || poll.ended)
			return n;
		rte_pause();
	}
	return -ETIMEDOUT;
}

/* Take the whole pass, one frame at a time, and compare each. */
static int take_pass(uint16_t dev_id, uint64_t frames, uint16_t *expected, size_t bytes)
{
	struct rte_rawdev_buf buf;
	int ret = 0;

	for (uint64_t i = 0; i < frames && ret == 0; i++) {
		if (wait_for_frame(dev_id, &buf) != 1)
			return -EIO;
		ret = compare(dev_id, buf.buf_addr, i, expected, bytes);
	}
	if (ret == 0 && wait_for_frame(dev_id, &buf) != 0)
		ret = -EOVERFLOW;
	return ret;
}

static int run_pass(uint16_t dev_id, const struct dip_dma_info *info, struct dip_frame_pool *pool)
{
	size_t bytes = (size_t)info->width * info->height * sizeof(uint16_t);
	uint64_t frames = info->frames > 0 ? RTE_MIN(info->frames, (uint64_t)PASS_MAX) : PASS_MAX;
	struct dip_dma_conf conf = {.pool = pool, .queues = 1, .limit = frames, .block = true};
	struct rte_rawdev_info dev_conf = {.dev_private = &conf};
	uint16_t *expected = rte_malloc(NULL, bytes, RTE_CACHE_LINE_SIZE);
	int ret;

	if (expected == NULL)
		return -ENOMEM;
	ret = rte_rawdev_configure(dev_id, &dev_conf, sizeof(conf) - 1) == -EINVAL ? 0 : -EPROTO;
	if (ret == 0)
		ret = rte_rawdev_configure(dev_id, &dev_conf, sizeof(conf));
	if (ret == 0)
		ret = rte_rawdev_start(dev_id);
	if (ret < 0)
		goto out;
	ret = take_pass(dev_id, frames, expected, bytes);
	rte_rawdev_stop(dev_id);
	if (ret == 0 && (rte_rawdev_xstats_by_name_get(dev_id, "frames", NULL) != frames ||
				rte_rawdev_xstats_by_name_get(dev_id, "missed", NULL) != 0))
		ret = -EPROTO;
	if (ret == 0 && dip_frame_pool_available(pool) != SLABS)
		ret = -EBUSY;
out:
	rte_free(expected);
	return ret;
}

int dip_source_selftest(uint16_t dev_id)
{
	struct dip_dma_info info;
	struct rte_rawdev_info dev_info = {.dev_private = &info};
	struct dip_frame_pool_conf pool_conf = {
		.name = "dip_selftest", .slabs = SLABS, .lcores = 1, .socket = SOCKET_ID_ANY};
	struct dip_frame_pool *pool;
	int ret;

	ret = rte_rawdev_info_get(dev_id, &dev_info, sizeof(info));
	if (ret < 0)
		return ret;
	pool_conf.record_bytes =
		RTE_ALIGN((size_t)info.width * info.height * sizeof(uint16_t), 4096);
	ret = dip_frame_pool_create(&pool_conf, &pool, NULL);
	if (ret < 0)
		return ret;
	ret = run_pass(dev_id, &info, pool);
	dip_source_unconfigure(dev_id);
	dip_frame_pool_free(pool);
	return ret;
}
