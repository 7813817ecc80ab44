/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_file: a camera that plays .npy files. */

#include <errno.h>

#include "dma/source.h"
#include "dma/store.h"
#include "npy/npy.h"

struct file {
	char *path;
	struct dip_npy_set *set;
	struct dip_store store; /* all frames, read once */
};

static const struct dip_option arguments[] = {
	{DIP_SOURCE_ARGUMENT(dma_file, struct file, path, STRING, "", "",
		"a folder of .npy files, played in order of name, or one .npy file")},
};

static int file_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct file *f = priv;
	int ret;

	if (f->path[0] == '\0')
		return dip_fail(
			err, EINVAL, "no path; expected path=<folder of .npy files, or one>");
	ret = dip_npy_set_open(f->path, &f->set, err);
	if (ret < 0)
		return ret;
	info->width = dip_npy_set_width(f->set);
	info->height = dip_npy_set_height(f->set);
	info->frames = dip_npy_set_frames(f->set);
	info->max_queues = DIP_DMA_MAX_QUEUES;
	return 0;
}

static int file_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct file *f = priv;
	int ret;

	ret = dip_store_create(&f->store, info->frames,
		(size_t)info->width * info->height * sizeof(uint16_t), err);
	for (uint64_t i = 0; ret == 0 && i < info->frames; i++)
		ret = dip_npy_set_read(f->set, i, dip_store_frame(&f->store, i), err);
	return ret;
}

static void file_close(void *priv)
{
	struct file *f = priv;

	dip_npy_set_close(f->set);
	f->set = NULL;
	dip_store_free(&f->store);
}

static const uint16_t *file_locate(const void *priv, uint64_t seq)
{
	const struct file *f = priv;

	return dip_store_frame(&f->store, seq % f->store.count);
}

static struct dip_source_ops file_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct file),
	.examine = file_examine,
	.open = file_open,
	.locate = file_locate,
	.close = file_close,
};

DIP_SOURCE_REGISTER(dma_file, file_ops)
