/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "options.h"
#include "results/format.h"

#define COMMON(group, key, kind, preset_text, unit_text, help_text)                                \
	.name = #group "." #key, .type = DIP_OPTION_##kind, .preset = preset_text,                 \
	.unit = unit_text, .help = help_text, .offset = offsetof(struct settings, group.key)

#define INT(group, key, preset, low, high, unit, help)                                             \
	{                                                                                          \
		COMMON(group, key, INT, preset, unit, help), .min = low, .max = high               \
	}
#define FLOAT(group, key, preset, low, high, unit, help)                                           \
	{                                                                                          \
		COMMON(group, key, FLOAT, preset, unit, help), .min = low, .max = high,            \
							       .min_open = (low) == 0              \
	}
/* 0 turns it off, so that it is allowed. */
#define FLOAT_OR_0(group, key, preset, high, unit, help)                                           \
	{                                                                                          \
		COMMON(group, key, FLOAT, preset, unit, help), .min = 0, .max = high               \
	}
#define BOOL(group, key, preset, help)                                                             \
	{                                                                                          \
		COMMON(group, key, BOOL, preset, "", help)                                         \
	}
#define STRING(group, key, preset, help)                                                           \
	{                                                                                          \
		COMMON(group, key, STRING, preset, "", help)                                       \
	}
#define ENUM(group, key, preset, names, help)                                                      \
	{                                                                                          \
		COMMON(group, key, ENUM, preset, "", help), .choices = names                       \
	}

#define GIB 1073741824.0

