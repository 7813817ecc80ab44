/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dma/source.h"

/* Copies by a DMA engine: a DPDK dmadev of whatever driver. Each queue of a source has a virtual
 * channel of the dmadev for itself; what is in flight there lies in a ring:
 *
 *	          head            sent             tail
 *	... landed | at the dmadev | no room there yet | free ...
 *
 * A copy that the dmadev has no room for waits for the next poll. Copies land in the order of their
 * submission. One that fails lands with -EREMOTEIO; of failures less than a second apart the first is
 * logged. */

struct dip_offload_conf {
	int16_t dmadev;
	const char *name;    /* of the dmadev; kept by the caller */
	unsigned int copies; /* in flight at most, of each queue, 1..DIP_FLIGHTS */
	unsigned int queues;
	size_t bytes; /* of each copy */

	/* The pixels of frame seq, which stay where they are. */
	const uint16_t *(*locate)(const void *priv, uint64_t seq);
	const void *priv;
};

struct dip_offload;

/* Take virtual channels, one a queue. Returns 0, or a negative errno with *err. Main lcore, as
 * dip_offload_free. */
int dip_offload_create(
	const struct dip_offload_conf *conf, struct dip_offload **offload, struct dip_error *err);
void dip_offload_free(struct dip_offload *offload); /* NULL is allowed */

/* Before a source starts: nothing is in flight. Returns 0 or a negative errno. */
int dip_offload_start(struct dip_offload *offload);

/* How a source uses it; priv is the struct dip_offload. */
const struct dip_mover *dip_offload_mover(const struct dip_offload *offload);
