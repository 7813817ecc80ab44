/* SPDX-License-Identifier: BSD-3-Clause */

/* The io_uring back end: one kernel entry for a batch of writes, one for their completions. The
 * pool's memory is registered once, so that no write has to look up and pin its pages, and so are
 * the files that are written to. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <liburing.h>

#include "archive/io.h"

#define FILES 4 /* registered at a time; the archiver has two */

struct dip_io {
	struct io_uring ring;
	bool deferred; /* completions run only when this thread asks for them */
	bool files;    /* there is a table of registered files */
	int fd[FILES]; /* in it, -1: free */
	unsigned int buffers;
	struct iovec buffer[]; /* registered */
};

/* One thread submits and reaps: with these flags the kernel takes no locks for others, never
 * interrupts the thread, and raises a flag when a completion waits to be asked for, so that a poll
 * without one makes no call. Kernels before 6.1 do without. */
static int queue_init(struct dip_io *u, unsigned int depth)
{
	int ret = io_uring_queue_init(depth, &u->ring,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG);

	u->deferred = ret == 0;
	return ret == -EINVAL ? io_uring_queue_init(depth, &u->ring, 0) : ret;
}

static bool completions_wait(const struct dip_io *u)
{
	return u->deferred && (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
				      (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* Why the memory cannot be registered, for people. */
static void explain(const struct dip_io_conf *conf, int error, struct dip_io_info *info)
{
	struct rlimit limit = {0};
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < conf->chunks; i++)
		bytes += conf->chunk[i].bytes;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	snprintf(info->note, sizeof(info->note),
		"%.1f MiB of slabs cannot be registered: %s (ulimit -l is %llu KiB); writing "
		"without, somewhat slower; see scripts/doctor",
		bytes / 1048576.0, strerror(error), (unsigned long long)limit.rlim_cur / 1024);
}

static void register_buffers(
	struct dip_io *u, const struct dip_io_conf *conf, struct dip_io_info *info)
{
	int ret;

	if (conf->chunks == 0)
		return;
	for (unsigned int i = 0; i < conf->chunks; i++)
		u->buffer[i] = (struct iovec){
			.iov_base = conf->chunk[i].addr, .iov_len = conf->chunk[i].bytes};
	ret = io_uring_register_buffers(&u->ring, u->buffer, conf->chunks);
	if (ret < 0) {
		explain(conf, -ret, info);
		return;
	}
	u->buffers = conf->chunks;
	info->registered_buffers = true;
}

static void register_files(struct dip_io *u, struct dip_io_info *info)
{
	for (unsigned int i = 0; i < FILES; i++)
		u->fd[i] = -1;
	u->files = io_uring_register_files_sparse(&u->ring, FILES) == 0;
	info->registered_files = u->files;
}

static int uring_open(const struct dip_io_conf *conf, struct dip_io **io, struct dip_io_info *info,
	struct dip_error *err)
{
	struct dip_io *u = calloc(1, sizeof(*u) + conf->chunks * sizeof(u->buffer[0]));
	int ret;

	if (u == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	ret = queue_init(u, conf->depth);
	if (ret < 0) {
		free(u);
		return dip_fail(err, -ret, "io_uring is not to be had here: %s; see scripts/doctor",
			strerror(-ret));
	}
	io_uring_register_ring_fd(&u->ring); /* spares a look-up at each call; not vital */
	register_buffers(u, conf, info);
	register_files(u, info);
	*io = u;
	return 0;
}

/* The place of fd in the table, or -1. */
static int place_of(const struct dip_io *u, int fd)
{
	for (int i = 0; u->files && i < FILES; i++)
		if (u->fd[i] == fd)
			return i;
	return -1;
}

static void uring_attach(struct dip_io *u, int fd)
{
	int place = place_of(u, -1);

	if (place >= 0 && io_uring_register_files_update(&u->ring, place, &fd, 1) == 1)
		u->fd[place] = fd;
}

static void uring_detach(struct dip_io *u, int fd)
{
	int place = place_of(u, fd);

	if (place < 0)
		return;
	u->fd[place] = -1;
	io_uring_register_files_update(&u->ring, place, &u->fd[place], 1);
}

/* The registered buffer that holds all of iov, or -1. */
static int buffer_of(const struct dip_io *u, const struct iovec *iov)
{
	const char *start = iov->iov_base;

	for (unsigned int i = 0; i < u->buffers; i++) {
		const char *low = u->buffer[i].iov_base;

		if (start >= low && start + iov->iov_len <= low + u->buffer[i].iov_len)
			return i;
	}
	return -1;
}

static void prepare(const struct dip_io *u, struct io_uring_sqe *sqe, struct dip_io_request *r)
{
	int buffer = r->iovs == 1 ? buffer_of(u, r->iov) : -1, place = place_of(u, r->fd);
	int fd = place >= 0 ? place : r->fd;

	if (buffer >= 0)
		io_uring_prep_write_fixed(
			sqe, fd, r->iov->iov_base, r->iov->iov_len, r->offset, buffer);
	else
		io_uring_prep_writev(sqe, fd, r->iov, r->iovs, r->offset);
	if (place >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, r);
}

static void uring_submit(struct dip_io *u, struct dip_io_request **requests, unsigned int n)
{
	int ret;

	/* The ring has room for depth requests, and no more are outstanding. */
	for (unsigned int i = 0; i < n; i++)
		prepare(u, io_uring_get_sqe(&u->ring), requests[i]);
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
	if (io_uring_cq_ready(&u->ring) == 0 && completions_wait(u))
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
	/* The end of a ring is put off by the kernel; what it holds shall be free now. */
	if (u->files)
		io_uring_unregister_files(&u->ring);
	if (u->buffers > 0)
		io_uring_unregister_buffers(&u->ring);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static struct dip_io_ops uring_ops = {
	.name = "uring",
	.open = uring_open,
	.attach = uring_attach,
	.detach = uring_detach,
	.submit = uring_submit,
	.reap = uring_reap,
	.close = uring_close,
};

DIP_IO_REGISTER(uring_ops)
