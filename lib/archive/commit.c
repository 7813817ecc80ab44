/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_cycles.h>

#include "archive/archiver_impl.h"

#define RETRY_MS 100 /* inside an episode, from one attempt to the next */
#define NS_PER_MS UINT64_C(1000000)

static struct dip_archive_counters all_counters[DIP_SOURCES * DIP_ARCHIVE_WRITERS];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct dip_archive_counters, arch_frames, "frames",
		"frames of which every byte is written"),
	DIP_METRIC(struct dip_archive_counters, arch_bytes, "bytes",
		"bytes of pixels of these frames"),
	DIP_METRIC(struct dip_archive_counters, arch_rotations, "segments",
		"changes to a next segment"),
	DIP_METRIC(struct dip_archive_counters, arch_stale_desc, "frames",
		"descriptors refused: their frame was overwritten while it was queued (overwrite)"),
	DIP_METRIC(struct dip_archive_counters, arch_io_errors, "frames",
		"frames not archived because of an error of the disk"),
	DIP_METRIC(struct dip_archive_counters, arch_discarded, "frames",
		"frames queued for archiving and discarded at a stop"),
	DIP_METRIC(struct dip_archive_counters, arch_segments, "segments",
		"segments with at least one frame in them"),
	DIP_METRIC(struct dip_archive_counters, arch_short_writes, "writes",
		"writes that the system cut short, completed by another"),
	DIP_METRIC(struct dip_archive_counters, arch_segment_errors, "segments",
		"segments removed behind our back, or whose close or index failed"),
	DIP_METRIC(struct dip_archive_counters, arch_durable, "frames",
		"frames of arch_frames that the disk has confirmed to keep"),
	DIP_METRIC(struct dip_archive_counters, arch_condemned, "segments",
		"segments condemned because the disk could not be made to keep them"),
	DIP_METRIC(struct dip_archive_counters, arch_sidecar_errors, "episodes",
		"times from which on run.h5 could not be written"),
};

DIP_METRICS_REGISTER(archive_metrics, rows, all_counters)

static struct dip_histogram latency[DIP_SOURCES];

struct dip_archive_counters *dip_archive_counters_of(unsigned int source)
{
	unsigned int first = source * DIP_ARCHIVE_WRITERS;

	for (unsigned int i = 0; i < DIP_ARCHIVE_WRITERS; i++)
		dip_metrics_own(&archive_metrics, first + i, source);
	latency[source].max.source = source;
	return &all_counters[first];
}

const struct dip_histogram *dip_archiver_latency(void)
{
	return latency;
}

/* why: one line, without a newline. */
static void begin_episode(struct dip_archiver *a, const char *why)
{
	const struct dip_archive_counters *c = a->counters;

	a->retry_ns = dip_archive_now(a) + (a->failing ? RETRY_MS * NS_PER_MS : 0);
	if (a->failing)
		return;
	a->failing = true;
	a->failing_from = a->fifo.tail;
	a->lost_before = c->arch_io_errors;
	rte_log(RTE_LOG_ERR, dip_archive_log,
		"%s; frames are counted as arch_io_errors until it works again\n", why);
}

/* The oldest write has succeeded. */
static void end_episode(struct dip_archiver *a)
{
	if (!a->failing || a->fifo.head < a->failing_from)
		return;
	a->failing = false;
	rte_log(RTE_LOG_NOTICE, dip_archive_log,
		"%s: archiving again; %" PRIu64 " frames were lost\n", a->segment->path,
		a->counters->arch_io_errors - a->lost_before);
}

/* --- segments --- */

static struct dip_segment *segment_of(struct dip_archiver *a, const struct dip_write *w)
{
	return a->before != NULL && w->io.fd == a->before->fd ? a->before : a->segment;
}

void dip_archive_attach(struct dip_archiver *a, const struct dip_segment *segment)
{
	if (a->fifo.ops->attach != NULL)
		a->fifo.ops->attach(a->fifo.io, segment->fd);
}

void dip_archive_detach(struct dip_archiver *a, const struct dip_segment *segment)
{
	if (a->fifo.ops->detach != NULL)
		a->fifo.ops->detach(a->fifo.io, segment->fd);
}

