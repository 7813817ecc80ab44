/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_file: a camera that plays .npy files. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "dma/source.h"
#include "npy/npy.h"

struct file {
	char *path;
	uint8_t *frames; /* all of them, read once */
	size_t store_bytes;
	size_t frame_bytes;
	size_t stride; /* from one frame to the next: each starts on a cache line */
	uint64_t count;
};

static const struct dip_option arguments[] = {
	{DIP_SOURCE_ARGUMENT(dma_file, struct file, path, STRING, "", "",
		"a folder of .npy files, played in order of name, or one .npy file")},
};

/* Ordinary memory in large pages where the kernel has them: what the "camera" sees costs no
 * hugepage of the pool. */
static int reserve_store(struct file *f, struct dip_error *err)
{
	f->store_bytes = RTE_ALIGN_CEIL(f->count * f->stride, (size_t)2 << 20);
	f->frames = mmap(
		NULL, f->store_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->frames == MAP_FAILED)
		return dip_fail(err, ENOMEM, "%zu bytes for the frames: %s; expected fewer frames",
			f->store_bytes, strerror(errno));
	madvise(f->frames, f->store_bytes, MADV_HUGEPAGE);
	return 0;
}

static void file_close(void *priv)
{
	struct file *f = priv;

	munmap(f->frames, f->store_bytes);
}

static int load(
	struct file *f, struct dip_npy_set *set, struct dip_dma_info *info, struct dip_error *err)
{
	int ret;

	info->width = dip_npy_set_width(set);
	info->height = dip_npy_set_height(set);
	info->frames = f->count = dip_npy_set_frames(set);
	info->max_queues = DIP_DMA_MAX_QUEUES;
	f->frame_bytes = (size_t)info->width * info->height * sizeof(uint16_t);
	f->stride = RTE_ALIGN_CEIL(f->frame_bytes, (size_t)RTE_CACHE_LINE_SIZE);
	ret = reserve_store(f, err);
	for (uint64_t i = 0; ret == 0 && i < f->count; i++) {
		ret = dip_npy_set_read(set, i, (uint16_t *)(f->frames + i * f->stride), err);
		if (ret < 0)
			file_close(f);
	}
	return ret;
}

static int file_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct file *f = priv;
	struct dip_npy_set *set = NULL;
	int ret;

	if (f->path[0] == '\0')
		return dip_fail(
			err, EINVAL, "no path; expected path=<folder of .npy files, or one>");
	ret = dip_npy_set_open(f->path, &set, err);
	if (ret == 0)
		ret = load(f, set, info, err);
	dip_npy_set_close(set);
	return ret;
}

static int file_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	const struct file *f = priv;

	(void)queue;
	memcpy(pixels, f->frames + seq % f->count * f->stride, f->frame_bytes);
	return 0;
}

static struct dip_source_ops file_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct file),
	.open = file_open,
	.fill = file_fill,
	.close = file_close,
};

DIP_SOURCE_REGISTER(dma_file, file_ops)
