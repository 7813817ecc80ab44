/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A back end of the tests' own: writes happen when it likes, in the order it likes, as far as it
 * likes. The bytes are taken from the slabs only when a write ends, so that a slab given back too
 * early shows in the file. */

#include <errno.h>
#include <fcntl.h>

#include <rte_common.h>

#include "archive/io.h"

#define FAKE_DEPTH 64

static struct {
	/* The plan: how the n-th attempt of all ends: the bytes to write, or a negative errno. */
	ssize_t (*outcome)(unsigned int n, size_t bytes);
	bool shuffled;            /* end in any order, and only some of them at a reap */
	bool stalled;             /* end none */
	unsigned int most_reaped; /* at a reap; 0: no limit */
	unsigned int attempts;    /* ended so far */
	unsigned int pending;     /* submitted and not ended */
	unsigned int most;        /* the most there were at a time */
	unsigned int widest;      /* most frames in one request */
	unsigned int unaligned;   /* requests on an O_DIRECT file that the kernel would refuse */
	unsigned int depth;       /* as asked for at open */
	unsigned int seed;
	struct dip_io_request *request[FAKE_DEPTH];
} fake;

static inline int fake_open(const struct dip_io_conf *conf, struct dip_io **io,
	struct dip_io_info *info, struct dip_error *err)
{
	(void)info;
	(void)err;
	fake.depth = conf->depth;
	*io = NULL;
	return 0;
}

static inline size_t request_bytes(const struct dip_io_request *r)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < r->iovs; i++)
		bytes += r->iov[i].iov_len;
	return bytes;
}

static inline void fake_submit(struct dip_io *io, struct dip_io_request **requests, unsigned int n)
{
	(void)io;
	for (unsigned int i = 0; i < n; i++) {
		assert_true(fake.pending < fake.depth);
		fake.request[fake.pending++] = requests[i];
		fake.widest = RTE_MAX(fake.widest, requests[i]->iovs);
		if ((fcntl(requests[i]->fd, F_GETFL) & O_DIRECT) &&
			(requests[i]->offset % 512 != 0 || request_bytes(requests[i]) % 512 != 0))
			fake.unaligned++;
	}
	fake.most = RTE_MAX(fake.most, fake.pending);
}

/* Write that many bytes of the request, past any O_DIRECT. */
static inline void fake_write(const struct dip_io_request *r, size_t bytes)
{
	char path[64];
	off_t at = r->offset;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->fd);
	fd = open(path, O_WRONLY);
	if (fd < 0) /* the file is gone */
		return;
	for (unsigned int i = 0; bytes > 0; i++) {
		size_t part = RTE_MIN(bytes, r->iov[i].iov_len);

		assert_int_equal(pwrite(fd, r->iov[i].iov_base, part, at), part);
		at += part;
		bytes -= part;
	}
	close(fd);
}

static inline struct dip_io_request *fake_end(unsigned int i)
{
	struct dip_io_request *r = fake.request[i];
	size_t bytes = request_bytes(r);

	r->result = fake.outcome != NULL ? fake.outcome(fake.attempts, bytes) : (ssize_t)bytes;
	assert_true(r->result <= (ssize_t)bytes);
	if (r->result > 0)
		fake_write(r, r->result);
	fake.attempts++;
	fake.pending--;
	for (; i < fake.pending; i++)
		fake.request[i] = fake.request[i + 1];
	return r;
}

static inline unsigned int fake_reap(
	struct dip_io *io, struct dip_io_request **ended, unsigned int max)
{
	unsigned int n = 0;

	(void)io;
	if (fake.most_reaped > 0 && max > fake.most_reaped)
		max = fake.most_reaped;
	while (!fake.stalled && n < max && fake.pending > 0) {
		if (fake.shuffled && rand_r(&fake.seed) % 3 == 0)
			break;
		ended[n++] = fake_end(fake.shuffled ? rand_r(&fake.seed) % fake.pending : 0);
	}
	return n;
}

static inline void fake_close(struct dip_io *io)
{
	(void)io;
	assert_int_equal(fake.pending, 0);
}

static struct dip_io_ops fake_ops = {
	.name = "fake",
	.open = fake_open,
	.submit = fake_submit,
	.reap = fake_reap,
	.close = fake_close,
};

DIP_IO_REGISTER(fake_ops)
