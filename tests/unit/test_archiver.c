/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "archive/archiver.h"
#include "format/format.h"
#include "frame/frame.h"
#include "archive_fixture.h"

#define WIDTH 30
#define HEIGHT 20
#define IMAGE (WIDTH * HEIGHT * 2)
#define STRIDE 4096
#define SLABS 96
#define RING 64
#define SEQS 4000
#define RUN_ID 0x1234567890abcdefULL

static char folder[] = "/tmp/dip_archiver_XXXXXX";

static const char *const names[] = {"arch_frames", "arch_bytes", "arch_rotations",
	"arch_stale_desc", "arch_io_errors", "arch_discarded", "arch_segments", "arch_short_writes",
	"arch_segment_errors"};

/* Everything runs on the test's own thread. */
static struct {
	struct dip_archiver_conf conf;
	struct dip_frame_pool *pool;
	struct dip_archiver *archiver;
	struct dip_poller poller;
	uint64_t before[RTE_DIM(names)];
	uint64_t next_seq, offered;
	uint64_t deadline;       /* TSC: later, a test that waits has waited in vain */
	uint64_t archived[SEQS]; /* seqs found in the files, in order */
	unsigned int found, files;
} rig;

static uint64_t counted(const char *name)
{
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (strcmp(name, names[i]) == 0)
			return dip_metric_value(name) - rig.before[i];
	fail_msg("no counter %s", name);
	return 0;
}

