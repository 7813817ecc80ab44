/* SPDX-License-Identifier: BSD-3-Clause */

/* R6: a loss of power at any moment of a run. Runs of the archiver under a seeded scheduler, with
 * rotation, short and failed writes, condemned segments; from the journal of each, states that the
 * disk may be left in. DIP_SEED=N repeats one run; DIP_LONG=1 makes 10,000 states. */

#include "eal_fixture.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "format/format.h"
#include "crash.h"
#include "run_check.h"
#include "journal.h"
#include "proof.h"
#include "rig.h"

#define OLDER_RUN (RIG_RUN_ID - 1)

static char folder[64], where[192];
static unsigned int dice;

static unsigned int roll(unsigned int sides)
{
	return (unsigned int)rand_r(&dice) / 7 % sides;
}

/* Seeds in a row would make dice that begin alike. */
static unsigned int mixed(unsigned int seed)
{
	seed = (seed ^ seed >> 16) * 0x7feb352du;
	seed = (seed ^ seed >> 15) * 0x846ca68bu;
	return seed ^ seed >> 16;
}

/* --- a run --- */

static unsigned int trouble[RIG_OPS]; /* failures in 1,000 operations */

static ssize_t some_fail(enum rig_op op, unsigned int n, ssize_t bytes)
{
	(void)n;
	if (roll(1000) >= trouble[op])
		return bytes;
	if (op == RIG_RECORD && roll(2))
		return roll(bytes + 1);
	return roll(2) ? -EIO : -ENOSPC;
}

static void draw_conf(void)
{
	static const unsigned int intervals[] = {0, 1, 1, 5};
	struct dip_segment_conf *s = &rig.conf.segment;
	size_t stride;

	if (roll(8) == 0)
		s->block_bytes = 4096;
	s->npy = roll(8) > 0;
	rig.conf.checksum = roll(8) > 0;
	stride = dip_segment_stride(s);
	s->segment_bytes = DIP_HEADER_BYTES + (1 + roll(12)) * stride;
	rig.conf.depth = 1 + roll(8);
	rig.conf.gather_bytes = (1 + roll(4)) * stride;
	rig.conf.max_inflight = 4 + roll(44);
	rig.conf.sync_interval_ms = intervals[roll(4)];
	rig.step = 1 + roll(3);
	memset(trouble, 0, sizeof(trouble));
	rig.plan = some_fail;
	if (roll(2))
		return;
	trouble[RIG_RECORD] = roll(100);
	trouble[RIG_SYNC] = roll(2) ? 0 : 100;
	trouble[RIG_SYNC_INDEX] = roll(2) ? 0 : 200;
	trouble[RIG_WRITE] = roll(3) ? 0 : 50;
	trouble[RIG_RESERVE] = roll(3) ? 0 : 100;
	trouble[RIG_OPEN] = roll(3) ? 0 : 50;
}

static void act(unsigned int *left)
{
	rig.now += roll(400000);
	switch (roll(10)) {
	case 0:
	case 1:
		for (unsigned int burst = 1 + roll(8); burst > 0 && *left > 0 && rig_offer();
			burst--)
			--*left;
		break;
	case 2:
	case 3:
	case 4:
		rig_poll();
		break;
	case 5:
	case 6:
	case 7:
		rig_keep();
		break;
	default:
		rig_make();
	}
}

/* False: its first segment could not even be made. */
static bool run(unsigned int seed)
{
	unsigned int left;
	struct dip_error err;

	dice = mixed(seed);
	rig_reset(seed);
	draw_conf();
	left = 5 + roll(70);
	if (rig_start(&err) < 0)
		return false;
	while (left > 0)
		act(&left);
	rig_stop(UINT64_C(30000000000));
	return true;
}

/* --- what lies in blocks that were not written --- */

static void fill_garbage(const char *path, uint8_t *bytes, uint64_t size, unsigned int *seed)
{
	if (strstr(path, ".idx") != NULL)
		return;
	for (uint64_t i = 0; i < size; i++)
		bytes[i] = rand_r(seed) >> 7;
}

