/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/dma: a virtual source's state, shared by
 *
 *	source.c    the poll: which frames are taken, which are lost
 *	schedule.c  which numbers there are, and when they are due
 *	flight.c    transfers that go on while nobody waits for them
 *	engine.c    what copies a frame into a slab: copy.c, the CPU, or offload.c, a dmadev
 *	play.c      faults on demand
 *	rawdev.c    its face as a rawdev
 */

#include <rte_rawdev.h>

#include "dma/copy.h"
#include "dma/faults.h"
#include "dma/offload.h"
#include "dma/source.h"

/* The arguments that every source has. */
struct dip_source_common {
	char *faults;
	char *engine;
	int64_t copies;
	char *config;
};

/* What a fault does to a frame on its way: bit i of faults is fault i. */
struct dip_taken {
	uint64_t seq;
	uint64_t begin; /* of its transfer, TSC ticks */
	uint32_t faults;
};

struct dip_flight {
	struct dip_frame *frame;
	struct dip_taken taken;
	int result;     /* 0 or a negative errno, once it has landed */
	uint64_t ticks; /* as in struct dip_landed */
	bool landed;
};

/* One queue's, touched by its thread alone. */
struct dip_queue {
	struct dip_frame *again; /* a duplicate to be delivered with the next poll */
	bool stopping;           /* it was polled since the stop */
	bool drained;            /* of what was due then, nothing is left for it */
	uint64_t due_at_stop;    /* frames below this number were due then */
	struct dip_fault_state faults;
	/* In order of seq: flight[first % DIP_FLIGHTS] .. flight[(last - 1) % DIP_FLIGHTS]. */
	uint32_t first, last;
	uint64_t arrived; /* the latest of them, TSC ticks: none behind it came earlier */
	struct dip_flight flight[DIP_FLIGHTS];
} __rte_cache_aligned;

struct dip_source {
	const struct dip_source_ops *ops;
	struct dip_option_table arguments; /* the driver's and the common ones */
	struct dip_source_common common;
	struct dip_faults *faults; /* NULL: none */
	struct dip_dma_info info;
	struct dip_dma_conf conf;
	bool open, configured;
	uint64_t configurations;
	size_t frame_bytes;
	const struct dip_copier *copier;
	struct dip_offload *offload;   /* NULL: no dmadev copies */
	const struct dip_mover *mover; /* NULL: transfers are done when they return */
	void *mover_priv;
	/* Set at start, read by the queues' threads. */
	uint64_t start_tsc; /* frame 0 is due */
	uint64_t end;       /* the first seq that never comes */
	double fps_per_tsc, tsc_per_frame, ns_per_tsc;
	uint64_t *next_seq;                /* atomic, one for all queues */
	struct dip_dma_counters *counters; /* an array, one a queue */
	struct dip_queue *queues;          /* conf.queues of them */
	struct dip_fault_shared played;
	bool failed; /* atomic: the device is dead for all queues */
	uint8_t priv[] __rte_cache_aligned;
};

static inline bool dip_source_failed(const struct dip_source *s)
{
	return __atomic_load_n(&s->failed, __ATOMIC_RELAXED);
}

static inline void dip_source_fail(struct dip_source *s)
{
	__atomic_store_n(&s->failed, true, __ATOMIC_RELAXED);
}

/* --- source.c --- */

int dip_source_dequeue(struct rte_rawdev *dev, struct rte_rawdev_buf **bufs, unsigned int count,
	rte_rawdev_obj_t context);

/* A frame has arrived: time stamps, and what the faults do to it. end: TSC ticks. */
void dip_source_arrive(struct dip_source *s, uint16_t queue, struct dip_frame *frame,
	const struct dip_taken *taken, uint64_t end);

/* The transfer of a frame failed: it is lost when what there was is damaged (-EBADMSG) or a DMA engine
 * did not copy it (-EREMOTEIO); else the device has failed as well. Gives the frame back. */