static int setup_group(void **state)
{
	struct dip_frame_pool_conf pool = {.name = "test_archiver",
		.slabs = SLABS,
		.record_bytes = STRIDE,
		.lcores = 1,
		.socket = SOCKET_ID_ANY};
	struct dip_error err;

	if (mkdtemp(folder) == NULL || eal_start(state) < 0)
		return -1;
	rig.conf.ring = rte_ring_create_elem("arch", sizeof(struct dip_desc), RING, SOCKET_ID_ANY,
		RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	return rig.conf.ring == NULL ? -1 : dip_frame_pool_create(&pool, &rig.pool, &err);
}

static void remove_run(void)
{
	DIR *dir = opendir(rig.conf.segment.dir);
	char path[8192];
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", rig.conf.segment.dir, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	rmdir(rig.conf.segment.dir);
}

static int teardown_group(void **state)
{
	dip_frame_pool_free(rig.pool);
	rte_ring_free(rig.conf.ring);
	remove_run();
	rmdir(folder);
	return eal_stop(state);
}

/* Ten records a segment, up to four in a write, eight writes at a time; a test changes what it
 * wants before start_archiver. */
static int setup(void **state)
{
	struct rte_ring *ring = rig.conf.ring;

	(void)state;
	rig.conf = (struct dip_archiver_conf){
		.segment = {.prefix = "f",
			.npy = true,
			.width = WIDTH,
			.height = HEIGHT,
			.segment_bytes = DIP_HEADER_BYTES + 10 * STRIDE,
			.block_bytes = 4096,
			.make_index = true,
			.files = &dip_files},
		.ring = ring,
		.backend = "fake",
		.depth = 8,
		.max_inflight = 48,
		.gather_bytes = 4 * STRIDE,
		.checksum = true,
		.run_id = RUN_ID,
	};
	snprintf(rig.conf.segment.dir, sizeof(rig.conf.segment.dir), "%s/run", folder);
	remove_run();
	memset(&fake, 0, sizeof(fake));
	fake.seed = 1;
	rig.next_seq = rig.offered = 0;
	return mkdir(rig.conf.segment.dir, 0755);
}

static void start_archiver(void)
{
	struct dip_error err = {""};

	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		rig.before[i] = dip_metric_value(names[i]);
	if (dip_archiver_create(&rig.conf, &rig.archiver, &err) < 0)
		fail_msg("%s", err.text);
	rig.deadline = rte_rdtsc() + 20 * rte_get_tsc_hz();
	rig.poller = dip_archiver_poller(rig.archiver);
	assert_int_equal(rig.poller.start(rig.poller.arg), 0);
}

/* What lies in the pool belongs to nobody: whoever still writes from it shows it. */
static void scribble(void)
{
	struct dip_frame *frames[SLABS];
	unsigned int n = dip_frame_alloc(rig.pool, frames, SLABS);

	for (unsigned int i = 0; i < n; i++) {
		memset(frames[i]->pixels, 0xbb, STRIDE);
		dip_frame_put(frames[i]);
	}
}

static uint16_t pixel(uint64_t seq, unsigned int i)
{
	return seq * 977 + i * 3;
}

/* Offer the next frame as ingest does: false when the ring or the pool has no place. */
static bool offer(void)
{
	struct dip_frame *frame;
	struct dip_desc desc;

	if (rte_ring_full(rig.conf.ring) || dip_frame_alloc(rig.pool, &frame, 1) == 0)
		return false;
	frame->seq = rig.next_seq;
	rig.next_seq += 5;
	frame->timestamp_ns = 1000000 + frame->seq;
	frame->tsc = rte_rdtsc();
	memset(frame->pixels, 0xcc, STRIDE);
	for (unsigned int i = 0; i < WIDTH * HEIGHT; i++)
		frame->pixels[i] = pixel(frame->seq, i);
	desc = dip_frame_desc(frame, 0);
	assert_int_equal(rte_ring_enqueue_elem(rig.conf.ring, &desc, sizeof(desc)), 0);
	rig.offered++;
	return true;
}

/* Each slab is in one place: the pool, the ring, or the archiver. */
static void poll_archiver(void)
{
	unsigned int held;

	assert_true(rte_rdtsc() < rig.deadline);
	rig.poller.poll(rig.poller.arg);
	held = dip_archiver_held(rig.archiver);
	assert_true(held <= rig.conf.max_inflight);
	assert_true(held >= fake.pending);
	assert_int_equal(
		dip_frame_pool_available(rig.pool) + rte_ring_count(rig.conf.ring) + held, SLABS);
	scribble();
}

/* Offer n frames, in bursts, with polls between. */
static void feed(unsigned int n)
{
	while (n > 0) {
		unsigned int burst = 1 + rand_r(&fake.seed) % 40;

		for (; burst > 0 && n > 0 && offer(); burst--)
			n--;
		poll_archiver();
	}
}

static bool resting(void)
{
	return dip_archiver_held(rig.archiver) == 0 && rte_ring_empty(rig.conf.ring);
}

static void drain(void)
{
	while (!resting())
		poll_archiver();
}

static void stop_archiver(void)
{
	rig.poller.stop(rig.poller.arg);
	dip_archiver_free(rig.archiver);
	assert_int_equal(dip_frame_pool_available(rig.pool), SLABS);
	assert_true(rte_ring_empty(rig.conf.ring));
}

/* --- what is in the files --- */

static void check_image(const uint8_t *record, uint64_t seq)
{
	for (unsigned int i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(record[2 * i] | record[2 * i + 1] << 8, pixel(seq, i));
}

static uint64_t check_record(const uint8_t *record)
{
	struct dip_trailer t;
	uint32_t crc;

	memcpy(&t, record + IMAGE, sizeof(t));
	assert_int_equal(t.magic, DIP_TRAILER_MAGIC);
	assert_int_equal(t.run_id, RUN_ID);
	assert_int_equal(t.length, IMAGE);
	assert_int_equal(t.timestamp_ns, 1000000 + t.seq);
	crc = dip_crc32c(0, record, IMAGE + offsetof(struct dip_trailer, crc32c));
	assert_int_equal(t.crc32c, rig.conf.checksum ? crc : 0);
	assert_int_equal(t.flags, rig.conf.checksum ? DIP_TRAILER_CRC : 0);
	check_image(record, t.seq);
	for (unsigned int i = IMAGE + sizeof(t); i < STRIDE; i++)
		assert_int_equal(record[i], 0);
	return t.seq;
}

static uint8_t *read_whole(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	uint8_t *data;

	if (f == NULL)
		return NULL;
	fseek(f, 0, SEEK_END);
	*bytes = ftell(f);
	rewind(f);
	data = malloc(*bytes + 1);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, *bytes, f), *bytes);
	data[*bytes] = '\0';
	fclose(f);
	return data;
}