void dip_archive_retire(struct dip_archiver *a)
{
	const struct dip_write *oldest = &a->fifo.writes[a->fifo.head % a->fifo.depth];

	if (a->before == NULL || (a->fifo.head < a->fifo.tail && oldest->io.fd == a->before->fd))
		return;
	dip_archive_detach(a, a->before);
	if (!dip_keeper_retire(a->keeper))
		return;
	a->before = NULL;
	dip_count(&a->counters->arch_rotations, 1);
}

static void change_segment(struct dip_archiver *a, struct dip_segment *next)
{
	a->before = a->segment;
	a->segment = next;
	a->next_slot = 0;
	a->asked = false;
	dip_archive_attach(a, next);
	dip_archive_retire(a);
}

/* A write to the full segment failed: it is not full after all, and the next one is still empty. */
static void go_back(struct dip_archiver *a)
{
	dip_archive_detach(a, a->segment);
	dip_keeper_untake(a->keeper, a->segment);
	a->segment = a->before;
	a->before = NULL;
}

static bool takes_more(const struct dip_archiver *a)
{
	return a->segment != NULL && a->next_slot < a->segment->capacity &&
	       !__atomic_load_n(&a->segment->ended, __ATOMIC_ACQUIRE);
}

/* Once the segment before is closed, have the next one made. */
static void ask_ahead(struct dip_archiver *a)
{
	if (a->asked || a->before != NULL)
		return;
	a->asked = true;
	dip_keeper_request(a->keeper);
}

bool dip_archive_have_room(struct dip_archiver *a)
{
	struct dip_segment *next;
	struct dip_error err;
	int ret;

	dip_archive_retire(a);
	if (takes_more(a)) {
		ask_ahead(a);
		return true;
	}
	if (a->before != NULL)
		return false;
	ret = dip_keeper_take(a->keeper, &next, &err);
	if (ret < 0)
		begin_episode(a, err.text);
	if (ret <= 0)
		return false;
	change_segment(a, next);
	return true;
}

/* --- completions --- */

static void commit_frame(
	struct dip_archiver *a, struct dip_segment *segment, struct dip_frame *frame)
{
	dip_histogram_record(&latency[a->conf.source], (rte_rdtsc() - frame->tsc) * a->ns_per_tsc);
	if (segment->committed == 0)
		dip_count(&a->counters->arch_segments, 1);
	dip_segment_commit(segment, frame->seq);
	dip_count(&a->counters->arch_bytes, a->image_bytes);
	dip_archive_release(a, frame, &a->counters->arch_frames);
}

/* The oldest write has failed and none is under way any more: its first unwritten frame is lost;
 * all that come after have to be written again, each one place further down. */
static void recover(struct dip_archiver *a, struct dip_write *failed)
{
	unsigned int first = failed->done / failed->stride;
	struct dip_segment *segment = segment_of(a, failed);
	struct dip_error why;

	dip_fail(&why, failed->error, "%s: write: %s", segment->path, strerror(failed->error));
	begin_episode(a, why.text);
	for (unsigned int i = 0; i < first; i++)
		commit_frame(a, segment, failed->frame[i]);
	dip_archive_release(a, failed->frame[first], &a->counters->arch_io_errors);
	for (uint64_t i = a->fifo.tail; i-- > a->fifo.head;) {
		struct dip_write *w = &a->fifo.writes[i % a->fifo.depth];

		for (unsigned int j = w->frames; j-- > (w == failed ? first + 1 : 0);)
			dip_waiting_add_front(&a->waiting, w->frame[j]);
	}
	while (a->fifo.head < a->fifo.tail)
		dip_fifo_pop(&a->fifo);
	if (segment == a->before)
		go_back(a);
	a->next_slot = a->segment->committed;
}

unsigned int dip_archive_commit(struct dip_archiver *a)
{
	struct dip_write *w;
	unsigned int work = 0;

	while ((w = dip_fifo_ended(&a->fifo)) != NULL) {
		if (w->error != 0) {
			if (a->fifo.outstanding > 0)
				break;
			recover(a, w);
			return work + 1;
		}
		for (unsigned int i = 0; i < w->frames; i++)
			commit_frame(a, segment_of(a, w), w->frame[i]);
		end_episode(a);
		dip_fifo_pop(&a->fifo);
		work++;
	}
	return work;
}
