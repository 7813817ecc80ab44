/* SPDX-License-Identifier: BSD-3-Clause */

/* The io_uring back end: one kernel entry for a batch of writes, one for their completions. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <liburing.h>

#include "archive/io.h"

struct dip_io {
	struct io_uring ring;
	bool deferred; /* completions run only when this thread asks for them */
};

/* One thread submits and reaps: with these flags the kernel takes no locks for others and never
 * interrupts the thread. Kernels before 6.1 do without. */
static int queue_init(struct dip_io *u, unsigned int depth)
{
	int ret = io_uring_queue_init(
		depth, &u->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	u->deferred = ret == 0;
	return ret == -EINVAL ? io_uring_queue_init(depth, &u->ring, 0) : ret;
}

static int uring_open(unsigned int depth, struct dip_io **io, struct dip_error *err)
{
	struct dip_io *u = calloc(1, sizeof(*u));
	int ret;

	if (u == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	ret = queue_init(u, depth);
	if (ret < 0) {
		free(u);
		return dip_fail(err, -ret, "io_uring is not to be had here: %s", strerror(-ret));
	}
	*io = u;
	return 0;
}

static void uring_submit(struct dip_io *u, struct dip_io_request **requests, unsigned int n)
{
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		/* The ring has room for depth requests, and no more are outstanding. */
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
		struct dip_io_request *r = requests[i];

		io_uring_prep_writev(sqe, r->fd, r->iov, r->iovs, r->offset);
		io_uring_sqe_set_data(sqe, r);
	}
	/* What the kernel has no memory for now stays in the ring; the next reap submits it. */
	ret = io_uring_submit(&u->ring);
	(void)ret;
}

static unsigned int uring_reap(struct dip_io *u, struct dip_io_request **ended, unsigned int max)
{
	struct io_uring_cqe *cqe;
	unsigned int n = 0;

	if (io_uring_sq_ready(&u->ring) > 0)
		io_uring_submit(&u->ring);
	if (u->deferred && io_uring_cq_ready(&u->ring) == 0)
		io_uring_get_events(&u->ring);
	while (n < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct dip_io_request *r = io_uring_cqe_get_data(cqe);

		r->result = cqe->res;
		ended[n++] = r;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return n;
}

static void uring_close(struct dip_io *u)
{
	if (u == NULL)
		return;
	io_uring_queue_exit(&u->ring);
	free(u);
}

static struct dip_io_ops uring_ops = {
	.name = "uring",
	.open = uring_open,
	.submit = uring_submit,
	.reap = uring_reap,
	.close = uring_close,
};

DIP_IO_REGISTER(uring_ops)
