/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_rawdev.h>
#include <rte_ring.h>

#include "frame/check.h"
#include "ingest/ingest.h"
#include "ingest/sink.h"

RTE_LOG_REGISTER(dip_ingest_log, dip.ingest, NOTICE);

/* One writer each: the lane's ingest poller. */
static struct counters {
	uint64_t proc_offered;
	uint64_t drops_proc_queue;
	uint64_t drops_results_queue;
	uint64_t proc_offer_discarded;
	uint64_t dma_arch_offered;
	uint64_t drops_arch_queue;
	uint64_t arch_offer_discarded;
	uint64_t proc_stale_desc;
	uint64_t arch_stale_desc;
	uint64_t queue_overwritten;
	uint64_t ingest_waits;
	uint64_t dma_duplicates;
} __attribute__((aligned(64))) all_counters[DIP_LANES];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct counters, proc_offered, "frames", "frames offered to the processors"),
	DIP_METRIC(struct counters, drops_proc_queue, "frames",
		"frames not processed: the processors' queue was full"),
	DIP_METRIC(struct counters, drops_results_queue, "frames",
		"frames not processed: too many results not yet written"),
	DIP_METRIC(struct counters, proc_offer_discarded, "frames",
		"frames not processed: still to be queued at a stop"),
	DIP_METRIC(struct counters, dma_arch_offered, "frames", "frames offered to the archive"),
	DIP_METRIC(struct counters, drops_arch_queue, "frames",
		"frames not archived: the archiver's queue was full"),
	DIP_METRIC(struct counters, arch_offer_discarded, "frames",
		"frames not archived: still to be queued at a stop"),
	DIP_METRIC(struct counters, proc_stale_desc, "frames",
		"descriptors refused: their frame was overwritten while it was queued (overwrite)"),
	DIP_METRIC(struct counters, arch_stale_desc, "frames",
		"descriptors refused: their frame was overwritten while it was queued (overwrite)"),
	DIP_METRIC(struct counters, queue_overwritten, "frames",
		"places in a full queue that a newer frame took from the oldest one (overwrite)"),
	DIP_METRIC(struct counters, ingest_waits, "polls",
		"polls that waited for a full queue (block)"),
	DIP_METRIC(struct counters, dma_duplicates, "frames",
		"frames refused: one with their number, or a higher one, had come before"),
};

DIP_METRICS_REGISTER(ingest_metrics, rows, all_counters)

enum offer { TAKEN, FULL };

struct dip_ingest {
	struct dip_ingest_conf conf;
	struct counters *counters;
	struct dip_sink proc, arch;
	struct dip_dma_poll poll;
	struct rte_rawdev_buf buf[DIP_INGEST_BURST];
	struct rte_rawdev_buf *bufs[DIP_INGEST_BURST];
	/* The frames taken last, of which frame[next] .. frame[count - 1] are still to be offered to the
	 * processors, and arch_frame[arch_next] .. arch_frame[arch_count - 1] after that to the archive, for
	 * which a reference of each is held. */
	struct dip_frame *frame[DIP_INGEST_BURST], *arch_frame[DIP_INGEST_BURST];
	unsigned int next, count, arch_next, arch_count;
	uint64_t above; /* the least number that has not come yet */
	bool seen;      /* frame[next] is counted as offered */
	/* Shared with the control thread, atomic. */
	bool stop, discard, finished;
	int error;
};

static bool wants_archive(const struct dip_ingest *in, const struct dip_frame *frame)
{
	return in->conf.arch != NULL && frame->seq % in->conf.nth_archive == 0;
}

/* With block a full sink is waited for; a stop at once ends the waiting. */
static bool must_wait(const struct dip_ingest *in)
{
	return in->conf.block && !__atomic_load_n(&in->discard, __ATOMIC_RELAXED);
}

/* Hands the caller's reference to the processors. full: which counter says why not. */
static enum offer offer_proc(struct dip_ingest *in, struct dip_frame *frame, uint64_t **full)
{
	struct dip_window *w = in->conf.window;

	*full = &in->counters->drops_results_queue;
	if (w != NULL && !dip_window_has_room(w))
		return FULL;
	*full = &in->counters->drops_proc_queue;
	if (!dip_sink_put(&in->proc, frame, w != NULL ? w->issued : 0))
		return FULL;
	if (w != NULL)
		dip_window_issue(w);
	return TAKEN;
}

