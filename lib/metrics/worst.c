/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <unistd.h>

#include "metrics/worst.h"

/* How often, and how long apart, a reader looks at what is being written. */
#define ATTEMPTS 100
#define ATTEMPT_US 50

static void store(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
}

static void write_place(struct dip_worst_place *p, const struct dip_worst_frame *frame)
{
	uint64_t version = p->version;

	store(&p->version, version + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store(&p->frame.seq, frame->seq);
	store(&p->frame.timestamp_ns, frame->timestamp_ns);
	store(&p->frame.dequeued_ns, frame->dequeued_ns);
	store(&p->frame.result_ns, frame->result_ns);
	__atomic_store_n(&p->version, version + 2, __ATOMIC_RELEASE);
}

static bool read_place(const struct dip_worst_place *p, struct dip_worst_frame *out)
{
	uint64_t version = __atomic_load_n(&p->version, __ATOMIC_ACQUIRE);

	out->seq = dip_read(&p->frame.seq);
	out->timestamp_ns = dip_read(&p->frame.timestamp_ns);
	out->dequeued_ns = dip_read(&p->frame.dequeued_ns);
	out->result_ns = dip_read(&p->frame.result_ns);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return version % 2 == 0 && version == dip_read(&p->version);
}

/* All places are in use: which one is the next to go? */
static void find_last(struct dip_worst *w)
{
	w->last = 0;
	for (unsigned int i = 1; i < DIP_WORST; i++)
		if (w->place[i].frame.result_ns < w->place[w->last].frame.result_ns)
			w->last = i;
	w->bar = w->place[w->last].frame.result_ns;
}

void dip_worst_note(struct dip_worst *w, const struct dip_worst_frame *frame)
{
	uint64_t window = dip_peak_window_of(w->source);

	if (window != w->window) {
		store(&w->count, 0);
		w->bar = 0;
		__atomic_store_n(&w->window, window, __ATOMIC_RELEASE);
	}
	if (w->count < DIP_WORST) {
		write_place(&w->place[w->count], frame);
		__atomic_store_n(&w->count, w->count + 1, __ATOMIC_RELEASE);
	} else {
		write_place(&w->place[w->last], frame);
	}
	if (w->count == DIP_WORST)
		find_last(w);
}

/* The frames of one writer. Returns how many. */
static unsigned int read_one(const struct dip_worst *w, struct dip_worst_frame *out)
{
	uint64_t window = __atomic_load_n(&w->window, __ATOMIC_ACQUIRE), count;
	unsigned int n = 0;

	if (window != dip_peak_window_of(w->source))
		return 0;
	count = __atomic_load_n(&w->count, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < count; i++) {
		unsigned int attempt = 0;

		while (!read_place(&w->place[i], &out[n]) && ++attempt < ATTEMPTS)
			usleep(ATTEMPT_US);
		n += attempt < ATTEMPTS;
	}
	return n;
}

static int slowest_first(const void *a, const void *b)
{
	const struct dip_worst_frame *x = a, *y = b;

	if (x->result_ns != y->result_ns)
		return x->result_ns < y->result_ns ? 1 : -1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

unsigned int dip_worst_read(
	const struct dip_worst *worst, unsigned int n, struct dip_worst_frame out[DIP_WORST])
{
	struct dip_worst_frame all[2 * DIP_WORST];
	unsigned int have = 0;

	for (unsigned int i = 0; i < n; i++) {
		have += read_one(&worst[i], all + have);
		qsort(all, have, sizeof(all[0]), slowest_first);
		have = have < DIP_WORST ? have : DIP_WORST;
	}
	for (unsigned int i = 0; i < have; i++)
		out[i] = all[i];
	return have;
}
