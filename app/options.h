/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "config/config.h"

/* Every setting of the program, one field a key, in the order of the option rows. */
struct settings {
	struct {
		int64_t image_w, image_h, frame_bytes, slabs;
		double fps;
		int64_t nth_archive;
		bool drain_queues;
		char *overrun, *telemetry_group;
	} main;
	struct {
		int64_t row_start, col_start, row_end, col_end, roi_w, roi_h;
		double lambda_occ, lambda_empty, fp_target, fill;
		int64_t max_k;
		char *sites;
		double pixel_threshold;
		char *offset_map, *gain_map, *hot_pixels;
	} pois;
	struct {
		bool pace_frames;
		int64_t cpu_affinity, thread_nice;
		bool loop_frames;
	} dma;
	struct {
		int64_t worker_threads;
		bool print_stdout;
		int64_t interval_print;
		char *proc_output_dir;
		int64_t ring_size;
		char *results;
		bool sums;
		int64_t results_window;
		char *detector, *kernel;
		int64_t deadline_us;
		int64_t site_stats;
		bool stats;
	} proc;
	struct {
		int64_t segment_bytes, io_buffer_bytes;
		bool make_index, use_io_uring, direct_io;
		int64_t uring_qd, max_inflight, block_bytes;
		char *arch_output_dir, *arch_output_prefix;
		int64_t ring_size;
		char *format, *backend;
		int64_t delay_us, stall_write, stall_ms; /* of the back end "delay" */
		bool checksum;
		int64_t sync_interval_ms, max_rate;
		bool hdf5;
	} arch;
	struct {
		char *layout, *ingest, *process, *archive, *results, *exclusive;
		char *idle;
		int64_t sleep_max_us;
	} lcores;
};

/* What main.overrun comes to: a source that has no pace of its own waits, rather than overwrite without
 * end what it has just delivered. */
enum overrun { OVERRUN_DROP, OVERRUN_BLOCK, OVERRUN_OVERWRITE };

enum overrun overrun_of(const struct settings *settings);

extern const struct dip_option_table option_table;
