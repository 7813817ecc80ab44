/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_error: a device that fails on demand, for tests. Pixels are all equal to seq modulo 65,536. */

#include <errno.h>

#include "dma/source.h"

struct error_device {
	int64_t width, height, frames, fail_frame, fail_configure;
	uint64_t configured;
	uint32_t pixels;
};

#define ARGUMENT(...) DIP_SOURCE_ARGUMENT(dma_error, struct error_device, __VA_ARGS__)

static const struct dip_option arguments[] = {
	{ARGUMENT(width, INT, "16", "pixels", "width of a frame"), .min = 1, .max = 65535},
	{ARGUMENT(height, INT, "16", "pixels", "height of a frame"), .min = 1, .max = 65535},
	{ARGUMENT(frames, INT, "0", "frames", "frames in one pass; 0: endless"), .min = 0,
		.max = 1e15},
	{ARGUMENT(fail_frame, INT, "-1", "frame",
		 "the transfer of this frame, and of all after it, fails; -1: none"),
		.min = -1, .max = 1e15},
	{ARGUMENT(fail_configure, INT, "0", "",
		 "this configuration, counted from 1, is refused; 0: none"),
		.min = 0, .max = 1e15},
};

static int error_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct error_device *e = priv;

	(void)err;
	info->width = e->width;
	info->height = e->height;
	info->frames = e->frames;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	e->pixels = e->width * e->height;
	return 0;
}

static int error_configure(
	void *priv, const struct dip_dma_conf *conf, const struct dip_mover **mover)
{
	struct error_device *e = priv;

	(void)conf;
	(void)mover;
	return ++e->configured == (uint64_t)e->fail_configure ? -EIO : 0;
}

static int error_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	const struct error_device *e = priv;

	(void)queue;
	if (seq >= (uint64_t)e->fail_frame) /* -1 is beyond all */
		return -EIO;
	for (uint32_t i = 0; i < e->pixels; i++)
		pixels[i] = seq;
	return 0;
}

static struct dip_source_ops error_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct error_device),
	.examine = error_examine,
	.configure = error_configure,
	.fill = error_fill,
};

DIP_SOURCE_REGISTER(dma_error, error_ops)
