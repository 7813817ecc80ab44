/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_error: a device that fails on demand, for tests.
 * --vdev=dma_error0,width=16,height=16,frames=0,fail_frame=N,fail_configure=N
 * fail_frame: the transfer of frame N (from 0) and all after it; fail_configure: the N-th
 * rte_rawdev_configure (from 1). Pixels are all equal to seq modulo 65,536. */

#include <errno.h>

#include "dma/source.h"

struct error_device {
	uint64_t fail_frame, fail_configure;
	uint64_t configured;
	uint32_t pixels;
};

static const char *const arguments[] = {
	"width", "height", "frames", "fail_frame", "fail_configure", NULL};

static int error_open(
	void *priv, struct rte_kvargs *args, struct dip_dma_info *info, struct dip_error *err)
{
	struct error_device *e = priv;
	uint64_t width = 0, height = 0;
	const struct {
		const char *key;
		uint64_t min, max, fallback, *out;
	} numbers[] = {
		{"width", 1, 65535, 16, &width},
		{"height", 1, 65535, 16, &height},
		{"frames", 0, UINT64_MAX, 0, &info->frames},
		{"fail_frame", 0, UINT64_MAX, UINT64_MAX, &e->fail_frame},
		{"fail_configure", 1, UINT64_MAX, 0, &e->fail_configure},
	};

	for (unsigned int i = 0; i < RTE_DIM(numbers); i++) {
		int ret = dip_source_number(args, numbers[i].key, numbers[i].min, numbers[i].max,
			numbers[i].fallback, numbers[i].out, err);

		if (ret < 0)
			return ret;
	}
	info->width = width;
	info->height = height;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	e->pixels = width * height;
	return 0;
}

static int error_configure(void *priv, const struct dip_dma_conf *conf)
{
	struct error_device *e = priv;

	(void)conf;
	return ++e->configured == e->fail_configure ? -EIO : 0;
}

static int error_fill(void *priv, uint64_t seq, uint16_t *pixels)
{
	const struct error_device *e = priv;

	if (seq >= e->fail_frame)
		return -EIO;
	for (uint32_t i = 0; i < e->pixels; i++)
		pixels[i] = seq;
	return 0;
}

static struct dip_source_ops error_ops = {
	.arguments = arguments,
	.private_size = sizeof(struct error_device),
	.open = error_open,
	.configure = error_configure,
	.fill = error_fill,
};

DIP_SOURCE_REGISTER(dma_error, error_ops)