/* Index lines for the records from `first` of rig.archived on. */
static void check_index(const char *path, unsigned int first, size_t stride, size_t head)
{
	char want[4096] = "";
	size_t bytes, used = 0;
	uint8_t *text = read_whole(path, &bytes);

	assert_non_null(text);
	for (unsigned int i = first; i < rig.found; i++)
		used += snprintf(want + used, sizeof(want) - used, "%" PRIu64 " %zu\n",
			rig.archived[i], head + (i - first) * stride);
	assert_string_equal((char *)text, want);
	free(text);
}

static bool check_segment(unsigned int number)
{
	bool npy = rig.conf.segment.npy;
	size_t bytes, head = npy ? DIP_HEADER_BYTES : 0, stride = npy ? STRIDE : IMAGE, n;
	char path[8192], header[DIP_HEADER_BYTES];
	unsigned int first = rig.found;
	uint8_t *data;

	snprintf(path, sizeof(path), "%s/f_%06u.%s", rig.conf.segment.dir, number,
		npy ? "npy" : "bin");
	data = read_whole(path, &bytes);
	if (data == NULL)
		return false;
	n = (bytes - head) / stride;
	assert_int_equal(bytes, head + n * stride);
	assert_int_equal(dip_segment_header(header, WIDTH, HEIGHT, STRIDE, n), 0);
	if (npy)
		assert_memory_equal(data, header, sizeof(header));
	for (size_t i = 0; i < n && npy; i++)
		rig.archived[rig.found++] = check_record(data + head + i * stride);
	for (size_t i = 0; i < n && !npy; i++) { /* frames are all there in this format's test */
		check_image(data + i * stride, rig.found * 5);
		rig.archived[rig.found] = rig.found * 5;
		rig.found++;
	}
	free(data);
	memcpy(strrchr(path, '.'), ".idx", 5);
	check_index(path, first, stride, head);
	return true;
}

/* The segments hold exactly the frames counted, whole, once, in order; the others are counted
 * under their names. */
static void check_archive(void)
{
	unsigned int number;

	rig.found = 0;
	for (number = 0; check_segment(number); number++)
		;
	rig.files = number;
	for (unsigned int i = 1; i < rig.found; i++)
		assert_true(rig.archived[i] > rig.archived[i - 1]);
	assert_int_equal(counted("arch_frames"), rig.found);
	assert_int_equal(counted("arch_bytes"), (uint64_t)rig.found * IMAGE);
	assert_int_equal(counted("arch_frames") + counted("arch_io_errors") +
				 counted("arch_discarded") + counted("arch_stale_desc"),
		rig.offered);
	assert_int_equal(counted("arch_segment_errors"), 0);
}

static void run(unsigned int frames)
{
	start_archiver();
	feed(frames);
	drain();
	stop_archiver();
	check_archive();
}

static bool is_archived(uint64_t seq)
{
	for (unsigned int i = 0; i < rig.found; i++)
		if (rig.archived[i] == seq)
			return true;
	return false;
}

/* --- without failures --- */

static void test_in_order(void **state)
{
	(void)state;
	run(95);
	assert_int_equal(rig.found, 95);
	assert_int_equal(rig.files, 10);
	assert_int_equal(counted("arch_segments"), 10);
	assert_int_equal(counted("arch_rotations"), 9);
	assert_int_equal(counted("arch_short_writes"), 0);
	assert_int_equal(fake.depth, 8);
}

