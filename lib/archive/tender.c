/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <string.h>

#include "archive/archiver_impl.h"
#include "archive/tender.h"

static void count_error(uint64_t *counter, const char *text)
{
	dip_count(counter, 1);
	rte_log(RTE_LOG_ERR, dip_archive_log, "%s\n", text);
}

void dip_tend_look(struct dip_tender *t, struct dip_segment *s)
{
	if (s->gone || dip_segment_linked(s))
		return;
	s->gone = true;
	__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
	dip_count(&t->counters->arch_segment_errors, 1);
	rte_log(RTE_LOG_ERR, dip_archive_log,
		"%s: removed while it was written; the %" PRIu64 " frames in it are gone\n",
		s->path, __atomic_load_n(&s->committed, __ATOMIC_RELAXED));
}

/* An index that cannot be written is tried again at the next sync and at the close. */
static void note_index(struct dip_tender *t, const struct dip_segment *s, int ret)
{
	if (ret < 0 && !t->index_failing)
		rte_log(RTE_LOG_ERR, dip_archive_log,
			"%s: its index: %s; written when it works again\n", s->path,
			strerror(-ret));
	t->index_failing = ret < 0;
}

static uint64_t durable_of(struct dip_segment **segments, unsigned int count)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < count; i++)
		n += segments[i]->durable;
	return n;
}

unsigned int dip_tend_sync(struct dip_tender *t, struct dip_segment **segments, unsigned int count,
	unsigned int retired)
{
	uint64_t before = durable_of(segments, count);
	unsigned int condemned;
	struct dip_error err;

	/* What fails here is told at the close. */
	for (unsigned int i = 0; i < retired; i++)
		if (!segments[i]->cut && !dip_segment_finished(segments[i]))
			dip_segment_cut(segments[i], &err);
	condemned = dip_segments_sync(segments, count);
	dip_count(&t->counters->arch_durable, durable_of(segments, count) - before);
	for (unsigned int i = 0; i < count; i++) {
		struct dip_segment *s = segments[i];

		if (s->condemned && s->in_round && dip_segment_failure(s, &err) < 0)
			count_error(&t->counters->arch_condemned, err.text);
		note_index(t, s, dip_segment_write_index(s));
	}
	return condemned;
}

static void close_one(struct dip_tender *t, struct dip_segment *s)
{
	int place = t->with_sidecar ? dip_sidecar_closing(&t->sidecar, s) : -1;
	bool told = s->condemned;
	struct dip_error err;
	int ret = dip_segment_close(s, &err);

	dip_sidecar_closed(&t->sidecar, place, s);
	if (ret < 0 && !told)
		count_error(&t->counters->arch_segment_errors, err.text);
}

unsigned int dip_tend_close(struct dip_tender *t, struct dip_segment **segments,
	unsigned int retired, bool give_up, struct dip_segment **closed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < retired; i++) {
		if (!give_up && !dip_segment_finished(segments[i]))
			continue;
		close_one(t, segments[i]);
		closed[n++] = segments[i];
	}
	return n;
}

/* It can be made anew from the segments at any time: what fails is said once, and tried again. */
void dip_tend_sidecar(struct dip_tender *t, bool now)
{
	struct dip_error err;
	int ret = dip_sidecar_write(&t->sidecar, now, &err);

	if (ret < 0 && !t->sidecar.failing)
		count_error(&t->counters->arch_sidecar_errors, err.text);
	/* What is not due yet says nothing about the disk. */
	if (ret < 0 || !t->sidecar.dirty)
		t->sidecar.failing = ret < 0;
}
