/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* DPDK's dmadevs, and which of their virtual channels the queues of sources have. A dmadev is set up
 * and started for its first user, and stopped after its last one. All by the main lcore. */

/* Descriptors of a virtual channel, as far as the dmadev allows them: twice what is ever in flight. */
#define DIP_DMADEV_RING 512

struct rte_dma_info;

/* The dmadev of that name, -1: none. Names of all of them, separated by commas, or "none". */
int16_t dip_dmadev_find(const char *name);
void dip_dmadev_names(char *text, size_t size);

/* Whether such a dmadev can do so many copies at a time, or any at all. Returns 0, or -EINVAL with
 * *err. */
int dip_dmadev_check(const struct rte_dma_info *info, unsigned int copies, struct dip_error *err);

/* Virtual channels that nobody has taken. */
unsigned int dip_dmadev_free_channels(int16_t id);

/* Take n virtual channels, their numbers in channels[0..n). Returns 0, or a negative errno with *err
 * and none taken. */
int dip_dmadev_take(
	int16_t id, unsigned int copies, uint16_t *channels, unsigned int n, struct dip_error *err);
void dip_dmadev_release(int16_t id, uint16_t channel);

/* Stop it: nothing is written any more, what is under way is forgotten, for all that have a channel of
 * it. Start it again when it is not running. Returns 0 or a negative errno. */
void dip_dmadev_stop(int16_t id);
int dip_dmadev_start(int16_t id);