static void test_out_of_order(void **state)
{
	(void)state;
	fake.shuffled = true;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 100 * STRIDE;
	run(1000);
	assert_int_equal(rig.found, 1000);
	assert_int_equal(rig.files, 10);
	assert_true(fake.most > 4);
}

static void test_no_checksum(void **state)
{
	(void)state;
	rig.conf.checksum = false;
	run(30);
	assert_int_equal(rig.found, 30);
}

static void test_raw(void **state)
{
	(void)state;
	fake.shuffled = true;
	rig.conf.segment.npy = false;
	rig.conf.segment.segment_bytes = 10 * IMAGE;
	run(95);
	assert_int_equal(rig.found, 95);
	assert_int_equal(rig.files, 10);
}

/* Small frames are gathered into writes of up to gather_bytes, never beyond a segment's end. */
static void test_gather(void **state)
{
	static const struct {
		size_t gather_bytes;
		unsigned int widest;
	} cases[] = {{1, 1}, {STRIDE, 1}, {2 * STRIDE - 1, 1}, {2 * STRIDE, 2}, {7 * STRIDE, 7},
		{1 << 30, 10}};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		setup(state);
		rig.conf.gather_bytes = cases[i].gather_bytes;
		start_archiver();
		for (int n = 0; n < 40; n++)
			assert_true(offer());
		drain();
		stop_archiver();
		check_archive();
		assert_int_equal(rig.found, 40);
		assert_int_equal(fake.widest, cases[i].widest);
	}
}

/* No more than depth writes and max_inflight frames at a time; nothing goes back meanwhile. */
static void test_limits(void **state)
{
	(void)state;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 1000 * STRIDE;
	rig.conf.depth = 3;
	rig.conf.max_inflight = 10;
	fake.stalled = true;
	start_archiver();
	for (int n = 0; n < 40; n++)
		assert_true(offer());
	for (int n = 0; n < 10; n++)
		poll_archiver();
	assert_int_equal(dip_archiver_held(rig.archiver), 10);
	assert_int_equal(fake.pending, 3);
	assert_int_equal(fake.most, 3);
	assert_int_equal(rte_ring_count(rig.conf.ring), 30);
	assert_int_equal(counted("arch_frames"), 0);
	fake.stalled = false;
	drain();
	assert_int_equal(dip_archiver_held(rig.archiver), 0);
	assert_int_equal(fake.most, 3);
	stop_archiver();
	check_archive();
	assert_int_equal(rig.found, 40);
}

/* While most of the queue is on its way the frames behind are only made ready; then they go out
 * together, so that the block layer can merge them. */
static void test_batches(void **state)
{
	(void)state;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 1000 * STRIDE;
	rig.conf.gather_bytes = STRIDE;
	rig.conf.depth = 16; /* of which a quarter is a batch */
	fake.stalled = true;
	start_archiver();
	for (int n = 0; n < 13; n++)
		assert_true(offer());
	poll_archiver();
	assert_int_equal(fake.pending, 13);
	for (int n = 0; n < 16; n++)
		assert_true(offer());
	poll_archiver();
	assert_int_equal(fake.pending, 13); /* three places are no batch */
	assert_int_equal(rte_ring_count(rig.conf.ring), 0);
	assert_int_equal(dip_archiver_held(rig.archiver), 29);
	fake.most_reaped = 1;
	fake.stalled = false;
	poll_archiver();
	assert_int_equal(fake.pending, 16); /* one has ended, four have gone out */
	poll_archiver();
	assert_int_equal(fake.pending, 15);
	fake.most_reaped = 0;
	drain();
	stop_archiver();
	check_archive();
	assert_int_equal(rig.found, 29);
}

