/* SPDX-License-Identifier: BSD-3-Clause */

/* The back end that works everywhere: each write is done when submit returns. */

#include <errno.h>
#include <stdlib.h>

#include "archive/io.h"

struct dip_io {
	unsigned int ended;
	struct dip_io_request *requests[];
};

static int pwrite_open(const struct dip_io_conf *conf, struct dip_io **io, struct dip_io_info *info,
	struct dip_error *err)
{
	struct dip_io *p = calloc(1, sizeof(*p) + conf->depth * sizeof(p->requests[0]));

	if (p == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	info->waits = true;
	*io = p;
	return 0;
}

static void pwrite_submit(struct dip_io *p, struct dip_io_request **requests, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dip_io_request *r = requests[i];

		r->result = pwritev(r->fd, r->iov, r->iovs, r->offset);
		if (r->result < 0)
			r->result = -errno;
		p->requests[p->ended++] = r;
	}
}

static unsigned int pwrite_reap(struct dip_io *p, struct dip_io_request **ended, unsigned int max)
{
	unsigned int n = p->ended < max ? p->ended : max;

	for (unsigned int i = 0; i < n; i++)
		ended[i] = p->requests[i];
	for (unsigned int i = n; i < p->ended; i++)
		p->requests[i - n] = p->requests[i];
	p->ended -= n;
	return n;
}

static void pwrite_close(struct dip_io *p)
{
	free(p);
}

static struct dip_io_ops pwrite_ops = {
	.name = "pwrite",
	.open = pwrite_open,
	.submit = pwrite_submit,
	.reap = pwrite_reap,
	.close = pwrite_close,
};

DIP_IO_REGISTER(pwrite_ops)
