/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_file: a camera that plays .npy files: from memory, or, when they are too many for that, from
 * the disk. */

#include <errno.h>
#include <inttypes.h>

#include "dma/source.h"
#include "dma/store.h"
#include "dma/stream.h"
#include "npy/npy.h"

/* Frames asked for before they are read, so that the disk has more than one to do at a time. */
#define AHEAD 16

struct file {
	char *path;
	int64_t preload_bytes;
	struct dip_npy_set *set;
	uint64_t frames;
	/* one of them */
	struct dip_store store;    /* all frames, read once */
	struct dip_stream *stream; /* as many as there is memory for, read again and again */
};

static const struct dip_option arguments[] = {
	{DIP_SOURCE_ARGUMENT(dma_file, struct file, path, STRING, "", "",
		"a folder of .npy files, played in order of name, or one .npy file")},
	{DIP_SOURCE_ARGUMENT(dma_file, struct file, preload_bytes, INT, "1073741824", "bytes",
		 "memory for frames: when they all fit they are read before the start, else they "
		 "are read ahead from the disk while they are played"),
		.min = 1, .max = 1e15},
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

static int read_frame(void *priv, uint64_t index, uint16_t *pixels, struct dip_error *err)
{
	struct file *f = priv;
	int ret;

	dip_npy_set_expect(f->set, (index + AHEAD) % f->frames);
	ret = dip_npy_set_read(f->set, index, pixels, err);
	return ret == -ERANGE ? -EBADMSG : ret; /* of this frame only */
}

static int open_stream(struct file *f, size_t frame_bytes, struct dip_error *err)
{
	struct dip_stream_conf conf = {.frames = f->frames,
		.frame_bytes = frame_bytes,
		.held = f->preload_bytes / dip_store_stride(frame_bytes),
		.read = read_frame,
		.priv = f};
	const char *name;
	uint64_t whole = dip_npy_set_whole_bytes(f->set, &name);

	if (conf.held < 2)
		return dip_fail(err, EINVAL,
			"preload_bytes=%" PRId64 ": no room for two frames; expected at least %zu",
			f->preload_bytes, 2 * dip_store_stride(frame_bytes));
	if (whole > (uint64_t)f->preload_bytes)
		return dip_fail(err, EINVAL,
			"%s: a stack of %" PRIu64
			" bytes in Fortran order, which is read whole; expected at most "
			"preload_bytes=%" PRId64 ", or C order: numpy.ascontiguousarray(a)",
			name, whole, f->preload_bytes);
	return dip_stream_create(&conf, &f->stream, err);
}

static int file_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct file *f = priv;
	size_t frame_bytes = (size_t)info->width * info->height * sizeof(uint16_t);
	int ret;

	f->frames = info->frames;
	if (f->frames > f->preload_bytes / dip_store_stride(frame_bytes))
		return open_stream(f, frame_bytes, err);
	ret = dip_store_create(
		&f->store, info->frames, frame_bytes, dip_source_dma_memory(priv), err);
	for (uint64_t i = 0; ret == 0 && i < info->frames; i++)
		ret = dip_npy_set_read(f->set, i, dip_store_frame(&f->store, i), err);
	return ret;
}

static void file_close(void *priv)
{
	struct file *f = priv;

	dip_stream_free(f->stream);
	f->stream = NULL;
	dip_npy_set_close(f->set);
	f->set = NULL;
	dip_store_free(&f->store);
}

static const uint16_t *file_locate(const void *priv, uint64_t seq)
{
	const struct file *f = priv;

	return f->stream == NULL ? dip_store_frame(&f->store, seq % f->store.count) : NULL;
}

/* For the self test only: else the mover brings what is streamed. */
static int file_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	struct file *f = priv;

	(void)queue;
	return dip_stream_read(f->stream, seq, pixels);
}

static int file_submit(
	void *priv, uint16_t queue, unsigned int slot, uint64_t seq, struct dip_frame *frame)
{
	struct file *f = priv;

	return dip_stream_submit(f->stream, queue, slot, seq, frame);
}

static unsigned int file_reap(
	void *priv, uint16_t queue, struct dip_landed *landed, unsigned int max)
{
	struct file *f = priv;

	return dip_stream_reap(f->stream, queue, landed, max);
}

static int file_configure(
	void *priv, const struct dip_dma_conf *conf, const struct dip_mover **mover)
{
	static const struct dip_mover streaming = {
		.depth = DIP_STREAM_DEPTH, .submit = file_submit, .reap = file_reap};
	struct file *f = priv;

	if (f->stream == NULL)
		return 0;
	*mover = &streaming;
	return dip_stream_configure(f->stream, conf);
}

static int file_start(void *priv, const uint64_t *next_seq)
{
	struct file *f = priv;

	return f->stream != NULL ? dip_stream_start(f->stream, next_seq) : 0;
}

static void file_stop(void *priv)
{
	struct file *f = priv;

	if (f->stream != NULL)
		dip_stream_stop(f->stream);
}

static struct dip_source_ops file_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct file),
	.examine = file_examine,
	.open = file_open,
	.configure = file_configure,
	.start = file_start,
	.stop = file_stop,
	.locate = file_locate,
	.uncopied = "its frames are streamed from the disk, by a mover of their own; expected "
		    "preload_bytes that holds all of them, or engine=auto",
	.fill = file_fill,
	.close = file_close,
};

DIP_SOURCE_REGISTER(dma_file, file_ops)
