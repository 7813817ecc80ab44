/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "format/format.h"
#include "archive_fixture.h"
#include "gate.h"
#include "journal.h"
#include "rig_impl.h"

#define RING 64
#define MS UINT64_C(1000000)

struct rig rig;

static const char *const names[] = {"arch_frames", "arch_bytes", "arch_rotations",
	"arch_stale_desc", "arch_io_errors", "arch_discarded", "arch_segments", "arch_short_writes",
	"arch_segment_errors", "arch_durable", "arch_condemned"};

static struct {
	char folder[4096];
	struct rte_ring *ring;
	struct dip_poller poller;
	uint64_t before[RTE_DIM(names)];
	unsigned int op[FAKE_DEPTH]; /* in the journal, of fake.request */
} own;

uint64_t rig_counted(const char *counter)
{
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (strcmp(counter, names[i]) == 0)
			return dip_metric_value(counter) - own.before[i];
	fail_msg("no counter %s", counter);
	return 0;
}

static uint64_t claimed(void)
{
	return rig_counted("arch_durable");
}

/* --- the back end: the one of archive_fixture.h, with a journal --- */

static ssize_t record_outcome(unsigned int n, size_t bytes)
{
	(void)n;
	return rig_outcome(RIG_RECORD, bytes);
}

static void rig_submit(struct dip_io *io, struct dip_io_request **requests, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		own.op[fake.pending + i] = journal_write(
			requests[i]->fd, requests[i]->offset, requests[i]->iov, requests[i]->iovs);
	fake_submit(io, requests, n);
}

/* fake_reap ends requests one by one, so that the journal can follow. */
static unsigned int rig_reap(struct dip_io *io, struct dip_io_request **ended, unsigned int max)
{
	struct dip_io_request *before[FAKE_DEPTH];
	unsigned int n = 0, i;

	while (n < max && fake.pending > 0) {
		memcpy(before, fake.request, sizeof(before));
		if (fake_reap(io, ended + n, 1) == 0)
			break;
		for (i = 0; before[i] != ended[n];)
			i++;
		journal_written(own.op[i], ended[n++]->result);
		memmove(&own.op[i], &own.op[i + 1], (fake.pending - i) * sizeof(own.op[0]));
	}
	return n;
}

static struct dip_io_ops rig_io = {
	.name = "journal",
	.open = fake_open,
	.submit = rig_submit,
	.reap = rig_reap,
	.close = fake_close,
};

DIP_IO_REGISTER(rig_io)

/* --- frames --- */

void rig_make_record(uint8_t *record, uint64_t seq, uint64_t run_id)
{
	const struct dip_segment_conf *conf = &rig.conf.segment;
	size_t pixels = (size_t)conf->width * conf->height;
	struct dip_trailer fields = {.seq = seq, .run_id = run_id};
	uint64_t other = run_id - RIG_RUN_ID;

	/* Older runs have lower ids here. */
	fields.timestamp_ns = (uint64_t)1 << 40 | seq << 4;
	fields.timestamp_ns += other * MS;
	for (size_t i = 0; i < pixels; i++) {
		uint16_t value = seq * 977 + i * 3 + other * 11;

		memcpy(record + 2 * i, &value, sizeof(value));
	}
	if (conf->npy)
		dip_record_seal(
			record, 2 * pixels, dip_segment_stride(conf), &fields, rig.conf.checksum);
}

bool rig_offer(void)
{
	uint8_t record[RIG_RECORD_BYTES];
	struct dip_trailer t;
	struct dip_frame *frame;
	struct dip_desc desc;
	size_t image = (size_t)rig.conf.segment.width * rig.conf.segment.height * 2;

	if (rte_ring_full(own.ring) || dip_frame_alloc(rig.pool, &frame, 1) == 0)
		return false;
	rig_make_record(record, rig.next_seq, RIG_RUN_ID);
	memset(frame->pixels, 0xcc, RIG_RECORD_BYTES);
	memcpy(frame->pixels, record, image);
	memcpy(&t, record + image, sizeof(t));
	frame->seq = rig.next_seq;
	frame->timestamp_ns = (uint64_t)1 << 40 | rig.next_seq << 4;
	frame->tsc = rte_rdtsc();
	desc = dip_frame_desc(frame, 0);
	assert_int_equal(rte_ring_enqueue_elem(own.ring, &desc, sizeof(desc)), 0);
	rig.next_seq += rig.step;
	rig.offered++;
	return true;
}

/* --- the run --- */

