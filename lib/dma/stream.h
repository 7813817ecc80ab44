/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dma/source.h"

/* The frames of a source that are too many for its memory: a thread reads ahead of the device, in
 * order, into a store that holds as many as may be; the queues' threads copy them from there and
 * never wait for a disk.
 *
 *	         earliest wanted        next to be read
 *	               v                      v
 *	... done, may be overwritten | there | not yet ...
 *	               <--- as many as the store holds --->
 *
 * Wanted is whatever is on its way in a queue, and what the device has not come to. A frame that is
 * found wanted after it was passed (its number had been taken, its transfer not yet begun) is read
 * again: late, but never wrong. */

struct dip_stream_conf {
	uint64_t frames;    /* in one pass */
	size_t frame_bytes; /* of each */
	uint64_t held;      /* frames that the store holds, at least 2 */

	/* Read a frame of the pass. Returns 0, or a negative errno with *err: -EBADMSG when only that
	 * frame is bad; else the device fails. Called by one thread at a time. */
	int (*read)(void *priv, uint64_t index, uint16_t *pixels, struct dip_error *err);
	void *priv;
};

struct dip_stream;

/* Reserve the store and read the first frames into it. Returns 0, or a negative errno with *err. */
int dip_stream_create(
	const struct dip_stream_conf *conf, struct dip_stream **stream, struct dip_error *err);
void dip_stream_free(struct dip_stream *stream); /* NULL is allowed */

/* Before a configuration takes effect. Returns 0 or -ENOMEM. */
int dip_stream_configure(struct dip_stream *stream, const struct dip_dma_conf *conf);

/* The thread, as dip_source_ops starts and stops a source. What it cannot read it says once. */
int dip_stream_start(struct dip_stream *stream, const uint64_t *next_seq);
void dip_stream_stop(struct dip_stream *stream);

/* As those of struct dip_mover. */
#define DIP_STREAM_DEPTH 32
int dip_stream_submit(struct dip_stream *stream, uint16_t queue, unsigned int slot, uint64_t seq,
	struct dip_frame *frame);
unsigned int dip_stream_reap(
	struct dip_stream *stream, uint16_t queue, struct dip_landed *landed, unsigned int max);

/* Read a frame of any pass now, and wait for it. */
int dip_stream_read(struct dip_stream *stream, uint64_t seq, uint16_t *pixels);