static enum offer step_arch(struct dip_ingest *in, struct dip_frame *frame)
{
	struct counters *c = in->counters;

	if (!dip_sink_put(&in->arch, frame, 0)) {
		if (must_wait(in))
			return FULL;
		dip_frame_put(frame);
		dip_count(in->conf.block ? &c->arch_offer_discarded : &c->drops_arch_queue, 1);
	} else if (in->conf.backlog != NULL) {
		dip_frame_put(frame); /* the queue has one beside it: set_sinks */
	}
	return TAKEN;
}

static enum offer step_proc(struct dip_ingest *in, struct dip_frame *frame)
{
	struct counters *c = in->counters;
	uint64_t *full;

	if (offer_proc(in, frame, &full) == FULL) {
		if (must_wait(in))
			return FULL;
		dip_frame_put(frame);
		dip_count(in->conf.block ? &c->proc_offer_discarded : full, 1);
	}
	return TAKEN;
}

/* Counted before the first attempt, so that nothing is ever done that was not offered. */
static void count_offered(struct dip_ingest *in, struct dip_frame *frame)
{
	if (in->seen)
		return;
	dip_frame_publish(frame, in->conf.image_bytes);
	dip_count(&in->counters->proc_offered, 1);
	if (wants_archive(in, frame)) {
		dip_count(&in->counters->dma_arch_offered, 1);
		dip_frame_hold(frame, 1);
		in->arch_frame[in->arch_count++] = frame;
	}
	in->seen = true;
}

/* A source that repeats itself must not be decided or archived twice. */
static bool refuse(struct dip_ingest *in, struct dip_frame *frame)
{
	if (frame->seq >= in->above)
		return false;
	dip_frame_put(frame);
	dip_count(&in->counters->dma_duplicates, 1);
	return true;
}

/* Offer to the archive what the processors have been offered with the poll before: by now those of this
 * lcore have decided it, and did not wait for the queue that all lanes share. */
static unsigned int offer_archive(struct dip_ingest *in)
{
	unsigned int first = in->arch_next;

	for (; in->arch_next < in->arch_count; in->arch_next++)
		if (step_arch(in, in->arch_frame[in->arch_next]) == FULL) {
			dip_count(&in->counters->ingest_waits, 1);
			break;
		}
	return in->arch_next - first;
}

/* Offer what has been taken to the processors, who get the ingest's own reference. */
static unsigned int offer_processors(struct dip_ingest *in)
{
	unsigned int work = 0;

	for (; in->next < in->count; in->next++) {
		struct dip_frame *frame = in->frame[in->next];
		struct dip_desc desc = dip_frame_desc(frame, 0);

		if (refuse(in, frame))
			continue;
		count_offered(in, frame);
		if (step_proc(in, frame) == FULL) {
			dip_count(&in->counters->ingest_waits, 1);
			break;
		}
		in->seen = false;
		in->above = desc.seq + 1;
		if (in->conf.backlog != NULL)
			dip_backlog_add(in->conf.backlog, in->conf.queue, &desc);
		work++;
	}
	return work;
}

static void fetch(struct dip_ingest *in)
{
	int n = rte_rawdev_dequeue_buffers(in->conf.dev_id, in->bufs, in->conf.burst, &in->poll);

	in->next = in->arch_next = in->arch_count = 0;
	in->count = n > 0 ? n : 0;
	for (unsigned int i = 0; i < in->count; i++)
		in->frame[i] = in->buf[i].buf_addr;
	if (n < 0)
		__atomic_store_n(&in->error, -n, __ATOMIC_RELAXED);
}

/* After the tickets of the frames before: whatever is below the floor has its ticket by now. */
static void publish_floor(struct dip_ingest *in)
{
	if (in->conf.window != NULL)
		__atomic_store_n(&in->conf.window->seq_floor, in->poll.seq_floor, __ATOMIC_RELEASE);
}

static void finish(struct dip_ingest *in)
{
	in->poll.seq_floor = UINT64_MAX;
	publish_floor(in);
	__atomic_store_n(&in->finished, true, __ATOMIC_RELEASE);
}