int rig_setup(const char *folder)
{
	struct dip_frame_pool_conf pool = {.name = "rig",
		.slabs = RIG_SLABS,
		.record_bytes = RIG_RECORD_BYTES,
		.lcores = 1,
		.socket = SOCKET_ID_ANY};
	struct dip_error err;

	if (mkdir(folder, 0755) < 0)
		return -1;
	snprintf(own.folder, sizeof(own.folder), "%s", folder);
	own.ring = rte_ring_create_elem("rig", sizeof(struct dip_desc), RING, SOCKET_ID_ANY,
		RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	return own.ring == NULL || dip_frame_pool_create(&pool, &rig.pool, &err) < 0 ? -1 : 0;
}

void rig_teardown(void)
{
	dip_frame_pool_free(rig.pool);
	rte_ring_free(own.ring);
	rig_clear(own.folder);
}

static int clear_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	return where->level == 0 ? 0 : remove(path);
}

void rig_clear(const char *folder)
{
	assert_int_equal(nftw(folder, clear_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void rig_reset(unsigned int seed)
{
	struct dip_frame_pool *pool = rig.pool;

	rig = (struct rig){.pool = pool, .step = 1, .now = 1000 * MS};
	rig.conf = (struct dip_archiver_conf){
		.segment = {.prefix = "f",
			.npy = true,
			.width = 30,
			.height = 20,
			.segment_bytes = DIP_HEADER_BYTES + 10 * 1536,
			.block_bytes = 512,
			.make_index = true,
			.files = &rig_files},
		.ring = own.ring,
		.backend = "journal",
		.depth = 8,
		.max_inflight = 48,
		.gather_bytes = 4 * 1536,
		.checksum = true,
		.sync_interval_ms = 1,
		.run_id = RIG_RUN_ID,
	};
	snprintf(rig.conf.segment.dir, sizeof(rig.conf.segment.dir), "%.4000s/run", own.folder);
	memset(&fake, 0, sizeof(fake));
	fake.seed = seed;
	fake.shuffled = true;
	fake.outcome = record_outcome;
	rig_clear(own.folder);
	assert_int_equal(mkdir(rig.conf.segment.dir, 0755), 0);
}

int rig_start(struct dip_error *err)
{
	int ret;

	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		own.before[i] = dip_metric_value(names[i]);
	journal_start(own.folder, claimed);
	if (access(rig.conf.segment.dir, F_OK) == 0) { /* since ever */
		int fd = open(own.folder, O_RDONLY | O_DIRECTORY);

		journal_opened(fd, own.folder, false);
		journal_made_folder(rig.conf.segment.dir);
		journal_synced(fd, journal_sync(fd), 0);
		rig_files.close(fd);
	}
	gate_shut();
	ret = dip_archiver_create(&rig.conf, &rig.archiver, err);
	if (ret < 0) {
		gate_open();
		return ret;
	}
	own.poller = dip_archiver_poller(rig.archiver);
	gate_at(GATE_MAKER);
	gate_at(GATE_KEEPER);
	assert_int_equal(own.poller.start(own.poller.arg), 0);
	return 0;
}

/* What lies in the pool belongs to nobody: whoever still writes from it shows it. */
static void scribble(void)
{
	struct dip_frame *frames[RIG_SLABS];
	unsigned int n = dip_frame_alloc(rig.pool, frames, RIG_SLABS);

	for (unsigned int i = 0; i < n; i++) {
		memset(frames[i]->pixels, 0xbb, RIG_RECORD_BYTES);
		dip_frame_put(frames[i]);
	}
}

void rig_poll(void)
{
	unsigned int held;

	own.poller.poll(own.poller.arg);
	held = dip_archiver_held(rig.archiver);
	assert_true(held <= rig.conf.max_inflight);
	assert_int_equal(
		dip_frame_pool_available(rig.pool) + rte_ring_count(own.ring) + held, RIG_SLABS);
	scribble();
}

void rig_keep(void)
{
	gate_step(GATE_KEEPER);
}

void rig_make(void)
{
	gate_step(GATE_MAKER);
}

bool rig_resting(void)
{
	return dip_archiver_held(rig.archiver) == 0 && rte_ring_empty(own.ring);
}

static bool waits(enum gate_thread thread)
{
	return strcmp(gate_at(thread), "wait") == 0;
}

/* Once both have had nothing to do three times, with the clock standing still, the end is the same
 * every time. */
void rig_stop(uint64_t limit_ns)
{
	uint64_t limit = rig.now + limit_ns;
	unsigned int idle = 0;

	for (; !rig_resting(); rig.now += MS / 2) {
		assert_true(rig.now < limit);
		rig_poll();
		rig_keep();
		rig_make();
	}
	while (idle < 3) {
		idle = waits(GATE_KEEPER) && waits(GATE_MAKER) ? idle + 1 : 0;
		rig_keep();
		rig_make();
	}
	own.poller.stop(own.poller.arg);
	gate_open();
	dip_archiver_free(rig.archiver);
	assert_int_equal(dip_frame_pool_available(rig.pool), RIG_SLABS);
	assert_int_equal(rig.offered, rig_counted("arch_frames") + rig_counted("arch_io_errors"));
}
