/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "archive/archiver_impl.h"
#include "format/format.h"

RTE_LOG_REGISTER(dip_archive_log, dip.archive, NOTICE);

#define BURST 64                 /* frames let go in a poll, so that completions are seen in time */
#define SEAL_BYTES (4u << 20)    /* sealed in a poll, for the same reason; one frame at least */
#define AHEAD_BYTES (256u << 10) /* sealed in a poll while the disk is busy */
#define BATCH_BYTES (4u << 20)   /* larger than what a block layer merges */
#define PACE_SLACK_NS UINT64_C(10000000)

/* The next frame from the ring. */
static struct dip_frame *receive(struct dip_archiver *a)
{
	struct dip_frame *frame;
	struct dip_desc desc;

	while (rte_ring_dequeue_elem(a->conf.ring, &desc, sizeof(desc)) == 0) {
		frame = dip_desc_frame(&desc);
		if (frame == NULL) {
			dip_count(&a->counters->arch_stale_desc, 1);
			continue;
		}
		__atomic_store_n(&a->held, a->held + 1, __ATOMIC_RELEASE);
		dip_frame_verify(frame);
		return frame;
	}
	return NULL;
}

static void seal(struct dip_archiver *a, struct dip_frame *frame)
{
	struct dip_trailer fields = {
		.seq = frame->seq, .timestamp_ns = frame->timestamp_ns, .run_id = a->conf.run_id};

	if (a->conf.segment.npy)
		dip_record_seal(
			frame->pixels, a->image_bytes, a->stride, &fields, a->conf.checksum);
}

/* Seal frames from the ring until `enough` of them wait, or that many bytes are sealed. Returns the
 * frames. */
static unsigned int take_in(struct dip_archiver *a, unsigned int enough, size_t bytes)
{
	unsigned int n, most = RTE_MAX(bytes / a->stride, (size_t)1);

	for (n = 0; n < most && a->waiting.count < enough && a->held < a->conf.max_inflight; n++) {
		struct dip_frame *frame = receive(a);

		if (frame == NULL)
			break;
		seal(a, frame);
		dip_waiting_add(&a->waiting, frame);
	}
	return n;
}

/* arch.max_rate: bytes take their time from the moment at which they may be written; what was not
 * used of it is made up for no longer than PACE_SLACK_NS. */
static void pace(struct dip_archiver *a, size_t bytes)
{
	uint64_t since;

	if (a->conf.max_rate == 0)
		return;
	since = dip_archive_now(a) - PACE_SLACK_NS;
	a->pace_ns = RTE_MAX(a->pace_ns, since) + bytes * 1e9 / a->conf.max_rate;
}

static bool too_early(const struct dip_archiver *a)
{
	return a->conf.max_rate > 0 && dip_archive_now(a) < a->pace_ns;
}

/* Put one write on the queue: as many of the frames that wait as fit into a write and into the
 * segment. Inside an episode a single frame tries. */
static void add_write(struct dip_archiver *a)
{
	struct dip_frame *frames[DIP_GATHER];
	uint64_t room = a->segment->capacity - a->next_slot;
	unsigned int n = 0, most = a->failing ? 1 : a->gather;

	while (n < most && n < room && a->waiting.count > 0)
		frames[n++] = dip_waiting_take(&a->waiting);
	a->fifo.align = a->segment->align;
	dip_fifo_add(&a->fifo, a->segment->fd, dip_segment_offset(a->segment, a->next_slot),
		a->stride, frames, n);
	a->next_slot += n;
	pace(a, n * a->stride);
}

/* Write what waits, as far as there is room. Returns the writes. */
static unsigned int write_out(struct dip_archiver *a)
{
	uint64_t from = a->fifo.tail;

	while (a->waiting.count > 0 && !too_early(a) && !dip_fifo_full(&a->fifo) &&
		dip_archive_have_room(a)) {
		add_write(a);
		if (a->failing)
			break;
	}
	dip_fifo_submit(&a->fifo, from);
	return a->fifo.tail - from;
}

