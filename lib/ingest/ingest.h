/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring_elem.h>

#include "dma/dma.h"
#include "lcore/lcore.h"
#include "results/window.h"

/* The ingest poller: takes frames from one queue of the source and offers each to the sinks. What
 * a sink cannot take is counted by name; or, with block, offered again before the next frame is
 * taken; or, with a backlog, put into the place of the oldest in the sink's queue. */

#define DIP_INGEST_BURST 32
#define DIP_LANES 64

struct dip_ingest_conf {
	unsigned int source; /* whose counters it raises: metrics/metrics.h */
	unsigned int lane;   /* 0..DIP_LANES - 1, one of all lanes of the process */
	uint16_t dev_id;
	uint16_t queue;        /* of the device */
	unsigned int burst;    /* frames a poll, 1..DIP_INGEST_BURST */
	struct rte_ring *proc; /* of struct dip_desc; this lane alone enqueues */
	struct rte_ring *arch; /* of struct dip_desc; shared by the lanes; NULL: no archive */
	/* Where queued frames are noted, so that newer ones can overwrite them; the rings must let
	 * several threads dequeue. NULL: they are not overwritten. */
	struct dip_backlog *backlog;
	uint64_t nth_archive;      /* frames whose seq is a multiple of it are offered to arch */
	uint32_t image_bytes;      /* of a frame's pixels */
	struct dip_window *window; /* the lane's results; NULL: nobody wants results */
	bool block;
	int nice; /* nice value of its thread, 0: as it is */
};

struct dip_ingest;

/* Returns 0 or -ENOMEM. Main lcore. */
int dip_ingest_create(const struct dip_ingest_conf *conf, struct dip_ingest **ingest);
void dip_ingest_free(struct dip_ingest *ingest); /* NULL is allowed */

/* The poller; its arg is the struct dip_ingest. */
struct dip_poller dip_ingest_poller(struct dip_ingest *ingest);

/* Take no more frames; those already taken are still offered. Any thread. */
void dip_ingest_stop(struct dip_ingest *ingest);

/* Offer nothing more either: frames still held are counted as discarded. Any thread. */
void dip_ingest_discard(struct dip_ingest *ingest);

/* Nothing will come from this lane any more: the source has ended or failed, or the poller was
 * stopped, and everything taken has been offered. Any thread. */
bool dip_ingest_finished(const struct dip_ingest *ingest);

/* 0, or the errno with which the source failed. Any thread. */
int dip_ingest_error(const struct dip_ingest *ingest);