static const struct dip_option rows[] = {
	INT(main, image_w, "0", 0, 8192, "pixels", "width of a frame; 0: as the source says"),
	INT(main, image_h, "0", 0, 8192, "pixels", "height of a frame; 0: as the source says"),
	INT(main, frame_bytes, "0", 0, 134217728, "bytes",
		"size of a frame, image_w x image_h x 2; 0: as the source says"),
	INT(main, slabs, "128", 2, 100000, "frames", "frame buffers in hugepage memory"),
	FLOAT(main, fps, "1000.0", 0, 1e9, "frames/s",
		"rate of a paced source: frame k is due k / fps after the start"),
	INT(main, nth_archive, "5", 0, 1e15, "frames",
		"archive frames whose number is a multiple of it; 1: all, 0: none"),
	BOOL(main, drain_queues, "true",
		"at a stop, finish the frames still queued; false: discard them, counted"),
	ENUM(main, overrun, "drop", "drop|block|overwrite",
		"a sink that cannot keep up loses its newest frames (drop), or the source waits "
		"(block), or the newest frame takes the slab of the oldest one still queued "
		"(overwrite)"),
	STRING(main, telemetry_group, "",
		"group, by name or number, whose members may ask telemetry; empty: this user "
		"alone"),

	INT(pois, row_start, "50", 0, 8192, "pixels", "first row of the ROI grid"),
	INT(pois, col_start, "50", 0, 8192, "pixels", "first column of the ROI grid"),
	INT(pois, row_end, "250", 0, 8192, "pixels", "row before which ROIs begin"),
	INT(pois, col_end, "250", 0, 8192, "pixels", "column before which ROIs begin"),
	INT(pois, roi_w, "10", 1, 8192, "pixels", "width of an ROI, and step from one to the next"),
	INT(pois, roi_h, "10", 1, 8192, "pixels",
		"height of an ROI, and step from one to the next"),
	FLOAT(pois, lambda_occ, "10.0", 0, 1e6, "counts", "mean count of an occupied site"),
	FLOAT(pois, lambda_empty, "0.5", 0, 1e6, "counts", "mean count of an empty site"),
	FLOAT(pois, fp_target, "0.001", 0, 1, "",
		"highest probability of calling an empty site occupied"),
	FLOAT(pois, fill, "0.5", 0, 1, "",
		"expected fraction of occupied sites, below 1: the threshold makes the fewest "
		"errors for it"),
	INT(pois, max_k, "1000", 1, 4294967295.0, "counts", "highest threshold accepted"),

	STRING(pois, sites, "",
		"file of sites, instead of the grid of ROIs; docs/detection.md has the format"),
	FLOAT_OR_0(pois, pixel_threshold, "0.0", 1e9, "counts",
		"a pixel counts 1 from here on, else 0; 0: pixels count what they are"),
	STRING(pois, offset_map, "",
		".npy file of the frame's shape: what each pixel has without light, subtracted "
		"first"),
	STRING(pois, gain_map, "",
		".npy file of the frame's shape: each pixel's value for a count, divided by next"),
	STRING(pois, hot_pixels, "",
		"pixels that count nothing: .npy mask of the frame's shape, or (N, 2) rows and "
		"columns, or a list as 12:40, 13:41"),

	BOOL(dma, pace_frames, "true", "deliver frames at main.fps; false: as fast as slabs come"),
	INT(dma, cpu_affinity, "-1", -1, 1023, "CPU",
		"CPU of the first ingest lcore; -1: as the placement says"),
	INT(dma, thread_nice, "0", -20, 19, "", "nice value of the ingest lcores' threads"),
	BOOL(dma, loop_frames, "true", "start over after the last frame; false: end there"),

	INT(proc, worker_threads, "0", 0, 128, "lcores",
		"processor lcores; 0: as many as there are, more than there are: as many as there "
		"are"),
	BOOL(proc, print_stdout, "false", "print results on stdout, too"),
	INT(proc, interval_print, "37", 1, 1e15, "frames", "print every so many-th result"),
	STRING(proc, proc_output_dir, "results", "folder of the results file; made when missing"),
	INT(proc, ring_size, "4096", 1, 1048576, "frames",
		"longest queue to the processors of a lane"),
	ENUM(proc, results, "text", DIP_RESULTS_CHOICES "none",
		"what is written for each processed frame: text, NumPy records (npy), nothing"),
	BOOL(proc, sums, "false", "npy results hold each site's sum and its margin, too"),
	INT(proc, results_window, "0", 0, 1048576, "frames",
		"results that may wait to be written, for each lane, at least 64; 0: 16,384, or as "
		"many as 64 MiB hold"),
	STRING(proc, detector, "patch", "the detector that decides which sites are occupied"),
	STRING(proc, kernel, "auto",
		"its inner loop: auto (the fastest this CPU has), scalar, avx2, avx512, neon"),
	INT(proc, deadline_us, "0", 0, 1e9, "us",
		"count frames decided later than this after their arrival as proc_late; 0: none"),
	INT(proc, site_stats, "16", 0, 1000000, "frames",
		"gather what each site counts from every so many-th frame of a processor; 0: from "
		"none"),
	BOOL(proc, stats, "true",
		"write every figure once a second into a .stats.jsonl beside the results file, for "
		"scripts/report.py; where there is no results file there is none of these"),

	INT(arch, segment_bytes, "1073741824", 4096, 1024 * GIB, "bytes",
		"size at which a segment ends and the next one begins"),
	INT(arch, io_buffer_bytes, "262144", 4096, GIB, "bytes",
		"gather small frames into writes of up to this size"),
	BOOL(arch, make_index, "true", "write an .idx file beside each segment"),
	BOOL(arch, use_io_uring, "true", "write through io_uring; false: with pwrite"),
	BOOL(arch, direct_io, "true", "bypass the page cache (O_DIRECT) where that is possible"),
	INT(arch, uring_qd, "64", 1, 4096, "writes", "writes in flight at a time"),
	INT(arch, max_inflight, "256", 1, 65536, "frames", "frames in flight at a time"),
	INT(arch, block_bytes, "4096", 512, 4096, "bytes",
		"records of an npy segment are padded to a multiple of it: 512, 1024, 2048 or "
		"4096"),
	STRING(arch, arch_output_dir, "archive", "folder of the runs' folders; made when missing"),
	STRING(arch, arch_output_prefix, "frames", "first part of a segment's name"),
	INT(arch, ring_size, "4096", 1, 1048576, "frames", "longest queue to the archiver"),
	ENUM(arch, format, "npy", "npy|raw",
		"segments that are NumPy files with checked records, or bare frames (.bin)"),
	STRING(arch, backend, "auto",
		"what writes the segments: a back end of --list-drivers; auto: as use_io_uring "
		"says"),
	INT(arch, delay_us, "0", 0, 60000000, "us",
		"of the back end delay, a slow disk: each write ends so much later"),
	INT(arch, stall_write, "0", 0, 1e15, "writes",
		"of the back end delay: writes that end before the disk stalls"),
	INT(arch, stall_ms, "0", 0, 3600000, "ms",
		"of the back end delay: how long it then stalls, once; 0: not at all"),
	BOOL(arch, checksum, "true", "store a CRC32C with each frame (npy)"),
	INT(arch, sync_interval_ms, "1000", 0, 3600000, "ms",
		"make what is archived durable, and index it, this often; 0: at rotation and close "
		"only"),
	INT(arch, max_rate, "0", 0, 1e15, "bytes/s",
		"archive no faster, to keep the disk from disturbing the decisions; 0: no limit"),
	BOOL(arch, hdf5, "true",
		"write run.h5, which presents the closed segments as one HDF5 dataset"),

	ENUM(lcores, layout, "auto", "auto|fused|split",
		"each processor takes its own frames from the source (fused), or one lcore takes "
		"them "
		"for all (split)"),
	STRING(lcores, ingest, "",
		"lcores that take frames from the source, as 1,3-5; empty: auto"),
	STRING(lcores, process, "", "lcores that process, as 1,3-5; empty: auto"),
	STRING(lcores, archive, "", "lcore that archives; empty: auto"),
	STRING(lcores, results, "", "lcore that writes results; empty: the main lcore"),
	STRING(lcores, exclusive, "", "lcores that must have one role only, as 1,3-5"),
	ENUM(lcores, idle, "auto", "auto|busy|sleep",
		"without work: poll on (busy), or sleep until work is due, as far as that can be "
		"told (sleep); auto: busy when EAL arguments name the lcores, else sleep"),
	INT(lcores, sleep_max_us, "100", 1, 100000, "us",
		"longest sleep while it is not known when work is due"),
};

const struct dip_option_table option_table = {
	.rows = rows, .count = sizeof(rows) / sizeof(rows[0])};

enum overrun overrun_of(const struct settings *s)
{
	if (strcmp(s->main.overrun, "drop") == 0)
		return OVERRUN_DROP;
	if (strcmp(s->main.overrun, "block") == 0 || !s->dma.pace_frames)
		return OVERRUN_BLOCK;
	return OVERRUN_OVERWRITE;
}