static unsigned int let_go(struct dip_archiver *a, uint64_t *counter)
{
	unsigned int n;

	for (n = 0; n < BURST; n++) {
		struct dip_frame *frame = dip_waiting_take(&a->waiting);

		if (frame == NULL)
			frame = receive(a);
		if (frame == NULL)
			break;
		dip_archive_release(a, frame, counter);
	}
	return n;
}

static bool work_waits(const struct dip_archiver *a)
{
	return a->waiting.count > 0 || !rte_ring_empty(a->conf.ring);
}

/* Adjacent writes that are submitted together leave the block layer as one, so while most of the
 * queue is on its way the next frames are only sealed; then a batch goes out at once. */
static unsigned int fill(struct dip_archiver *a)
{
	unsigned int room = a->fifo.depth - (a->fifo.tail - a->fifo.head), work;

	if (!work_waits(a))
		return 0;
	if (__atomic_load_n(&a->discard, __ATOMIC_RELAXED))
		return let_go(a, &a->counters->arch_discarded);
	/* Inside an episode one write tries at a time; frames between attempts are lost. */
	if (a->failing && dip_archive_now(a) < a->retry_ns)
		return let_go(a, &a->counters->arch_io_errors);
	if (a->failing && a->fifo.head != a->fifo.tail)
		return 0;
	if (room < a->batch)
		return take_in(a, a->fifo.depth * a->gather, AHEAD_BYTES);
	work = take_in(a, room * a->gather, SEAL_BYTES);
	return work + write_out(a);
}

static unsigned int archive_poll(void *arg)
{
	struct dip_archiver *a = arg;
	unsigned int work = dip_fifo_reap(&a->fifo);

	work += dip_archive_commit(a);
	work += fill(a);
	__atomic_store_n(&a->counters->arch_short_writes, a->fifo.short_writes, __ATOMIC_RELAXED);
	return work;
}

/* A write in flight may end any time. */
static uint64_t archive_due(void *arg)
{
	const struct dip_archiver *a = arg;

	return a->held > 0 || work_waits(a) ? DIP_DUE_UNKNOWN : DIP_DUE_NEVER;
}

static struct dip_archiver_status status[DIP_SOURCES];
static const struct dip_archiver_status *known[DIP_SOURCES]; /* atomic: NULL until it is filled in */

const struct dip_archiver_status *dip_archiver_status(unsigned int source)
{
	static const struct dip_archiver_status not_started = {.backend = ""};
	const struct dip_archiver_status *s = __atomic_load_n(&known[source], __ATOMIC_ACQUIRE);

	return s != NULL ? s : &not_started;
}

static int open_backend(struct dip_archiver *a, struct dip_error *err)
{
	struct dip_io_conf conf = {.depth = a->fifo.depth, .delay = a->conf.delay};
	struct dip_io_info info = {.note = ""};
	int ret;

	if (a->conf.pool != NULL) {
		conf.chunk = a->conf.pool->chunk;
		conf.chunks = a->conf.pool->chunks;
	}
	ret = a->fifo.ops->open(&conf, &a->fifo.io, &info, err);
	if (ret < 0)
		return ret;
	if (info.note[0] != '\0')
		rte_log(RTE_LOG_NOTICE, dip_archive_log, "%s: %s\n", a->fifo.ops->name, info.note);
	status[a->conf.source] = (struct dip_archiver_status){.backend = a->fifo.ops->name,
		.direct = a->segment->direct,
		.registered_buffers = info.registered_buffers,
		.registered_files = info.registered_files};
	__atomic_store_n(&known[a->conf.source], &status[a->conf.source], __ATOMIC_RELEASE);
	dip_archive_attach(a, a->segment);
	return 0;
}

static int archive_start(void *arg)
{
	struct dip_archiver *a = arg;
	struct dip_error err;
	int ret = open_backend(a, &err);

	if (ret == 0 || strcmp(a->fifo.ops->name, "pwrite") == 0)
		return ret;
	rte_log(RTE_LOG_NOTICE, dip_archive_log, "%s: %s; writing with pwrite instead\n",
		a->fifo.ops->name, err.text);
	a->fifo.ops = dip_io_find("pwrite");
	return open_backend(a, &err);
}