/* Whole records of an older run, at the very places of this one's. */
static void fill_older(const char *path, uint8_t *bytes, uint64_t size, unsigned int *seed)
{
	const struct dip_segment_conf *conf = &rig.conf.segment;
	uint64_t at = conf->npy ? DIP_HEADER_BYTES : 0, stride = dip_segment_stride(conf);
	const char *number = strstr(path, "f_");
	uint64_t seq;

	(void)seed;
	if (number == NULL || strstr(path, ".idx") != NULL)
		return;
	seq = strtoull(number + 2, NULL, 10) * dip_segment_capacity(conf);
	for (; at + stride <= size; at += stride)
		rig_make_record(bytes + at, seq++, OLDER_RUN);
}

/* --- the states --- */

static void one_state(unsigned int seed, unsigned int number, struct run_check *check)
{
	static void (*const fills[])(const char *, uint8_t *, uint64_t, unsigned int *) = {
		NULL, NULL, fill_garbage, fill_older};
	struct crash_conf conf = {.seed = mixed(seed * 7919 + number)};
	struct crash_state state;

	dice = conf.seed;
	/* The last moment comes in every run: all that was to be done is done. */
	conf.moment = number == 0 ? journal.moment : 1 + roll(journal.moment);
	conf.fill = fills[roll(4)];
	snprintf(where, sizeof(where),
		"DIP_SEED=%u, state %u, moment %u of %u, %s%s, filled with %s", seed, number,
		conf.moment, journal.moment, rig.conf.segment.npy ? "npy" : "raw",
		rig.conf.checksum ? "" : " without checksums",
		conf.fill == NULL           ? "zeros"
		: conf.fill == fill_garbage ? "garbage"
					    : "an older run");
	check->claimed =
		number == 0 ? rig_counted("arch_durable") : journal.claims[conf.moment - 1];
	check->complete = number == 0 && rig_counted("arch_segment_errors") == 0 &&
			  rig_counted("arch_condemned") == 0;
	crash_make(&conf, &state);
	rig_clear(check->folder);
	crash_store(&state, check->folder);
	run_check(check);
	crash_free(&state);
	where[0] = '\0';
}

static void test_power_loss(void **state)
{
	unsigned int want = proof_count(500, 10000), each = proof_count(20, 50), made = 0;
	unsigned int first = proof_seed(1), runs = 0;
	struct run_check check = {0};

	(void)state;
	snprintf(check.folder, sizeof(check.folder), "%s/crash", folder);
	for (unsigned int seed = first; made < want; seed++) {
		snprintf(where, sizeof(where), "DIP_SEED=%u, the run itself", seed);
		if (!run(seed))
			continue;
		runs++;
		for (unsigned int i = 0; i < each; i++, made++)
			one_state(seed, i, &check);
	}
	proof_say("R6: %u crash states of %u runs, seeds from %u: %" PRIu64
		  " frames found, each exact, none lost that was durable; %" PRIu64
		  " index lines, each of a good record; %" PRIu64 " condemned files, %" PRIu64
		  " segments without a header",
		made, runs, first, check.frames, check.lines, check.condemned, check.headerless);
	assert_true(check.frames > made && check.lines > made && check.condemned > 0 &&
		    check.headerless > 0);
}

/* What a failure is to be repeated with. */
static void test_a_seed_makes_one_journal(void **state)
{
	uint32_t print[2];

	(void)state;
	for (unsigned int seed = 1; seed <= 10; seed++) {
		for (unsigned int i = 0; i < 2; i++) {
			run(seed);
			print[i] = journal_print();
		}
		assert_int_equal(print[0], print[1]);
	}
}

static int say_where(void **state)
{
	(void)state;
	if (where[0] != '\0')
		print_error("at %s\n", where);
	return 0;
}

static int setup_group(void **state)
{
	char run_folder[128], crash_folder[128];

	if (proof_folder(folder, sizeof(folder)) < 0 || eal_start(state) < 0)
		return -1;
	snprintf(run_folder, sizeof(run_folder), "%s/disk", folder);
	snprintf(crash_folder, sizeof(crash_folder), "%s/crash", folder);
	return mkdir(crash_folder, 0755) < 0 ? -1 : rig_setup(run_folder);
}

static int teardown_group(void **state)
{
	rig_teardown();
	rig_clear(folder);
	rmdir(folder);
	return eal_stop(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_seed_makes_one_journal),
		cmocka_unit_test_teardown(test_power_loss, say_where),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
