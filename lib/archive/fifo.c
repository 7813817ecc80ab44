/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>

#include "archive/fifo.h"

#define REAP_MAX 64

/* Without an end of any write for so long, the CPU is given away for a moment; after a moment that
 * helped, sooner. */
#define OVERDUE_US 1000
#define SOON_US 100
#define MOMENT_US 50

int dip_fifo_create(struct dip_fifo *f, const struct dip_io_ops *ops, unsigned int depth)
{
	*f = (struct dip_fifo){.ops = ops, .depth = depth, .align = 1};
	f->writes = calloc(depth, sizeof(*f->writes));
	return f->writes == NULL ? -ENOMEM : 0;
}

void dip_fifo_free(struct dip_fifo *f)
{
	free(f->writes);
	f->writes = NULL;
}

/* What remains of the write from byte `done` on, as an operation. */
static void set_rest(struct dip_write *w)
{
	unsigned int first = w->done / w->stride;
	size_t within = w->done % w->stride;

	w->io.iovs = w->frames - first;
	for (unsigned int i = first; i < w->frames; i++) {
		w->iov[i - first].iov_base = w->frame[i]->pixels;
		w->iov[i - first].iov_len = w->stride;
	}
	w->iov[0].iov_base = RTE_PTR_ADD(w->iov[0].iov_base, within);
	w->iov[0].iov_len -= within;
	w->io.iov = w->iov;
}

void dip_fifo_add(struct dip_fifo *f, int fd, uint64_t offset, size_t stride,
	struct dip_frame **frames, unsigned int n)
{
	struct dip_write *w = &f->writes[f->tail++ % f->depth];

	w->io.fd = fd;
	w->io.offset = offset;
	w->frames = n;
	w->stride = stride;
	w->done = 0;
	w->error = 0;
	w->ended = w->stuck = false;
	for (unsigned int i = 0; i < n; i++)
		w->frame[i] = frames[i];
	set_rest(w);
}

void dip_fifo_submit(struct dip_fifo *f, uint64_t from)
{
	struct dip_io_request *requests[REAP_MAX];

	while (from < f->tail) {
		unsigned int n = 0;

		while (n < REAP_MAX && from < f->tail)
			requests[n++] = &f->writes[from++ % f->depth].io;
		f->ops->submit(f->io, requests, n);
		f->outstanding += n;
	}
}

static void try_again(struct dip_fifo *f, struct dip_write *w)
{
	struct dip_io_request *request = &w->io;

	f->ops->submit(f->io, &request, 1);
	f->outstanding++;
}

/* Go on with the rest of a short write. A disk that is full shows as a short write first; the rest
 * then ends with the reason. Under O_DIRECT the rest begins at a block. */
static void resume(struct dip_fifo *f, struct dip_write *w, size_t written)
{
	size_t before = w->done, end = before + written;

	f->short_writes++;
	w->done = end - end % f->align;
	if (w->done == before && w->stuck) {
		w->error = ENOSPC;
		w->ended = true;
		return;
	}
	w->stuck = w->done == before;
	w->io.offset += w->done - before;
	set_rest(w);
	try_again(f, w);
}

static void end_attempt(struct dip_fifo *f, struct dip_write *w)
{
	ssize_t result = w->io.result;

	f->outstanding--;
	if (result == -EINTR || result == -EAGAIN) {
		try_again(f, w);
	} else if (result < 0) {
		w->error = -result;
		w->ended = true;
	} else if (w->done + result < w->frames * w->stride) {
		resume(f, w, result);
	} else {
		w->done += result;
		w->ended = true;
	}
}

/* The kernel ends direct writes to reserved blocks in a worker, on the CPU that their interrupt came
 * to. A polling lcore there can keep the worker from that CPU for seconds, while the disk has nothing
 * to do. What a disk that is merely slow costs other pollers of the lcore is MOMENT_US of each
 * OVERDUE_US. */
static void give_way(struct dip_fifo *f, bool any_ended)
{
	uint64_t now = rte_rdtsc(), us = rte_get_tsc_hz() / 1000000;

	if (any_ended) {
		f->give_way_at = now + us * (f->gave_way ? SOON_US : OVERDUE_US);
		f->gave_way = false;
	} else if (now > f->give_way_at) {
		nanosleep(&(struct timespec){.tv_nsec = MOMENT_US * 1000}, NULL);
		f->give_way_at = rte_rdtsc() + us * OVERDUE_US;
		f->gave_way = true;
	}
}

unsigned int dip_fifo_reap(struct dip_fifo *f)
{
	struct dip_io_request *ended[REAP_MAX];
	unsigned int n;

	if (f->outstanding == 0) {
		f->give_way_at = UINT64_MAX;
		return 0;
	}
	n = f->ops->reap(f->io, ended, REAP_MAX);
	give_way(f, n > 0 || f->give_way_at == UINT64_MAX);
	for (unsigned int i = 0; i < n; i++)
		end_attempt(f,
			(struct dip_write *)RTE_PTR_SUB(ended[i], offsetof(struct dip_write, io)));
	return n;
}

struct dip_write *dip_fifo_ended(struct dip_fifo *f)
{
	struct dip_write *w = &f->writes[f->head % f->depth];

	return f->head < f->tail && w->ended ? w : NULL;
}