/* Nothing is in flight any more. Waits for the keeper, so that all files are as they will be. */
static void close_segments(struct dip_archiver *a)
{
	while (a->before != NULL)
		dip_archive_retire(a);
	if (a->segment != NULL && a->fifo.io != NULL)
		dip_archive_detach(a, a->segment);
	while (a->segment != NULL && !dip_keeper_retire(a->keeper))
		rte_pause();
	a->segment = NULL;
	dip_keeper_free(a->keeper);
	a->keeper = NULL;
}

static void archive_stop(void *arg)
{
	struct dip_archiver *a = arg;

	/* What is in flight belongs to the kernel until it ends. */
	__atomic_store_n(&a->discard, true, __ATOMIC_RELAXED);
	while (a->held > 0 || work_waits(a))
		archive_poll(a);
	close_segments(a);
	a->fifo.ops->close(a->fifo.io);
	a->fifo.io = NULL;
}

static int allocate(struct dip_archiver *a)
{
	if (dip_waiting_create(&a->waiting, a->conf.max_inflight) < 0)
		return -ENOMEM;
	return dip_fifo_create(&a->fifo, dip_io_find(a->conf.backend), a->conf.depth);
}

/* The first segment is made before anything starts. */
static int open_first(struct dip_archiver *a, struct dip_error *err)
{
	struct dip_keeper_conf conf = {.segment = &a->conf.segment,
		.counters = &a->counters[DIP_ARCHIVE_KEEPER],
		.sync_interval_ms = a->conf.sync_interval_ms,
		.sidecar = a->conf.sidecar};
	int ret = dip_keeper_create(&conf, &a->keeper, err);

	if (ret < 0)
		return ret;
	dip_keeper_take(a->keeper, &a->segment, err);
	if (conf.segment->direct && !a->segment->direct)
		rte_log(RTE_LOG_NOTICE, dip_archive_log,
			"%s: O_DIRECT is not possible for this file system and record size; "
			"writing through the page cache\n",
			a->segment->path);
	return 0;
}

int dip_archiver_create(
	const struct dip_archiver_conf *conf, struct dip_archiver **archiver, struct dip_error *err)
{
	struct dip_archiver *a = calloc(1, sizeof(*a));
	int ret;

	if (a == NULL)
		return dip_fail(err, ENOMEM, "archiver: out of memory");
	a->conf = *conf;
	a->counters = dip_archive_counters_of(conf->source);
	a->image_bytes = (size_t)conf->segment.width * conf->segment.height * sizeof(uint16_t);
	a->stride = dip_segment_stride(&conf->segment);
	a->gather = RTE_MAX(RTE_MIN(conf->gather_bytes / a->stride, (size_t)DIP_GATHER), (size_t)1);
	a->batch = RTE_MAX(RTE_MIN(BATCH_BYTES / (a->gather * a->stride), conf->depth / 4ul), 1ul);
	a->ns_per_tsc = 1e9 / rte_get_tsc_hz();
	ret = allocate(a);
	if (ret < 0)
		dip_fail(err, ENOMEM, "archiver: out of memory");
	else
		ret = open_first(a, err);
	if (ret < 0) {
		dip_archiver_free(a);
		return ret;
	}
	*archiver = a;
	return 0;
}

void dip_archiver_free(struct dip_archiver *a)
{
	if (a == NULL)
		return;
	close_segments(a);
	dip_fifo_free(&a->fifo);
	dip_waiting_free(&a->waiting);
	free(a);
}

struct dip_poller dip_archiver_poller(struct dip_archiver *a)
{
	return (struct dip_poller){.role = "archive",
		.start = archive_start,
		.poll = archive_poll,
		.stop = archive_stop,
		.due = archive_due,
		.arg = a};
}

void dip_archiver_discard(struct dip_archiver *a)
{
	__atomic_store_n(&a->discard, true, __ATOMIC_RELAXED);
}

unsigned int dip_archiver_held(const struct dip_archiver *a)
{
	return __atomic_load_n(&a->held, __ATOMIC_ACQUIRE);
}
