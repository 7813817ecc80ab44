/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_null: frames appear without a copy, so that what remains is the pipeline's own cost.
 * --vdev=dma_null0,width=16,height=16,frames=0 (0: endless) */

#include "dma/source.h"

static const char *const arguments[] = {"width", "height", "frames", NULL};

static int null_open(
	void *priv, struct rte_kvargs *args, struct dip_dma_info *info, struct dip_error *err)
{
	uint64_t width, height;
	int ret;

	(void)priv;
	ret = dip_source_number(args, "width", 1, 65535, 300, &width, err);
	if (ret == 0)
		ret = dip_source_number(args, "height", 1, 65535, 300, &height, err);
	if (ret == 0)
		ret = dip_source_number(args, "frames", 0, UINT64_MAX, 0, &info->frames, err);
	if (ret < 0)
		return ret;
	info->width = width;
	info->height = height;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	return 0;
}

static struct dip_source_ops null_ops = {
	.arguments = arguments,
	.open = null_open,
};

DIP_SOURCE_REGISTER(dma_null, null_ops)
