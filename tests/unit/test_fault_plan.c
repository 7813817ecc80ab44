/* SPDX-License-Identifier: BSD-3-Clause */

/* R7: the n-th write of records, or the n-th call of the file system of each kind, fails; once, or
 * for a while, or it gets short first; for every n until there is no n-th any more. Whatever fails:
 * what is counted as archived can be read, all frames are accounted for, archiving goes on within
 * a second of the cause going away, and there are no more segments than are needed. DIP_LONG=1
 * takes every n, the short form some. */

#include "eal_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "format/format.h"
#include "reader/reader.h"
#include "reader/run.h"
#include "proof.h"
#include "rig.h"
#include "run_check.h"

#define MS UINT64_C(1000000)
#define WHILE_NS (300 * MS)
#define RECORDS 5 /* in a segment */

enum mode { ONCE, WHILE, SHORT, MODES };

static const char *const mode_names[MODES] = {"once", "for a while", "short, then for a while"};

static char folder[64], where[192];

static struct {
	enum rig_op op;
	unsigned int n; /* from 1 */
	enum mode mode;
	int error;
	bool came;
	uint64_t gone_ns; /* when the cause goes away */
} plan;

static ssize_t planned(enum rig_op op, unsigned int n, ssize_t bytes)
{
	if (op != plan.op || n < plan.n)
		return bytes;
	if (n > plan.n)
		return plan.mode == ONCE || rig.now >= plan.gone_ns ? bytes : -plan.error;
	plan.came = true;
	plan.gone_ns = rig.now + (plan.mode == ONCE ? 0 : WHILE_NS);
	return plan.mode == SHORT ? bytes / 2 : -plan.error;
}

/* The clock goes on while everybody does what there is to do. */
static void pass(uint64_t ns)
{
	for (unsigned int i = 0; i < 4; i++) {
		rig.now += ns / 4;
		rig_poll();
		for (unsigned int k = 0; k < 8; k++) {
			rig_keep();
			rig_make();
		}
	}
}

/* Frames arrive in bursts of up to six. Acquisition never waits. */
static void feed(unsigned int frames, uint64_t ns)
{
	for (unsigned int burst = 1; frames > 0; burst = burst % 6 + 1) {
		for (unsigned int i = 0; i < burst && frames > 0; i++, frames--)
			assert_true(rig_offer());
		pass(ns * burst);
	}
}

/* Frames go on arriving until one that came after the cause went away is archived. */
static void resume(void)
{
	uint64_t archived;

	while (rig.now < plan.gone_ns)
		feed(1, 10 * MS);
	archived = rig_counted("arch_frames");
	while (rig_counted("arch_frames") == archived) {
		assert_true(rig.now < plan.gone_ns + 1000 * MS);
		feed(1, 10 * MS);
	}
}

/* --- what is left --- */

/* Every segment but the last is full, so that there are no more than needed. */
static void check_number_of_segments(void)
{
	char path[128];
	struct dip_error err;
	struct dip_run run;

	snprintf(path, sizeof(path), "%s/disk/run", folder);
	assert_int_equal(dip_run_list(path, &run, &err), 0);
	for (size_t i = 0; i < run.count; i++) {
		struct dip_reader *r;

		assert_int_equal(dip_reader_open(run.segments[i].path, NULL, &r, &err), 0);
		/* A segment that could not be removed or marked is left. */
		if (plan.op != RIG_UNLINK && plan.op != RIG_RENAME)
			assert_in_range(r->records, i + 1 < run.count ? RECORDS : 1, RECORDS);
		dip_reader_close(r);
	}
	dip_run_free(&run);
}

static void check_files(void)
{
	struct run_check check = {.claimed = rig_counted("arch_durable"),
		.complete = rig_counted("arch_segment_errors") == 0 &&
			    rig_counted("arch_condemned") == 0};

	snprintf(check.folder, sizeof(check.folder), "%s/disk", folder);
	run_check(&check);
	assert_int_equal(check.whole, rig_counted("arch_frames"));
	check_number_of_segments();
}

/* It did not even start: that is said, and nothing is left. */
static void check_refusal(int ret, const struct dip_error *err)
{
	assert_true(plan.came && ret < 0);
	assert_non_null(strstr(err->text, "/run/f_000000.npy: "));
	assert_int_equal(access(rig.conf.segment.dir, F_OK), -1);
}

/* Returns whether there was an n-th operation. */
static bool try(void)
{
	struct dip_error err = {""};
	int ret;

	rig_reset(1);
	rmdir(rig.conf.segment.dir); /* its making is one of the operations */
	rig.plan = planned;
	rig.conf.segment.segment_bytes = DIP_HEADER_BYTES + RECORDS * 1536;
	rig.conf.gather_bytes = 2 * 1536;
	rig.conf.depth = 4;
	rig.conf.sync_interval_ms = 2;
	plan.came = false;
	ret = rig_start(&err);
	if (ret < 0) {
		check_refusal(ret, &err);
		return true;
	}
	feed(60, MS / 2);
	if (plan.came)
		resume();
	feed(20, MS / 2);
	rig_stop(UINT64_C(30000000000));
	if (plan.mode == ONCE) /* one write costs one frame, nothing else costs any */
		assert_int_equal(rig_counted("arch_io_errors"), plan.came && plan.op == RIG_RECORD);
	check_files();
	return plan.came;
}

static void test_every_operation(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EROFS};
	unsigned int stride = proof_count(40, 1), tries = 0;

	(void)state;
	for (plan.op = 0; plan.op < RIG_OPS; plan.op++) {
		for (plan.mode = 0; plan.mode < MODES; plan.mode++) {
			if (plan.mode == SHORT && plan.op != RIG_RECORD && plan.op != RIG_WRITE)
				continue;
			for (plan.n = 1;; plan.n += stride) {
				plan.error = errors[(plan.n + plan.mode) % RTE_DIM(errors)];
				snprintf(where, sizeof(where), "%s %u fails with %s, %s",
					rig_op_names[plan.op], plan.n, strerror(plan.error),
					mode_names[plan.mode]);
				tries++;
				if (!try())
					break;
			}
		}
	}
	where[0] = '\0';
	proof_say("R7: %u plans of failures", tries);
}

static int say_where(void **state)
{
	(void)state;
	if (where[0] != '\0')
		print_error("when %s\n", where);
	return 0;
}

static int setup_group(void **state)
{
	char disk[128];

	if (proof_folder(folder, sizeof(folder)) < 0 || eal_start(state) < 0)
		return -1;
	snprintf(disk, sizeof(disk), "%s/disk", folder);
	return rig_setup(disk);
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
		cmocka_unit_test_teardown(test_every_operation, say_where),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
