/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <liburing.h>

#include <rte_log.h>

#include "replay.h"

#define BLOCK 4096

/* A record is read from its begin, trailer and all, straight into the slab, which has room for it:
 * the disk's own DMA fills the frame. Under O_DIRECT whole blocks are read; where the last one would
 * leave the slab, the trailer stays unread and is not checked. */
struct one_read {
	const struct replay_record *record;
	uint8_t *to;
	size_t bytes, done;
};

struct replay_queue {
	struct io_uring ring;
	unsigned int buffers; /* registered: the chunks of the pool */
	bool files;           /* registered: all segments, by their place in the run */
	const struct dip_frame_pool *pool;
	bool to_submit;
	struct one_read read[DIP_FLIGHTS];
};

/* --- set-up --- */

static void register_buffers(struct replay_queue *q, const struct dip_frame_pool *pool)
{
	struct iovec *iov = calloc(pool->chunks, sizeof(*iov));

	if (iov == NULL)
		return;
	for (unsigned int i = 0; i < pool->chunks; i++)
		iov[i] = (struct iovec){
			.iov_base = pool->chunk[i].addr, .iov_len = pool->chunk[i].bytes};
	if (io_uring_register_buffers(&q->ring, iov, pool->chunks) == 0)
		q->buffers = pool->chunks;
	free(iov);
}

/* Looked up once, not with each read. A kernel that does not take so many reads by descriptor. */
static void register_files(struct replay_queue *q, const struct replay *r)
{
	int *fds = calloc(r->segments, sizeof(*fds));

	if (fds == NULL)
		return;
	for (uint32_t i = 0; i < r->segments; i++)
		fds[i] = r->segment[i].fd;
	q->files = io_uring_register_files(&q->ring, fds, r->segments) == 0;
	free(fds);
}

/* Completions wait until they are asked for, rather than interrupt the lcore; a flag says that there
 * are some. Kernels before 5.19 do without. */
static int init_ring(struct io_uring *ring, unsigned int depth)
{
	int ret = io_uring_queue_init(
		depth, ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	return ret == -EINVAL ? io_uring_queue_init(depth, ring, 0) : ret;
}

static struct replay_queue *create_queue(const struct replay *r, const struct dip_frame_pool *pool)
{
	struct replay_queue *q = calloc(1, sizeof(*q));
	int ret;

	if (q == NULL)
		return NULL;
	ret = init_ring(&q->ring, r->depth);
	if (ret < 0) {
		rte_log(RTE_LOG_NOTICE, replay_log,
			"io_uring is not to be had here: %s; reading with pread instead\n",
			strerror(-ret));
		free(q);
		return NULL;
	}
	q->pool = pool;
	register_buffers(q, pool);
	register_files(q, r);
	return q;
}

void replay_reads_free(struct replay *r)
{
	for (unsigned int i = 0; i < r->queues; i++) {
		io_uring_queue_exit(&r->queue[i]->ring);
		free(r->queue[i]);
	}
	free(r->queue);
	r->queue = NULL;
	r->queues = 0;
}

/* --- reading --- */

static size_t bytes_to_read(
	const struct replay *r, const struct replay_segment *s, const struct dip_frame_pool *pool)
{
	size_t whole = r->image_bytes + (r->npy ? sizeof(struct dip_trailer) : 0);

	if (!s->direct)
		return whole <= pool->record_bytes ? whole : r->image_bytes;
	/* Its stride is a multiple of the block, if that is not 4,096 bytes. */
	whole = RTE_MIN(RTE_ALIGN_CEIL(whole, (size_t)BLOCK), s->reader->stride);
	return whole <= pool->record_bytes ? whole : RTE_ALIGN_CEIL(r->image_bytes, (size_t)BLOCK);
}

static int chunk_of(const struct replay_queue *q, const uint8_t *at)
{
	for (unsigned int i = 0; i < q->buffers; i++) {
		const struct dip_frame_chunk *c = &q->pool->chunk[i];

		if (at >= (uint8_t *)c->addr && at < (uint8_t *)c->addr + c->bytes)
			return i;
	}
	return -1;
}

static int prepare(struct replay *r, struct replay_queue *q, unsigned int slot)
{
	struct one_read *one = &q->read[slot];
	const struct replay_segment *s = &r->segment[one->record->segment];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	uint64_t offset = dip_reader_offset(s->reader, one->record->slot) + one->done;
	int chunk = chunk_of(q, one->to), fd = q->files ? (int)one->record->segment : s->fd;

	if (sqe == NULL)
		return -EBUSY;
	if (chunk >= 0)
		io_uring_prep_read_fixed(
			sqe, fd, one->to + one->done, one->bytes - one->done, offset, chunk);
	else
		io_uring_prep_read(sqe, fd, one->to + one->done, one->bytes - one->done, offset);
	if (q->files)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, slot);
	q->to_submit = true;
	return 0;
}