static int ingest_start(void *arg)
{
	const struct dip_ingest *in = arg;

	/* Of this thread alone: on Linux "process 0" is the calling thread. */
	if (in->conf.nice != 0 && setpriority(PRIO_PROCESS, 0, in->conf.nice) < 0)
		rte_log(RTE_LOG_WARNING, dip_ingest_log,
			"dma.thread_nice = %d: %s; lcore %u runs with its usual priority\n",
			in->conf.nice, strerror(errno), rte_lcore_id());
	return 0;
}

static unsigned int ingest_poll(void *arg)
{
	struct dip_ingest *in = arg;
	unsigned int work = 0;

	if (in->arch_next < in->arch_count)
		work = offer_archive(in);
	if (in->next < in->count)
		return work + offer_processors(in);
	if (in->finished || in->arch_next < in->arch_count)
		return work;
	if (in->poll.ended || in->error != 0) {
		finish(in);
		return 1;
	}
	in->poll.drain = __atomic_load_n(&in->stop, __ATOMIC_RELAXED);
	fetch(in);
	publish_floor(in);
	return work + offer_processors(in);
}

/* Both get a reference of the ingest's; but a frame that can be overwritten is held until it is in the
 * archive's queue, or its slab could be gone by then. */
static void set_sinks(struct dip_ingest *in)
{
	bool overwrite = in->conf.backlog != NULL;
	struct counters *c = in->counters;

	in->proc = (struct dip_sink){.ring = in->conf.proc,
		.window = in->conf.window,
		.reference = overwrite ? DIP_STATE_QUEUED - DIP_STATE_HELD : 0,
		.overwrite = overwrite,
		.stale = &c->proc_stale_desc,
		.overwritten = &c->queue_overwritten};
	in->arch = (struct dip_sink){.ring = in->conf.arch,
		.reference = overwrite ? DIP_STATE_QUEUED : 0,
		.overwrite = overwrite,
		.stale = &c->arch_stale_desc,
		.overwritten = &c->queue_overwritten};
}

/* A sink that is full may have room any time. */
static uint64_t ingest_due(void *arg)
{
	const struct dip_ingest *in = arg;
	uint64_t tsc;

	if (in->finished)
		return DIP_DUE_NEVER;
	if (in->next < in->count || in->arch_next < in->arch_count ||
		rte_rawdev_get_attr(in->conf.dev_id, DIP_DMA_DUE_TSC, &tsc) < 0)
		return DIP_DUE_UNKNOWN;
	return tsc;
}

int dip_ingest_create(const struct dip_ingest_conf *conf, struct dip_ingest **ingest)
{
	struct dip_ingest *in = rte_zmalloc("dip_ingest", sizeof(*in), RTE_CACHE_LINE_SIZE);

	if (in == NULL)
		return -ENOMEM;
	in->conf = *conf;
	in->poll.queue = conf->queue;
	in->counters = &all_counters[conf->lane];
	dip_metrics_own(&ingest_metrics, conf->lane, conf->source);
	set_sinks(in);
	for (unsigned int i = 0; i < DIP_INGEST_BURST; i++)
		in->bufs[i] = &in->buf[i];
	*ingest = in;
	return 0;
}

void dip_ingest_free(struct dip_ingest *in)
{
	rte_free(in);
}

struct dip_poller dip_ingest_poller(struct dip_ingest *in)
{
	return (struct dip_poller){.role = "ingest",
		.start = ingest_start,
		.poll = ingest_poll,
		.due = ingest_due,
		.arg = in};
}

void dip_ingest_stop(struct dip_ingest *in)
{
	__atomic_store_n(&in->stop, true, __ATOMIC_RELAXED);
}

void dip_ingest_discard(struct dip_ingest *in)
{
	__atomic_store_n(&in->discard, true, __ATOMIC_RELAXED);
	dip_ingest_stop(in);
}

bool dip_ingest_finished(const struct dip_ingest *in)
{
	return __atomic_load_n(&in->finished, __ATOMIC_ACQUIRE);
}

int dip_ingest_error(const struct dip_ingest *in)
{
	return __atomic_load_n(&in->error, __ATOMIC_RELAXED);
}
