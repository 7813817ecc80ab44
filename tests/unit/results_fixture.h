/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A results poller with its lanes and its file, and results whose bits and sums are a function of
 * their seq. */

#include "eal_fixture.h"

#include <errno.h>
#include <fcntl.h>

#include <rte_common.h>

#include "detect/detector.h"
#include "metrics/metrics.h"
#include "results/results.h"

#define LANES 8
#define SITES 70

/* Site i of frame seq. */
static inline unsigned int bit_of(uint64_t seq, unsigned int i)
{
	return (seq * 0x9e3779b97f4a7c15ULL >> (i % 61)) & 1;
}

static inline void set_bits(struct dip_result *slot, uint64_t seq, unsigned int sites)
{
	memset(slot->bits, 0, dip_occupancy_bytes(sites));
	for (unsigned int i = 0; i < sites; i++)
		slot->bits[i / 8] |= bit_of(seq, i) << i % 8;
}

static inline uint64_t stamp_of(uint64_t seq)
{
	return 1700000000000000000ULL + seq * 1000003;
}

static inline uint64_t latency_of(uint64_t seq)
{
	return seq * 0x9e3779b97f4a7c15ULL >> 20; /* longer than 32 bits */
}

/* Of any sign, with every bit in use. */
static inline int64_t sum_of(uint64_t seq, unsigned int i, bool wide)
{
	int64_t x = (int64_t)((seq + 1) * (i + 1) * 0x9e3779b97f4a7c15ULL);

	return wide ? x / 4 : x >> 33;
}

static inline struct dip_window *window_of(uint64_t size, const struct dip_results_shape *shape)
{
	size_t sums = shape->sums ? shape->sites * dip_results_sum_bytes(shape) : 0;
	struct dip_error err = {""};
	struct dip_window *w = NULL;

	if (dip_window_create(size, shape->sites, sums, &w, &err) < 0)
		fail_msg("%s", err.text);
	return w;
}

/* --- a results poller with its lanes and its file --- */

struct rig {
	struct dip_window *window[LANES];
	unsigned int lanes;
	char path[64];
	int fd;
	struct dip_results_shape shape; /* of the results */
	const struct dip_results_format *format;
	struct dip_results *results;
	struct dip_poller poller;
	uint64_t frames, bytes, errors, holes; /* counted before */
};

static inline uint64_t counted(uint64_t before, const char *name)
{
	return dip_metric_value(name) - before;
}

/* Everything that comes before is set. */
static inline void start_rig(struct rig *r)
{
	struct dip_results_conf conf = {.windows = r->window,
		.lanes = r->lanes,
		.shape = r->shape,
		.format = r->format,
		.fd = r->fd,
		.file = r->path,
		.interval_print = 1};

	assert_int_equal(dip_results_create(&conf, &r->results), 0);
	r->poller = dip_results_poller(r->results);
	assert_ptr_equal(r->poller.arg, r->results);
	r->frames = dip_metric_value("results_frames");
	r->bytes = dip_metric_value("results_bytes");
	r->errors = dip_metric_value("results_io_errors");
	r->holes = dip_metric_value("results_holes");
}

/* A name that no file has. */
static inline void unused_name(char path[64])
{
	int fd;

	snprintf(path, 64, "/tmp/dip_results_XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

/* fd: another file in its place, under the same number; -1: none. */
static inline void open_rig_of(struct rig *r, const struct dip_results_format *format,
	struct dip_results_shape shape, unsigned int lanes, uint64_t size, int fd)
{
	r->format = format;
	r->shape = shape;
	r->lanes = lanes;
	for (unsigned int i = 0; i < lanes; i++)
		r->window[i] = window_of(size, &shape);
	unused_name(r->path);
	r->fd = dip_results_file_create(r->path, format, &shape);
	assert_true(r->fd >= 0);
	if (fd >= 0) {
		dup2(fd, r->fd);
		close(fd);
	}
	start_rig(r);
}

static inline void open_rig(struct rig *r, unsigned int lanes, uint64_t size, int fd)
{
	open_rig_of(
		r, &dip_results_text, (struct dip_results_shape){.sites = SITES}, lanes, size, fd);
}

static inline void close_rig(struct rig *r)
{
	dip_results_free(r->results);
	for (unsigned int i = 0; i < r->lanes; i++)
		dip_window_free(r->window[i]);
	close(r->fd);
	unlink(r->path);
}

static inline unsigned int poll_rig(struct rig *r)
{
	return r->poller.poll(r->poller.arg);
}

static inline void publish(struct dip_window *w, uint64_t ticket, uint64_t seq, bool hole)
{
	struct dip_result *slot = dip_window_slot(w, ticket);

	slot->seq = seq;
	slot->kind = hole ? DIP_RESULT_HOLE : DIP_RESULT_FRAME;
	if (!hole) {
		set_bits(slot, seq, SITES);
		slot->timestamp_ns = stamp_of(seq);
		slot->latency_ns = latency_of(seq);
		slot->occupied = 0;
		for (unsigned int i = 0; i < SITES; i++)
			slot->occupied += bit_of(seq, i);
	}
	dip_window_publish(slot, ticket);
}

static inline void set_sums(
	struct dip_result *slot, uint64_t seq, const struct dip_results_shape *shape)
{
	int32_t *narrow = dip_result_sums(slot, shape->sites);
	int64_t *wide = dip_result_sums(slot, shape->sites);

	for (unsigned int i = 0; i < shape->sites; i++) {
		if (shape->wide)
			wide[i] = sum_of(seq, i, true);
		else
			narrow[i] = (int32_t)sum_of(seq, i, false);
	}
}

/* Issue and publish at once. */
static inline void result(struct rig *r, unsigned int lane, uint64_t seq)
{
	struct dip_window *w = r->window[lane];

	assert_true(dip_window_has_room(w));
	dip_window_issue(w);
	if (r->shape.sums)
		set_sums(dip_window_slot(w, w->issued - 1), seq, &r->shape);
	publish(w, w->issued - 1, seq, false);
}

static inline char *read_file(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	char *text;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*bytes = ftell(f);
	rewind(f);
	text = malloc(*bytes + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, *bytes, f), *bytes);
	text[*bytes] = '\0';
	fclose(f);
	return text;
}

static inline void feed_and_write(struct rig *r, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		result(r, 0, first + i);
		r->window[0]->seq_floor = first + i + 1;
		poll_rig(r);
	}
	r->poller.stop(r->poller.arg);
}
