/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

#include "npy/npy.h"
#include "sim.h"
#include "util/file.h"

RTE_LOG_REGISTER(sim_log, dip.sim, NOTICE);

#define HEADER_BYTES 256
#define LOOK_US 20000
#define BATCH_BYTES (1 << 20)

/* The header is written after the rows that it promises: the file has whole rows at any moment. */
struct sim_truth {
	const struct sim *sim;
	int fd;
	pthread_t thread;
	bool running;
	bool stop; /* atomic, written by the main lcore */
	bool failed;
	const uint64_t *next_seq;
	uint64_t written; /* rows */
	size_t row_bytes;
	uint32_t batch_rows;
	uint8_t *batch;
};

static int write_header(struct sim_truth *t)
{
	char descr[96], shape[32];
	char header[HEADER_BYTES];

	snprintf(descr, sizeof(descr), "[('seq', '<u8'), ('occupied', '|u1', (%" PRIu32 ",))]",
		t->sim->sites);
	snprintf(shape, sizeof(shape), "(%" PRIu64 ",)", t->written);
	dip_npy_header_write(header, sizeof(header), descr, shape);
	return dip_write_at(t->fd, header, sizeof(header), 0);
}

static void make_row(const struct sim *s, uint64_t seq, uint8_t *row)
{
	uint64_t frame = sim_frame(s, seq);

	memcpy(row, &seq, sizeof(seq));
	for (uint32_t i = 0; i < s->sites; i++)
		row[sizeof(seq) + i] = sim_atom(s, frame, i) > 0;
}

static int write_rows(struct sim_truth *t, uint64_t end)
{
	while (t->written < end) {
		uint32_t n = RTE_MIN(end - t->written, (uint64_t)t->batch_rows);
		int ret;

		for (uint32_t i = 0; i < n; i++)
			make_row(t->sim, t->written + i, t->batch + i * t->row_bytes);
		ret = dip_write_at(t->fd, t->batch, n * t->row_bytes,
			HEADER_BYTES + t->written * t->row_bytes);
		if (ret < 0)
			return ret;
		t->written += n;
	}
	return write_header(t);
}

/* Write down what was due since the last look. */
static void follow(struct sim_truth *t)
{
	uint64_t end = __atomic_load_n(t->next_seq, __ATOMIC_RELAXED);
	int ret = end > t->written && !t->failed ? write_rows(t, end) : 0;

	if (ret == 0)
		return;
	t->failed = true;
	write_header(t); /* of the rows that are whole; in its place, where there is room for it */
	rte_log(RTE_LOG_ERR, sim_log, "%s: %s; the truth ends at frame %" PRIu64 "\n",
		t->sim->truth, strerror(-ret), t->written);
}

static void *run(void *arg)
{
	struct sim_truth *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		follow(t);
		usleep(LOOK_US);
	}
	return NULL;
}

int sim_truth_create(const struct sim *s, struct sim_truth **book, struct dip_error *err)
{
	struct sim_truth *t = calloc(1, sizeof(*t));
	int ret;

	if (t == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	t->sim = s;
	t->fd = -1;
	t->row_bytes = sizeof(uint64_t) + s->sites;
	t->batch_rows = RTE_MAX(BATCH_BYTES / t->row_bytes, (size_t)1);
	t->batch = malloc(t->batch_rows * t->row_bytes);
	if (t->batch == NULL) {
		ret = dip_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	t->fd = open(s->truth, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE);
	if (t->fd < 0) {
		ret = dip_fail(err, errno,
			"truth=%s: %s; expected the name of a new file in a folder that can be "
			"written to",
			s->truth, strerror(errno));
		goto fail;
	}
	*book = t;
	return 0;
fail:
	sim_truth_free(t);
	return ret;
}

int sim_truth_start(struct sim_truth *t, const uint64_t *next_seq)
{
	int ret;

	t->next_seq = next_seq;
	t->written = 0;
	t->failed = t->stop = false;
	ret = ftruncate(t->fd, 0) < 0 ? -errno : write_header(t);
	if (ret == 0)
		ret = -pthread_create(&t->thread, NULL, run, t);
	if (ret < 0)
		return ret;
	pthread_setname_np(t->thread, "dip-truth");
	t->running = true;
	return 0;
}

void sim_truth_stop(struct sim_truth *t)
{
	if (!t->running)
		return;
	__atomic_store_n(&t->stop, true, __ATOMIC_RELEASE);
	pthread_join(t->thread, NULL);
	t->running = false;
	follow(t);
	/* What a failed write left behind the last whole row. */
	if (ftruncate(t->fd, HEADER_BYTES + t->written * t->row_bytes) < 0)
		rte_log(RTE_LOG_ERR, sim_log, "%s: %s\n", t->sim->truth, strerror(errno));
}

void sim_truth_free(struct sim_truth *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	if (t->fd >= 0 && t->next_seq == NULL)
		unlink(t->sim->truth);
	free(t->batch);
	free(t);
}
