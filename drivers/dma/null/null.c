/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_null: frames appear without a copy, so that what remains is the pipeline's own cost. */

#include "dma/source.h"

struct null {
	int64_t width, height, frames;
};

#define ARGUMENT(...) DIP_SOURCE_ARGUMENT(dma_null, struct null, __VA_ARGS__)

static const struct dip_option arguments[] = {
	{ARGUMENT(width, INT, "300", "pixels", "width of a frame"), .min = 1, .max = 65535},
	{ARGUMENT(height, INT, "300", "pixels", "height of a frame"), .min = 1, .max = 65535},
	{ARGUMENT(frames, INT, "0", "frames", "frames in one pass; 0: endless"), .min = 0,
		.max = 1e15},
};

static int null_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	const struct null *n = priv;

	(void)err;
	info->width = n->width;
	info->height = n->height;
	info->frames = n->frames;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	return 0;
}

static struct dip_source_ops null_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct null),
	.examine = null_examine,
};

DIP_SOURCE_REGISTER(dma_null, null_ops)
