/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/io.h"
#include "frame/frame.h"

/* The archiver's writes in the order of their records. Operations end in any order; they leave the
 * queue in order, so the records of a segment up to the oldest unfinished one are always whole. */

#define DIP_GATHER 64 /* frames in one write, at most */

struct dip_write {
	struct dip_io_request io;
	struct iovec iov[DIP_GATHER];
	struct dip_frame *frame[DIP_GATHER];
	unsigned int frames;
	size_t stride; /* bytes of a frame's record */
	size_t done;   /* bytes written so far */
	int error;     /* 0, or the errno that ended it */
	bool ended;
	bool stuck; /* the last attempt wrote nothing of use */
};

struct dip_fifo {
	const struct dip_io_ops *ops;
	struct dip_io *io;
	unsigned int depth;       /* writes at a time */
	unsigned int outstanding; /* given to the back end and not back yet */
	uint64_t head, tail;      /* writes taken off, put on */
	size_t align;             /* a short write goes on from a multiple of it (O_DIRECT) */
	uint64_t short_writes;
	uint64_t give_way_at; /* TSC: without an end of a write until then, sleep a moment */
	bool gave_way;        /* since a write last ended */
	struct dip_write *writes; /* depth of them; write i is writes[i % depth] */
};

int dip_fifo_create(struct dip_fifo *fifo, const struct dip_io_ops *ops, unsigned int depth);
void dip_fifo_free(struct dip_fifo *fifo);

static inline bool dip_fifo_full(const struct dip_fifo *f)
{
	return f->tail - f->head == f->depth;
}

/* Put a write of n frames (1..DIP_GATHER, whose references it takes over) to consecutive records
 * at offset on the queue. It starts with dip_fifo_submit. The queue must not be full. */
void dip_fifo_add(struct dip_fifo *fifo, int fd, uint64_t offset, size_t stride,
	struct dip_frame **frames, unsigned int n);

/* Give the writes from `from` (their number in the queue's count) on to the back end. */
void dip_fifo_submit(struct dip_fifo *fifo, uint64_t from);

/* Collect what has ended; short writes go on with their rest. Returns how many ended. When none has
 * for long the thread sleeps for a moment, so that the kernel can end them on its CPU. */
unsigned int dip_fifo_reap(struct dip_fifo *fifo);

/* The oldest write if it has ended, else NULL. */
struct dip_write *dip_fifo_ended(struct dip_fifo *fifo);

/* Take the oldest write off. */
static inline void dip_fifo_pop(struct dip_fifo *f)
{
	f->head++;
}
