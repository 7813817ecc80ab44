/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "dma/store.h"
#include "dma/stream.h"

#define NAP_US 100 /* while nothing is to be read */
#define NONE UINT64_MAX

RTE_LOG_REGISTER(dip_stream_log, dip.dma.stream, NOTICE);

/* What a place of the store holds. */
struct held {
	uint64_t number; /* atomic, by the thread: that of the frame, plus 1; 0: being read */
	uint32_t pins;   /* atomic: queues that are copying it */
	int result;      /* of reading it */
} __rte_cache_aligned;

/* A frame on its way. */
struct wanted {
	unsigned int slot;
	uint64_t seq;
	uint16_t *pixels;
	bool waited; /* it was not there when it was asked for */
};

/* One queue's; first is read by the thread. */
struct queue {
	uint64_t first; /* atomic: the earliest number on its way, or NONE */
	uint32_t head, tail;
	struct wanted wanted[DIP_FLIGHTS];
} __rte_cache_aligned;

struct dip_stream {
	struct dip_stream_conf conf;
	struct dip_store store;
	struct held *held;
	struct queue *queue;
	unsigned int queues;
	uint64_t end; /* the first number that never comes */
	/* the thread's */
	const uint64_t *next_seq;
	pthread_t thread;
	bool running, told;
	bool stop; /* atomic */
	pthread_mutex_t reading;
};

/* --- the store: the thread writes a place when nobody has it pinned --- */

static struct held *place_of(const struct dip_stream *s, uint64_t seq)
{
	return &s->held[seq % s->conf.held];
}

static bool holds(const struct dip_stream *s, uint64_t seq)
{
	return place_of(s, seq)->number == seq + 1;
}

static int read_frame(struct dip_stream *s, uint64_t seq, uint16_t *pixels, struct dip_error *err)
{
	int ret;

	pthread_mutex_lock(&s->reading);
	ret = s->conf.read(s->conf.priv, seq % s->conf.frames, pixels, err);
	pthread_mutex_unlock(&s->reading);
	return ret;
}

static int fill(struct dip_stream *s, uint64_t seq, struct dip_error *err)
{
	struct held *h = place_of(s, seq);

	/* Either a queue sees that the frame is gone, or we see that it has it pinned. */
	__atomic_store_n(&h->number, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&h->pins, __ATOMIC_SEQ_CST) > 0)
		rte_pause();
	h->result = read_frame(s, seq, dip_store_frame(&s->store, seq % s->conf.held), err);
	__atomic_store_n(&h->number, seq + 1, __ATOMIC_RELEASE);
	return h->result;
}

/* The frame's place, pinned; NULL when it is not there. */
static struct held *pin(struct dip_stream *s, uint64_t seq)
{
	struct held *h = place_of(s, seq);