void dip_source_lose(
	struct dip_source *s, struct dip_dma_counters *c, struct dip_frame *frame, int why);

/* Put the pixels of a frame there, now. Returns 0 or a negative errno. */
int dip_source_copy(struct dip_source *s, uint16_t queue, uint64_t seq, uint16_t *pixels);

/* --- engine.c --- */

/* What can be said of the argument engine= once the source is examined; and once it is open. Returns
 * 0, or -EINVAL with *err. */
int dip_engine_examine(const struct dip_source *s, struct dip_error *err);
int dip_engine_open(const struct dip_source *s, struct dip_error *err);

/* Queues that the engine can serve, at most those that the source has. */
uint16_t dip_engine_queues(const struct dip_source *s);

/* Choose what copies frames, and say so in info.engine: a copier, or a dmadev with its mover in
 * *mover. Returns 0, or a negative errno with *err and the dmadev given back. */
int dip_engine_configure(struct dip_source *s, const struct dip_dma_conf *conf,
	const struct dip_mover **mover, struct dip_error *err);
void dip_engine_close(struct dip_source *s);

/* --- schedule.c --- */

/* How many frames have a number below seq, and the number of the index-th one: most sources number
 * them without gaps. */
static inline uint64_t dip_source_index(const struct dip_source *s, uint64_t seq)
{
	return s->ops->index != NULL ? s->ops->index(s->priv, seq) : seq;
}

static inline uint64_t dip_source_number(const struct dip_source *s, uint64_t index)
{
	return s->ops->number != NULL ? s->ops->number(s->priv, index) : index;
}

/* Whether frames are due at moments of their own, rather than as fast as they can be taken. */
static inline bool dip_source_paced(const struct dip_source *s)
{
	return s->conf.fps > 0;
}

/* Set end and rates; at a start. */
void dip_schedule_init(struct dip_source *s);

/* All frames with a number below this are due at now. */
uint64_t dip_schedule_due(struct dip_source *s, uint16_t queue, uint64_t now);

/* When a frame of a paced source is due, TSC ticks. */
uint64_t dip_schedule_tsc(const struct dip_source *s, uint64_t seq);

/* When the next frame of a paced source that nobody has taken is due; behind the last one, its end. */
uint64_t dip_schedule_next_tsc(const struct dip_source *s);

/* The moment at which the source has ended, when all its frames were taken before. */
uint64_t dip_schedule_end(const struct dip_source *s);

/* --- flight.c --- */

/* Transfers on their way in a queue. */
static inline uint32_t dip_flights(const struct dip_queue *q)
{
	return q->last - q->first;
}

/* How many more may be begun. */
unsigned int dip_flights_room(const struct dip_source *s, uint16_t queue);

/* Begin the transfers of n frames, whose references go with them. */
void dip_flights_begin(struct dip_source *s, uint16_t queue, struct dip_frame **frames,
	const struct dip_taken *taken, unsigned int n);

/* Take up to max frames that have landed, in order. Frames that failed are counted and given back,
 * and mark the queue as failed. */
unsigned int dip_flights_land(
	struct dip_source *s, uint16_t queue, struct dip_frame **frames, unsigned int max);

/* Wait for all of them, and give their frames back, counted as missed. */
void dip_flights_stop(struct dip_source *s, uint16_t queue);

/* --- arguments.c, registry.c --- */

struct dip_source_ops *dip_source_first(void);
#define DIP_SOURCE_FOREACH(ops)                                                                    \
	for (ops = dip_source_first(); ops != NULL; ops = STAILQ_NEXT(ops, next))

/* Set all arguments to what the devargs' text says, and to their defaults otherwise. Returns 0, or
 * a negative errno with *err and nothing left behind. */
int dip_source_arguments(struct dip_source *s, const char *text, struct dip_error *err);
void dip_source_arguments_free(struct dip_source *s);

/* The rows of the common ones. */
struct dip_option_table dip_source_common_table(void);