static void test_stale(void **state)
{
	struct dip_frame *frame;
	struct dip_desc desc;

	(void)state;
	start_archiver();
	for (int n = 0; n < 12; n++) {
		if (n % 4 != 0) {
			assert_true(offer());
			continue;
		}
		assert_int_equal(dip_frame_alloc(rig.pool, &frame, 1), 1);
		desc = dip_frame_desc(frame, 0);
		dip_frame_put(frame);
		rte_ring_enqueue_elem(rig.conf.ring, &desc, sizeof(desc));
		rig.offered++;
	}
	rig.poller.poll(rig.poller.arg);
	drain();
	stop_archiver();
	check_archive();
	assert_int_equal(counted("arch_stale_desc"), 3);
	assert_int_equal(rig.found, 9);
}

/* --- short writes --- */

static size_t short_bytes;

static ssize_t first_short(unsigned int n, size_t bytes)
{
	return n % 2 == 0 ? RTE_MIN(short_bytes, bytes) : bytes;
}

/* The first attempt of every write stops after short_bytes, none to all but one. */
static void test_short_writes(void **state)
{
	for (short_bytes = 0; short_bytes < 4 * STRIDE; short_bytes += 311) {
		setup(state);
		fake.outcome = first_short;
		rig.conf.depth = 1;
		start_archiver();
		for (int n = 0; n < 20; n++)
			assert_true(offer());
		drain();
		stop_archiver();
		check_archive();
		assert_int_equal(rig.found, 20);
		assert_true(dip_metric_value("arch_short_writes") > 0);
	}
}

static ssize_t always_short(unsigned int n, size_t bytes)
{
	(void)n;
	return RTE_MIN(short_bytes, bytes);
}

static void test_always_short(void **state)
{
	for (short_bytes = 1; short_bytes < 3 * STRIDE; short_bytes += 997) {
		setup(state);
		fake.outcome = always_short;
		fake.shuffled = true;
		if (short_bytes == 1) /* this takes a while */
			rig.conf.segment.segment_bytes = 1;
		run(short_bytes == 1 ? 2 : 40);
		assert_int_equal(counted("arch_io_errors"), 0);
	}
}

/* Under O_DIRECT the rest begins at a block, even when the part before it ended inside one. */
static void test_short_direct(void **state)
{
	for (short_bytes = 1; short_bytes < 4 * STRIDE; short_bytes += 611) {
		setup(state);
		fake.outcome = first_short;
		rig.conf.segment.direct = true;
		rig.conf.depth = 1;
		start_archiver();
		for (int n = 0; n < 20; n++)
			assert_true(offer());
		drain();
		stop_archiver();
		check_archive();
		assert_int_equal(rig.found, 20);
		assert_int_equal(fake.unaligned, 0);
	}
}

/* A write that never gets anywhere is a full disk, not an endless loop. */
static void test_stuck(void **state)
{
	(void)state;
	short_bytes = 0;
	fake.outcome = always_short;
	run(20);
	assert_int_equal(rig.found, 0);
	assert_int_equal(counted("arch_io_errors"), 20);
}

static ssize_t interrupted(unsigned int n, size_t bytes)
{
	return n % 3 == 0 ? -EINTR : n % 3 == 1 ? -EAGAIN : (ssize_t)bytes;
}

static void test_interrupted(void **state)
{
	(void)state;
	fake.outcome = interrupted;
	fake.shuffled = true;
	run(100);
	assert_int_equal(rig.found, 100);
}

/* --- failures --- */

static unsigned int fail_at;
static int fail_with;

static ssize_t fail_once(unsigned int n, size_t bytes)
{
	return n == fail_at ? fail_with : (ssize_t)bytes;
}

/* One failure costs one frame; those in flight with it and behind it are written at their new
 * places. */