	__atomic_fetch_add(&h->pins, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&h->number, __ATOMIC_SEQ_CST) == seq + 1)
		return h;
	__atomic_fetch_sub(&h->pins, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* --- the thread --- */

static uint64_t earliest_wanted(const struct dip_stream *s)
{
	uint64_t first = __atomic_load_n(s->next_seq, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < s->queues; i++)
		first = RTE_MIN(first, __atomic_load_n(&s->queue[i].first, __ATOMIC_ACQUIRE));
	return first;
}

static void tell(struct dip_stream *s, const struct dip_error *err)
{
	if (!s->told)
		rte_log(RTE_LOG_ERR, dip_stream_log, "%s\n", err->text);
	s->told = true;
}

/* Read the next frame, if there is room. Returns whether there was. */
static bool read_ahead(struct dip_stream *s, uint64_t *next)
{
	uint64_t first = earliest_wanted(s);
	struct dip_error err;

	if (*next < first || !holds(s, first))
		*next = first;
	while (*next < first + s->conf.held && holds(s, *next))
		++*next;
	if (*next >= first + s->conf.held || *next >= s->end)
		return false;
	if (fill(s, *next, &err) < 0)
		tell(s, &err);
	++*next;
	return true;
}

static void *run(void *arg)
{
	struct dip_stream *s = arg;
	uint64_t next = 0;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
		if (!read_ahead(s, &next))
			usleep(NAP_US);
	return NULL;
}

int dip_stream_start(struct dip_stream *s, const uint64_t *next_seq)
{
	int ret;

	s->next_seq = next_seq;
	s->told = s->stop = false;
	for (unsigned int i = 0; i < s->queues; i++)
		s->queue[i].first = NONE;
	for (uint64_t i = 0; i < s->conf.held; i++)
		if (s->held[i].result < 0)
			s->held[i].number = 0;
	ret = rte_ctrl_thread_create(&s->thread, "dip-reader", NULL, run, s);
	s->running = ret == 0;
	return ret;
}

void dip_stream_stop(struct dip_stream *s)
{
	if (!s->running)
		return;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	pthread_join(s->thread, NULL);
	s->running = false;
}

/* --- the queues --- */

int dip_stream_submit(struct dip_stream *s, uint16_t queue, unsigned int slot, uint64_t seq,
	struct dip_frame *frame)
{
	struct queue *q = &s->queue[queue];

	q->wanted[q->tail % DIP_FLIGHTS] =
		(struct wanted){.slot = slot, .seq = seq, .pixels = frame->pixels};
	if (q->tail++ == q->head)
		__atomic_store_n(&q->first, seq, __ATOMIC_RELEASE);
	return 0;
}

/* In order: what comes after a frame that is not there could not be delivered either. */
unsigned int dip_stream_reap(
	struct dip_stream *s, uint16_t queue, struct dip_landed *landed, unsigned int max)
{
	struct queue *q = &s->queue[queue];
	unsigned int n = 0;

	while (n < max && q->head != q->tail) {
		struct wanted *w = &q->wanted[q->head % DIP_FLIGHTS];
		struct held *h = pin(s, w->seq);
		uint64_t begin = rte_rdtsc();

		w->waited |= h == NULL;
		if (h == NULL)
			break;
		landed[n] = (struct dip_landed){.slot = w->slot, .result = h->result};
		if (h->result == 0)
			memcpy(w->pixels, dip_store_frame(&s->store, w->seq % s->conf.held),
				s->conf.frame_bytes);
		__atomic_fetch_sub(&h->pins, 1, __ATOMIC_RELEASE);
		if (!w->waited)
			landed[n].ticks = RTE_MAX(rte_rdtsc() - begin, 1u);
		n++;
		q->head++;
	}
	if (n > 0)
		__atomic_store_n(&q->first,
			q->head == q->tail ? NONE : q->wanted[q->head % DIP_FLIGHTS].seq,
			__ATOMIC_RELEASE);
	return n;
}

int dip_stream_read(struct dip_stream *s, uint64_t seq, uint16_t *pixels)
{
	struct dip_error err;

	return read_frame(s, seq, pixels, &err);
}

/* --- making and freeing --- */

int dip_stream_create(
	const struct dip_stream_conf *conf, struct dip_stream **out, struct dip_error *err)
{
	struct dip_stream *s = calloc(1, sizeof(*s));
	int ret = 0;

	if (s == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	s->conf = *conf;
	pthread_mutex_init(&s->reading, NULL);
	s->held = rte_zmalloc("dip_stream", conf->held * sizeof(*s->held), RTE_CACHE_LINE_SIZE);
	if (s->held == NULL)
		ret = dip_fail(err, ENOMEM, "out of memory");
	if (ret == 0)
		ret = dip_store_create(&s->store, conf->held, conf->frame_bytes, false, err);
	for (uint64_t i = 0; ret == 0 && i < conf->held; i++)
		ret = fill(s, i, err);
	if (ret < 0)
		dip_stream_free(s);
	else
		*out = s;
	return ret;
}

int dip_stream_configure(struct dip_stream *s, const struct dip_dma_conf *conf)
{
	struct queue *queue =
		rte_zmalloc("dip_stream", conf->queues * sizeof(*queue), RTE_CACHE_LINE_SIZE);

	if (queue == NULL)
		return -ENOMEM;
	rte_free(s->queue);
	s->queue = queue;
	s->queues = conf->queues;
	s->end = conf->loop ? UINT64_MAX : s->conf.frames;
	return 0;
}

void dip_stream_free(struct dip_stream *s)
{
	if (s == NULL)
		return;
	dip_stream_stop(s);
	rte_free(s->queue);
	rte_free(s->held);
	dip_store_free(&s->store);
	pthread_mutex_destroy(&s->reading);
	free(s);
}
