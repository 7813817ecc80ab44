/* SPDX-License-Identifier: BSD-3-Clause */
/* rte_dma_* is stable since DPDK 23.11 and has not changed since 22.11. */
#define ALLOW_EXPERIMENTAL_API

#include <errno.h>

#include <rte_cycles.h>
#include <rte_dmadev.h>
#include <rte_log.h>
#include <rte_malloc.h>

#include "dma/dmadev.h"
#include "dma/offload.h"

#define REAP_MAX 32

_Static_assert(DIP_DMADEV_RING > DIP_FLIGHTS, "a ring of descriptors holds one less than its size");

RTE_LOG_REGISTER(dip_offload_log, dip.dma.dmadev, NOTICE);

struct copy {
	unsigned int slot;
	bool rejected; /* never was at the dmadev */
	const void *from;
	void *to;
};

/* One queue's, touched by its thread alone. */
struct channel {
	uint16_t number; /* of the virtual channel */
	bool bell;       /* copies wait for the doorbell */
	bool halted;
	uint32_t head, sent, tail;
	uint64_t failed_tsc; /* the last failure; 0: none */
	struct copy copy[DIP_FLIGHTS];
} __rte_cache_aligned;

struct dip_offload {
	struct dip_offload_conf conf;
	struct dip_mover mover;
	struct channel channel[];
};

static struct copy *copy_at(struct channel *c, uint32_t at)
{
	return &c->copy[at % DIP_FLIGHTS];
}

/* Of failures that follow each other the first is worth a line. */
static void note_failure(const struct dip_offload *o, struct channel *c, const char *what, int code)
{
	uint64_t now = rte_rdtsc();

	if (c->failed_tsc == 0 || now - c->failed_tsc > rte_get_tsc_hz())
		rte_log(RTE_LOG_ERR, dip_offload_log,
			"dmadev %s, virtual channel %u: %s %d; the frame is lost, and counted in "
			"dma_copy_errors\n",
			o->conf.name, c->number, what, code);
	c->failed_tsc = now;
}

/* Hand over what waits, as far as there is room. */
static void send(const struct dip_offload *o, struct channel *c)
{
	while (c->sent != c->tail) {
		struct copy *copy = copy_at(c, c->sent);
		int ret = rte_dma_copy(o->conf.dmadev, c->number, (uintptr_t)copy->from,
			(uintptr_t)copy->to, o->conf.bytes, 0);

		if (ret == -ENOSPC)
			break;
		copy->rejected = ret < 0;
		c->bell |= ret >= 0;
		c->sent++;
		if (ret < 0)
			note_failure(o, c, "a copy is refused with errno", -ret);
	}
	if (c->bell)
		c->bell = rte_dma_submit(o->conf.dmadev, c->number) != 0;
}

static int submit(
	void *priv, uint16_t queue, unsigned int slot, uint64_t seq, struct dip_frame *frame)
{
	struct dip_offload *o = priv;
	struct channel *c = &o->channel[queue];

	*copy_at(c, c->tail++) = (struct copy){
		.slot = slot, .from = o->conf.locate(o->conf.priv, seq), .to = frame->pixels};
	return 0;
}

static void flush(void *priv, uint16_t queue)
{
	struct dip_offload *o = priv;

	send(o, &o->channel[queue]);
}

/* Of the next copies, those that the dmadev has. */
static uint16_t count_sent(struct channel *c, unsigned int max)
{
	uint16_t n = 0;

	for (uint32_t at = c->head; at != c->sent && at - c->head < max; at++)
		n += !copy_at(c, at)->rejected;
	return n;
}

static unsigned int reap(void *priv, uint16_t queue, struct dip_landed *landed, unsigned int max)
{
	struct dip_offload *o = priv;
	struct channel *c = &o->channel[queue];
	enum rte_dma_status_code status[REAP_MAX];
	unsigned int n, done = 0, there = 0;
	uint16_t wanted;

	if (!c->halted)
		send(o, c);
	max = RTE_MIN(max, (unsigned int)REAP_MAX);
	wanted = count_sent(c, max);
	if (wanted > 0 && !c->halted)
		there = rte_dma_completed_status(o->conf.dmadev, c->number, wanted, NULL, status);
	for (n = 0; n < max && c->head != c->sent; n++, c->head++) {
		struct copy *copy = copy_at(c, c->head);
		int result = -EREMOTEIO;

		if (!copy->rejected && !c->halted) {
			if (done == there)
				break;
			if (status[done] == RTE_DMA_STATUS_SUCCESSFUL)
				result = 0;
			else
				note_failure(o, c, "a copy fails with status", status[done]);
			done++;
		}
		landed[n] = (struct dip_landed){.slot = copy->slot, .result = result};
	}
	return n;
}

/* A dmadev that is stopped writes to no slab any more. */
static void abandon(void *priv, uint16_t queue)
{
	struct dip_offload *o = priv;
	struct channel *c = &o->channel[queue];

	rte_log(RTE_LOG_ERR, dip_offload_log,
		"dmadev %s, virtual channel %u: %u copies do not complete; the dmadev is stopped\n",
		o->conf.name, c->number, c->tail - c->head);
	dip_dmadev_stop(o->conf.dmadev);
	c->halted = true;
	c->sent = c->tail;
}

const struct dip_mover *dip_offload_mover(const struct dip_offload *o)
{
	return &o->mover;
}

int dip_offload_start(struct dip_offload *o)
{
	for (unsigned int i = 0; i < o->conf.queues; i++) {
		struct channel *c = &o->channel[i];

		c->head = c->sent = c->tail = 0;
		c->halted = c->bell = false;
		c->failed_tsc = 0;
	}
	return dip_dmadev_start(o->conf.dmadev);
}

int dip_offload_create(
	const struct dip_offload_conf *conf, struct dip_offload **offload, struct dip_error *err)
{
	struct dip_offload *o = rte_zmalloc("dip_offload",
		sizeof(*o) + conf->queues * sizeof(o->channel[0]), RTE_CACHE_LINE_SIZE);
	uint16_t number[DIP_DMA_MAX_QUEUES];
	int ret;

	if (o == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	ret = dip_dmadev_take(conf->dmadev, conf->copies, number, conf->queues, err);
	if (ret < 0) {
		rte_free(o);
		return ret;
	}
	for (unsigned int i = 0; i < conf->queues; i++)
		o->channel[i].number = number[i];
	o->conf = *conf;
	o->mover = (struct dip_mover){.depth = conf->copies,
		.submit = submit,
		.flush = flush,
		.reap = reap,
		.abandon = abandon};
	*offload = o;
	return 0;
}

void dip_offload_free(struct dip_offload *o)
{
	if (o == NULL)
		return;
	for (unsigned int i = 0; i < o->conf.queues; i++)
		dip_dmadev_release(o->conf.dmadev, o->channel[i].number);
	rte_free(o);
}