static void test_one_failure(void **state)
{
	static const int errors[] = {-EIO, -ENOSPC, -EDQUOT, -EFBIG, -EROFS};

	for (fail_at = 0; fail_at < 20; fail_at++) {
		setup(state);
		fake.outcome = fail_once;
		fake.shuffled = fail_at % 2;
		fail_with = errors[fail_at % RTE_DIM(errors)];
		run(200);
		assert_int_equal(counted("arch_io_errors"), 1);
		assert_int_equal(rig.found, 199);
	}
}

/* Which one: in order of the writes, the first frame of the write that failed. */
static void test_the_frame_that_is_lost(void **state)
{
	for (fail_at = 0; fail_at < 4; fail_at++) {
		setup(state);
		fake.outcome = fail_once;
		fail_with = -EIO;
		start_archiver();
		for (int n = 0; n < 16; n++)
			assert_true(offer());
		drain();
		stop_archiver();
		check_archive();
		/* Ten records: writes of 4, 4, 2; then, in the next segment, 4, 2. */
		assert_false(is_archived(5 * (fail_at < 3 ? 4 * fail_at : 10)));
		assert_int_equal(rig.found, 15);
	}
}

static ssize_t short_then_error(unsigned int n, size_t bytes)
{
	return n == 2 ? (ssize_t)RTE_MIN(short_bytes, bytes) : n == 3 ? -ENOSPC : (ssize_t)bytes;
}

/* The disk fills up within a gathered write: the frames that are whole count. */
static void test_full_inside_a_write(void **state)
{
	for (short_bytes = 0; short_bytes < 4 * STRIDE; short_bytes += 1024) {
		setup(state);
		fake.outcome = short_then_error;
		rig.conf.depth = 1;
		rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 100 * STRIDE;
		start_archiver();
		for (int n = 0; n < 16; n++)
			assert_true(offer());
		drain();
		stop_archiver();
		check_archive();
		assert_int_equal(rig.found, 15);
		assert_false(is_archived(5 * (8 + short_bytes / STRIDE)));
	}
}

static bool disk_dead;

static ssize_t while_alive(unsigned int n, size_t bytes)
{
	(void)n;
	return disk_dead ? -EIO : (ssize_t)bytes;
}

/* A dead disk holds no frames back and says so once; then it works again, and says that. */
static void test_episode(void **state)
{
	char *log, lost[64];
	uint64_t errors;

	(void)state;
	fake.outcome = while_alive;
	fake.shuffled = true;
	eal_log_begin();
	start_archiver();
	feed(50);
	disk_dead = true;
	for (int n = 0; n < 100; n++) {
		feed(5);
		rte_delay_us_sleep(3000);
	}
	drain();
	errors = counted("arch_io_errors");
	assert_true(errors >= 450);
	disk_dead = false;
	rte_delay_us_sleep(110000);
	feed(100);
	drain();
	stop_archiver();
	log = eal_log_end();
	check_archive();
	assert_int_equal(counted("arch_io_errors"), errors);
	for (unsigned int i = 550; i < 650; i++)
		assert_true(is_archived(5 * i));
	assert_int_equal(count_of(log, "\n"), 2);
	assert_int_equal(count_of(log, ": write: Input/output error"), 1);
	snprintf(lost, sizeof(lost), "archiving again; %" PRIu64 " frames were lost", errors);
	assert_int_equal(count_of(log, lost), 1);
	free(log);
}

/* Inside an episode a single frame tries. */
static void test_one_attempt_at_a_time(void **state)
{
	(void)state;
	disk_dead = true;
	fake.outcome = while_alive;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 100 * STRIDE;
	start_archiver();
	for (int n = 0; n < 30; n++)
		assert_true(offer());
	poll_archiver();
	assert_int_equal(fake.pending, 8);
	/* The first failure: at once another attempt, of one frame, and no more until it ends. */
	fake.most = fake.widest = 0;
	poll_archiver();
	fake.stalled = true;
	for (int n = 0; n < 10; n++)
		poll_archiver();
	assert_int_equal(fake.pending, 1);
	assert_int_equal(fake.widest, 1);
	assert_int_equal(counted("arch_io_errors"), 1);
	disk_dead = fake.stalled = false;
	drain();
	stop_archiver();
	check_archive();
	assert_int_equal(rig.found, 29);
}

