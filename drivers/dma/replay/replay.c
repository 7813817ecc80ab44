/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_replay: an archived run, as if it were live. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

#include "replay.h"

RTE_LOG_REGISTER(replay_log, dip.replay, NOTICE);

#define ARGUMENT(...) DIP_SOURCE_ARGUMENT(dma_replay, struct replay, __VA_ARGS__)

static const struct dip_option arguments[] = {
	{ARGUMENT(path, STRING, "", "", "the folder of an archived run, or one segment")},
	{ARGUMENT(width, INT, "0", "pixels", "width of a frame, of a raw run"), .min = 0,
		.max = 65535},
	{ARGUMENT(height, INT, "0", "pixels", "height of a frame, of a raw run"), .min = 0,
		.max = 65535},
	{ARGUMENT(speed, FLOAT, "1.0", "", "how much faster than it was, when it is paced"),
		.min = 0, .max = 1e6, .min_open = true},
	{ARGUMENT(depth, INT, "64", "reads", "reads in flight at a time, of each queue"), .min = 1,
		.max = DIP_FLIGHTS},
	{ARGUMENT(direct, BOOL, "true", "",
		"read past the page cache (O_DIRECT) where that is possible")},
	{ARGUMENT(verify, BOOL, "true", "",
		"check the checksum of each frame; one that is damaged counts as missed")},
};

static int replay_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct replay *r = priv;
	int ret;

	if (r->path[0] == '\0')
		return dip_fail(err, EINVAL,
			"no path; expected path=<folder of an archived run, or one segment>");
	ret = replay_look(r, err);
	if (ret < 0)
		return ret;
	info->width = r->shape.width;
	info->height = r->shape.height;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	info->timed = r->npy;
	return 0;
}

static int replay_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct replay *r = priv;
	int ret = replay_index(r, err);

	if (ret == 0)
		ret = replay_lay_out(r, err);
	info->frames = r->records;
	info->uncached = r->direct && !r->verify; /* a checksum reads every pixel */
	return ret;
}

static int replay_configure(
	void *priv, const struct dip_dma_conf *conf, const struct dip_mover **mover)
{
	struct replay *r = priv;

	replay_reads_free(r);
	return replay_reads_create(r, conf, mover);
}

bool replay_intact(const struct replay *r, const struct replay_record *record, const void *image,
	const struct dip_trailer *t)
{
	if (t->magic != DIP_TRAILER_MAGIC || t->seq != record->seq)
		return false;
	return (t->flags & DIP_TRAILER_CRC) == 0 ||
	       dip_record_crc32c(image, r->image_bytes, t) == t->crc32c;
}

static bool read_whole(int fd, void *buf, size_t bytes, uint64_t offset)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(fd, (char *)buf + done, bytes - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += n;
	}
	return true;
}

/* Without io_uring, and for the self test: read and wait. */
static int replay_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	const struct replay *r = priv;
	const struct replay_record *record = replay_record_of(r, seq);
	const struct dip_reader *reader = r->segment[record->segment].reader;
	uint64_t offset = dip_reader_offset(reader, record->slot);
	struct dip_trailer trailer;

	(void)queue;
	if (!read_whole(reader->fd, pixels, r->image_bytes, offset))
		return -EIO;
	if (!r->npy || !r->verify)
		return 0;
	if (!read_whole(reader->fd, &trailer, sizeof(trailer), offset + r->image_bytes))
		return -EIO;
	return replay_intact(r, record, pixels, &trailer) ? 0 : -EBADMSG;
}

static void replay_close(void *priv)
{
	struct replay *r = priv;

	replay_reads_free(r);
	for (uint32_t i = 0; i < r->segments; i++) {
		if (r->segment[i].direct)
			close(r->segment[i].fd);
		dip_reader_close(r->segment[i].reader);
	}
	free(r->segment);
	free(r->record);
	r->segment = NULL;
	r->record = NULL;
	r->segments = r->records = r->room = 0;
}

static struct dip_source_ops replay_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct replay),
	.examine = replay_examine,
	.open = replay_open,
	.configure = replay_configure,
	.fill = replay_fill,
	.index = replay_count_below,
	.number = replay_number,
	.due_ns = replay_due_ns,
	.due_by = replay_due_by,
	.timestamp = replay_timestamp,
	.close = replay_close,
};

DIP_SOURCE_REGISTER(dma_replay, replay_ops)