static int submit(
	void *priv, uint16_t queue, unsigned int slot, uint64_t seq, struct dip_frame *frame)
{
	struct replay *r = priv;
	struct replay_queue *q = r->queue[queue];
	const struct replay_record *record = replay_record_of(r, seq);

	q->read[slot] = (struct one_read){.record = record,
		.to = (uint8_t *)frame->pixels,
		.bytes = bytes_to_read(r, &r->segment[record->segment], q->pool)};
	return prepare(r, q, slot);
}

static void flush(void *priv, uint16_t queue)
{
	struct replay *r = priv;
	struct replay_queue *q = r->queue[queue];

	/* What the kernel does not take now it takes next time. */
	if (q->to_submit && io_uring_submit(&q->ring) >= 0)
		q->to_submit = io_uring_sq_ready(&q->ring) > 0;
}

/* A completion: false when the read has to go on. */
static bool finish(struct replay *r, struct replay_queue *q, const struct io_uring_cqe *cqe,
	struct dip_landed *landed)
{
	unsigned int slot = cqe->user_data;
	struct one_read *one = &q->read[slot];
	bool direct = r->segment[one->record->segment].direct;

	*landed = (struct dip_landed){.slot = slot};
	if (cqe->res == -EAGAIN || cqe->res == -EINTR) {
		landed->result = prepare(r, q, slot);
		return landed->result < 0;
	}
	if (cqe->res < 0) {
		landed->result = cqe->res;
		return true;
	}
	if (one->done + cqe->res < one->bytes) {
		/* The rest again, from a whole block under O_DIRECT. Nothing: the file has ended. */
		size_t more = direct ? RTE_ALIGN_FLOOR(cqe->res, BLOCK) : cqe->res;

		one->done += more;
		landed->result = more > 0 ? prepare(r, q, slot) : -EIO;
		return landed->result < 0;
	}
	return true;
}

/* Whether a record that has been read is as it was archived. */
static int check(void *priv, uint16_t queue, unsigned int slot)
{
	const struct replay *r = priv;
	const struct one_read *one = &r->queue[queue]->read[slot];
	const struct dip_trailer *trailer =
		(const struct dip_trailer *)(one->to + r->image_bytes);

	if (!r->npy || !r->verify || one->bytes < r->image_bytes + sizeof(*trailer))
		return 0;
	return replay_intact(r, one->record, one->to, trailer) ? 0 : -EBADMSG;
}

static unsigned int reap(void *priv, uint16_t queue, struct dip_landed *landed, unsigned int max)
{
	struct replay *r = priv;
	struct replay_queue *q = r->queue[queue];
	struct io_uring_cqe *cqe;
	unsigned int n = 0;

	while (n < max && io_uring_peek_cqe(&q->ring, &cqe) == 0) {
		n += finish(r, q, cqe, &landed[n]);
		io_uring_cqe_seen(&q->ring, cqe);
	}
	flush(priv, queue);
	return n;
}

static const struct dip_mover mover = {.submit = submit, .flush = flush, .reap = reap, .check = check};

int replay_reads_create(
	struct replay *r, const struct dip_dma_conf *conf, const struct dip_mover **out)
{
	r->queue = calloc(conf->queues, sizeof(struct replay_queue *));
	if (r->queue == NULL)
		return -ENOMEM;
	for (; r->queues < conf->queues; r->queues++) {
		r->queue[r->queues] = create_queue(r, conf->pool);
		if (r->queue[r->queues] == NULL) {
			replay_reads_free(r);
			return 0;
		}
	}
	r->mover = mover;
	r->mover.depth = r->depth;
	*out = &r->mover;
	return 0;
}