static unsigned int chance; /* of a failure, in 1,000 */

static ssize_t anything(unsigned int n, size_t bytes)
{
	static const int errors[] = {-EIO, -ENOSPC, -EINTR, -EAGAIN, 0};
	unsigned int dice = rand_r(&fake.seed) % 1000;

	(void)n;
	if (dice < chance)
		return errors[rand_r(&fake.seed) % RTE_DIM(errors)];
	return dice < 3 * chance ? rand_r(&fake.seed) % (bytes + 1) : bytes;
}

/* Whatever happens, the files and the counters tell the same. */
static void test_anything(void **state)
{
	for (unsigned int seed = 1; seed <= 150; seed++) {
		setup(state);
		fake.seed = seed;
		fake.outcome = anything;
		fake.shuffled = true;
		chance = seed % 3 == 0 ? 10 : seed % 3 == 1 ? 100 : 300;
		rig.conf.depth = 1 + seed % 16;
		rig.conf.max_inflight = 1 + seed * 7 % 60;
		rig.conf.gather_bytes = (1 + seed % 9) * STRIDE;
		rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + (1 + seed % 40) * STRIDE;
		start_archiver();
		feed(400);
		if (seed % 4 == 0)
			dip_archiver_discard(rig.archiver);
		if (seed % 4 != 1)
			drain();
		stop_archiver();
		check_archive();
	}
}

/* --- the end --- */

static void test_discard(void **state)
{
	(void)state;
	fake.stalled = true;
	rig.conf.max_inflight = 12;
	start_archiver();
	for (int n = 0; n < 50; n++)
		assert_true(offer());
	/* Ten fill the segment in three writes; two more wait for the next one to be made. */
	for (int n = 0; n < 1000 && fake.pending < 4; n++) {
		poll_archiver();
		rte_delay_us_sleep(1000);
	}
	assert_int_equal(dip_archiver_held(rig.archiver), 12);
	dip_archiver_discard(rig.archiver);
	poll_archiver();
	poll_archiver();
	assert_int_equal(counted("arch_discarded"), 38);
	assert_int_equal(dip_archiver_held(rig.archiver), 12);
	fake.stalled = false;
	drain();
	stop_archiver();
	check_archive();
	assert_int_equal(rig.found, 12);
}

/* A stop waits for what is in flight; a frame still queued is not forgotten. */
static void test_stop_in_full_flight(void **state)
{
	(void)state;
	fake.shuffled = true;
	start_archiver();
	feed(60);
	while (offer())
		;
	stop_archiver();
	check_archive();
	assert_true(counted("arch_discarded") > 0);
}

static void test_nothing_archived(void **state)
{
	(void)state;
	start_archiver();
	poll_archiver();
	stop_archiver();
	check_archive();
	assert_int_equal(rig.files, 0);
	dip_archiver_free(NULL);
}

/* --- segments that fail --- */

static void test_create_fails(void **state)
{
	struct dip_error err = {""};
	struct dip_archiver *archiver = NULL;

	(void)state;
	strcat(rig.conf.segment.dir, "/none/run");
	assert_int_equal(dip_archiver_create(&rig.conf, &archiver, &err), -ENOENT);
	assert_null(archiver);
	assert_non_null(strstr(err.text, "/none/run/f_000000.npy: "));
}

/* The folder goes while the archiver writes: what was in it is lost and reported, and the archive
 * goes on in a new one. */
