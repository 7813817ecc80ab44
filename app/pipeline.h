/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "archive/archiver.h"
#include "detect/detector.h"
#include "detect/sites_file.h"
#include "ingest/ingest.h"
#include "options.h"
#include "outputs.h"
#include "placement.h"
#include "process/process.h"
#include "results/results.h"

/* Everything between the source and the files; pipeline.c has the picture. */

struct lane {
	struct rte_ring *ring;
	struct dip_window *window; /* NULL: nobody wants results */
	struct dip_ingest *ingest;
};

struct pipeline {
	const struct settings *settings;
	unsigned int source;          /* its number, 0 .. DIP_SOURCES - 1 */
	unsigned int first_lane;      /* of its lanes, among those of the process */
	unsigned int first_processor; /* likewise */
	char device[64];              /* its name */
	uint16_t dev_id;
	struct dip_dma_info info;
	size_t image_bytes;
	struct placement placement;
	struct dip_sites sites; /* never freed: telemetry reads them to the very end */
	struct dip_detector *detector;
	struct outputs outputs;
	struct dip_frame_pool *pool;
	struct dip_backlog *backlog; /* NULL: no frame is overwritten */
	struct lane lane[PLACEMENT_MAX];
	struct dip_process *process[PLACEMENT_MAX];
	struct rte_ring *arch_ring;
	struct dip_archiver *archiver; /* NULL: no archive */
	struct dip_results *results;   /* NULL: no results */
	bool started;
};

/* A source of the run. */
struct pipeline_conf {
	const char *device; /* its name */
	uint16_t dev_id;
	uint64_t limit;     /* it ends after so many frames; 0: no limit */
	bool archive_lcore; /* one of the last workers is there for its archive alone */
};

/* Check the settings against the sources and build everything, pipelines[i] of conf[i], the output
 * files last. Returns 0, or a negative errno with *err and nothing left behind. Main lcore. */
int pipelines_create(struct pipeline *pipelines, const struct settings *settings,
	const struct pipeline_conf *conf, unsigned int count, struct dip_error *err);

/* Hand every poller but the control to its lcore. */
int pipeline_place(struct pipeline *pipeline, struct dip_error *err);

/* Start the source. */
int pipeline_start(struct pipeline *pipeline, struct dip_error *err);

/* Take no more frames; then finish, or discard, what is queued. Any thread. */
void pipeline_stop(struct pipeline *pipeline);
void pipeline_discard(struct pipeline *pipeline);

/* The source has ended (or was stopped) on every lane. */
bool pipeline_finished(const struct pipeline *pipeline);

/* And nothing is queued or held any more. */
bool pipeline_drained(const struct pipeline *pipeline);

/* 0, or the errno with which the source failed. */
int pipeline_source_error(const struct pipeline *pipeline);

/* Frames in the rings and in the archiver's hands, counted there. */
unsigned int pipeline_queued_proc(const struct pipeline *pipeline);
unsigned int pipeline_queued_arch(const struct pipeline *pipeline);

/* After the lcores have ended. */
void pipeline_free(struct pipeline *pipeline);
