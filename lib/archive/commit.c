/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_cycles.h>

#include "archive/archiver_impl.h"

#define RETRY_MS 100 /* inside an episode, from one attempt to the next */

struct dip_archive_counters dip_archive_counters[1];

static const struct dip_metric rows[] = {
	DIP_METRIC(struct dip_archive_counters, arch_frames, "frames",
		"frames of which every byte is written"),
	DIP_METRIC(struct dip_archive_counters, arch_bytes, "bytes",
		"bytes of pixels of these frames"),
	DIP_METRIC(struct dip_archive_counters, arch_rotations, "segments",
		"changes to a next segment"),
	DIP_METRIC(struct dip_archive_counters, arch_stale_desc, "frames",
		"descriptors refused: their frame had gone back to the pool"),
	DIP_METRIC(struct dip_archive_counters, arch_io_errors, "frames",
		"frames not archived because of an error of the disk"),
	DIP_METRIC(struct dip_archive_counters, arch_discarded, "frames",
		"frames queued for archiving and discarded at a stop"),
	DIP_METRIC(struct dip_archive_counters, arch_segments, "segments", "segments made"),
	DIP_METRIC(struct dip_archive_counters, arch_short_writes, "writes",
		"writes that the system cut short, completed by another"),
	DIP_METRIC(struct dip_archive_counters, arch_segment_errors, "segments",
		"segments removed behind our back, or whose close or index failed"),
};

DIP_METRICS_REGISTER(archive_metrics, rows, dip_archive_counters)

static struct dip_histogram latency[1];

const struct dip_histogram *dip_archiver_latency(void)
{
	return latency;
}

uint64_t dip_archive_after_ms(unsigned int ms)
{
	return rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;
}

/* why: one line, without a newline. */
static void begin_episode(struct dip_archiver *a, const char *why)
{
	const struct dip_archive_counters *c = dip_archive_counters;

	a->retry_tsc = a->failing ? dip_archive_after_ms(RETRY_MS) : rte_rdtsc();
	if (a->failing)
		return;
	a->failing = true;
	a->lost_before = c->arch_io_errors;
	rte_log(RTE_LOG_ERR, dip_archive_log,
		"%s; frames are counted as arch_io_errors until it works again\n", why);
}

static void end_episode(struct dip_archiver *a)
{
	if (!a->failing)
		return;
	a->failing = false;
	rte_log(RTE_LOG_NOTICE, dip_archive_log,
		"%s: archiving again; %" PRIu64 " frames were lost\n", a->segment.path,
		dip_archive_counters->arch_io_errors - a->lost_before);
}

/* --- segments --- */

void dip_archive_close_segment(struct dip_archiver *a)
{
	struct dip_error err;

	if (a->segment.fd < 0)
		return;
	if (a->removed) {
		dip_segment_abandon(&a->segment);
		a->removed = false;
	} else if (dip_segment_close(&a->segment, &err) < 0) {
		dip_count(&dip_archive_counters->arch_segment_errors, 1);
		rte_log(RTE_LOG_ERR, dip_archive_log, "%s\n", err.text);
	}
}

int dip_archive_open_segment(struct dip_archiver *a, struct dip_error *err)
{
	int ret = dip_segment_open(&a->conf.segment, a->next_number, &a->segment, err);

	if (ret < 0)
		return ret;
	a->next_number++;
	a->next_slot = 0;
	a->fifo.align = a->segment.direct ? a->conf.segment.block_bytes : 1;
	dip_count(&dip_archive_counters->arch_segments, 1);
	if (a->conf.segment.direct && !a->segment.direct && a->next_number == 1)
		rte_log(RTE_LOG_NOTICE, dip_archive_log,
			"%s: O_DIRECT is not possible for this file system and record size; "
			"writing through the page cache\n",
			a->segment.path);
	return 0;
}

/* Have a segment with room for a record. All writes to a full one must have ended first. */
bool dip_archive_have_room(struct dip_archiver *a)
{
	struct dip_error err;
	bool full = a->segment.fd >= 0 && (a->removed || a->next_slot == a->segment.capacity);

	if (a->segment.fd >= 0 && !full)
		return true;
	if (a->fifo.head != a->fifo.tail)
		return false;
	if (full) {
		dip_archive_close_segment(a);
		dip_count(&dip_archive_counters->arch_rotations, 1);
	}
	if (dip_archive_open_segment(a, &err) < 0) {
		begin_episode(a, err.text);
		return false;
	}
	return true;
}

/* --- completions --- */

static void commit_frame(struct dip_archiver *a, struct dip_frame *frame)
{
	dip_histogram_record(latency, (rte_rdtsc() - frame->tsc) * a->ns_per_tsc);
	dip_segment_commit(&a->segment, frame->seq);
	dip_count(&dip_archive_counters->arch_bytes, a->image_bytes);
	dip_archive_release(a, frame, &dip_archive_counters->arch_frames);
}

/* The oldest write has failed and none is under way any more: its first unwritten frame is lost;
 * all that come after have to be written again, each one place further down. */
static void recover(struct dip_archiver *a, struct dip_write *failed)
{
	unsigned int first = failed->done / failed->stride, n = 0;
	struct dip_frame **order = a->spare;
	struct dip_error why;

	dip_fail(&why, failed->error, "%s: write: %s", a->segment.path, strerror(failed->error));
	begin_episode(a, why.text);
	for (unsigned int i = 0; i < first; i++)
		commit_frame(a, failed->frame[i]);
	dip_archive_release(a, failed->frame[first], &dip_archive_counters->arch_io_errors);
	for (unsigned int i = first + 1; i < failed->frames; i++)
		order[n++] = failed->frame[i];
	dip_fifo_pop(&a->fifo);
	for (; a->fifo.head < a->fifo.tail; dip_fifo_pop(&a->fifo)) {
		struct dip_write *w = &a->fifo.writes[a->fifo.head % a->fifo.depth];

		for (unsigned int i = 0; i < w->frames; i++)
			order[n++] = w->frame[i];
	}
	/* What was already waiting to be written again came behind what was in flight. */
	while (a->again_first < a->again_end)
		order[n++] = a->again[a->again_first++];
	a->spare = a->again;
	a->again = order;
	a->again_first = 0;
	a->again_end = n;
	a->next_slot = a->segment.committed;
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
			commit_frame(a, w->frame[i]);
		dip_fifo_pop(&a->fifo);
		end_episode(a);
		work++;
	}
	return work;
}