static void test_removed_folder(void **state)
{
	char *log;

	(void)state;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 1000 * STRIDE;
	eal_log_begin();
	start_archiver();
	feed(20);
	drain();
	remove_run();
	rte_delay_us_sleep(110000);
	poll_archiver();
	assert_int_equal(counted("arch_segment_errors"), 1);
	rig.next_seq = 0;
	feed(30);
	drain();
	stop_archiver();
	log = eal_log_end();
	assert_int_equal(count_of(log, "removed while it was written; the 20 frames in it"), 1);
	assert_int_equal(count_of(log, "\n"), 1);
	assert_int_equal(counted("arch_segment_errors"), 1);
	assert_int_equal(counted("arch_frames"), 50);
	rig.found = 0;
	assert_true(check_segment(1));
	assert_int_equal(rig.found, 30);
	free(log);
}

/* A next segment that cannot be made: counted, one line, tried again, and it works again. */
static void test_rotation_fails(void **state)
{
	char *log, away[8192], ahead[8192];

	(void)state;
	snprintf(away, sizeof(away), "%s/away", folder);
	eal_log_begin();
	start_archiver();
	feed(10);
	drain();
	snprintf(ahead, sizeof(ahead), "%s/f_000001.idx", rig.conf.segment.dir);
	while (access(ahead, F_OK) < 0) /* the next one is made ahead */
		rte_delay_us_sleep(1000);
	assert_int_equal(rename(rig.conf.segment.dir, away), 0);
	fclose(fopen(rig.conf.segment.dir, "w")); /* a file where the folder should be */
	for (int n = 0; n < 30; n++) {
		feed(3);
		rte_delay_us_sleep(10000);
	}
	drain();
	/* The one made ahead went away with the folder, and took its ten frames. */
	assert_int_equal(counted("arch_io_errors"), 80);
	unlink(rig.conf.segment.dir);
	assert_int_equal(rename(away, rig.conf.segment.dir), 0);
	rte_delay_us_sleep(110000);
	feed(15);
	drain();
	stop_archiver();
	log = eal_log_end();
	check_archive();
	assert_int_equal(rig.found, 35);
	assert_int_equal(counted("arch_io_errors"), 80);
	assert_int_equal(count_of(log, "Not a directory"), 1);
	assert_int_equal(count_of(log, "archiving again; 80 frames were lost"), 1);
	assert_int_equal(count_of(log, "\n"), 2);
	free(log);
}

/* --- the real back ends --- */

static void test_back_ends(void **state)
{
	static const char *const backends[] = {"pwrite", "uring"};

	for (unsigned int i = 0; i < 8; i++) {
		setup(state);
		rig.conf.backend = backends[i % 2];
		rig.conf.pool = rig.pool;
		rig.conf.segment.direct = i & 2;
		rig.conf.segment.npy = i & 4;
		rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + 60 * STRIDE;
		run(700);
		assert_int_equal(rig.found, 700);
		if (i % 2 == 0)
			assert_string_equal(dip_archiver_status(0)->backend, "pwrite");
		else if (dip_archiver_status(0)->backend[0] == 'p')
			print_message("io_uring is not to be had here: only pwrite is tested\n");
		else if (geteuid() == 0) /* root's locked memory has no limit */
			assert_true(dip_archiver_status(0)->registered_buffers);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_order),
		TEST(test_out_of_order),
		TEST(test_no_checksum),
		TEST(test_raw),
		TEST(test_gather),
		TEST(test_limits),
		TEST(test_batches),
		TEST(test_stale),
		TEST(test_short_writes),
		TEST(test_always_short),
		TEST(test_short_direct),
		TEST(test_stuck),
		TEST(test_interrupted),
		TEST(test_one_failure),
		TEST(test_the_frame_that_is_lost),
		TEST(test_full_inside_a_write),
		TEST(test_episode),
		TEST(test_one_attempt_at_a_time),
		TEST(test_anything),
		TEST(test_discard),
		TEST(test_stop_in_full_flight),
		TEST(test_nothing_archived),
		TEST(test_create_fails),
		TEST(test_removed_folder),
		TEST(test_rotation_fails),
		TEST(test_back_ends),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
