/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lcore/sleep.h"

/* The policy of an lcore that sleeps, with a clock of our own: a tick is 10 ns. */

#define US UINT64_C(100)
#define MS (1000 * US)
#define SLEEP_MAX_US 100
#define TURN US / 2

struct lcore {
	struct dip_sleep sleep;
	uint64_t now, late; /* a sleep ends this much late */
	unsigned int turns, sleeps;
	uint64_t longest; /* sleep asked for */
};

static void begin(struct lcore *l, uint64_t late_us)
{
	*l = (struct lcore){.late = late_us * US};
	dip_sleep_init(&l->sleep, 100000000, SLEEP_MAX_US, 0);
}

static void work(struct lcore *l)
{
	l->now += TURN;
	l->turns++;
	dip_sleep_worked(&l->sleep, l->now);
}

/* A turn without work, and the sleep after it. */
static void idle(struct lcore *l, uint64_t due, bool unsure)
{
	uint64_t until;

	l->now += TURN;
	l->turns++;
	until = dip_sleep_until(&l->sleep, l->now, due, unsure);
	assert_true(until >= l->now);
	if (until == l->now)
		return;
	if (until - l->now > l->longest)
		l->longest = until - l->now;
	l->sleeps++;
	l->now = until + l->late;
	dip_sleep_woke(&l->sleep, l->now);
}

/* Turns until a frame that comes at that moment is found; how long it has waited. */
static uint64_t find(struct lcore *l, uint64_t at, bool known, bool unsure)
{
	uint64_t waited;

	while (l->now < at)
		idle(l, known ? at : DIP_DUE_UNKNOWN, unsure);
	waited = l->now - at;
	work(l);
	return waited;
}

static uint64_t frames(struct lcore *l, unsigned int n, uint64_t interval, bool known, bool unsure)
{
	uint64_t at = l->now / interval * interval, longest = 0;

	l->turns = l->sleeps = l->longest = 0;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t waited = find(l, at += interval, known, unsure);

		if (waited > longest)
			longest = waited;
	}
	return longest;
}

static void test_a_frame_whose_moment_is_known_takes_one_sleep(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 40);
	frames(&l, 200, MS, true, false); /* how late sleeps end */
	assert_true(frames(&l, 100, MS, true, false) <= 2 * US);
	assert_int_equal(l.sleeps, 100);
	assert_true(l.turns < 100 * 30); /* polls for a few us */
}

static void test_frames_that_come_regularly_are_foreseen(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 40);
	frames(&l, 200, MS, false, false);
	assert_true(frames(&l, 100, MS, false, false) <= 2 * US);
	assert_int_equal(l.sleeps, 100);
	assert_true(l.turns < 100 * 30);
}

static void test_another_rate_is_learnt(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 10);
	frames(&l, 200, MS, false, false);
	frames(&l, 50, 3 * MS, false, false);
	assert_true(frames(&l, 50, 3 * MS, false, false) <= 2 * US);
	assert_true(l.sleeps <= 2 * 50); /* one ends after 2 ms */
	frames(&l, 50, MS / 2, false, false);
	assert_true(frames(&l, 50, MS / 2, false, false) <= 2 * US);
}

static void test_other_frames_wait_no_longer_than_was_waited_for_them(void **state)
{
	static const uint64_t intervals[] = {70, 3000, 120, 900, 15, 20000, 400};
	struct lcore l;
	uint64_t at = 0;

	(void)state;
	begin(&l, 0);
	for (unsigned int i = 0; i < 70; i++) {
		uint64_t interval = intervals[i % 7] * US, waited;

		waited = find(&l, at = l.now + interval, false, false);
		assert_true(waited <= interval && waited <= SLEEP_MAX_US * US);
	}
	assert_true(l.longest <= SLEEP_MAX_US * US);
}

static void test_who_has_nothing_to_do_sleeps_for_longer_and_longer(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 0);
	while (l.now < 100 * MS)
		idle(&l, DIP_DUE_UNKNOWN, false);
	assert_int_equal(l.longest, SLEEP_MAX_US * US);
	assert_true(l.sleeps < 1100); /* 10 a millisecond */
}

static void test_no_sleep_is_long(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 0);
	idle(&l, DIP_DUE_NEVER, false);
	idle(&l, 1000 * MS, false);
	assert_int_equal(l.longest, 2 * MS);
	/* Other pollers of the lcore do not know. */
	l.longest = 0;
	while (l.now < 100 * MS)
		idle(&l, 1000 * MS, true);
	assert_int_equal(l.longest, SLEEP_MAX_US * US);
}

static void test_an_overdue_frame_is_waited_for_as_if_nothing_was_known(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 0);
	find(&l, MS, true, false);
	while (l.now < 3 * MS)
		idle(&l, 2 * MS, false);
	l.longest = l.turns = 0;
	while (l.now < 10 * MS)
		idle(&l, 2 * MS, false);
	assert_true(l.longest > SLEEP_MAX_US * US / 2 && l.longest <= SLEEP_MAX_US * US);
}

static void test_what_is_not_to_be_guessed(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 0);
	frames(&l, 100, MS, false, false);
	l.longest = 0;
	for (uint64_t at = l.now + MS; at < 300 * MS; at += MS) {
		while (l.now < at)
			idle(&l, MS, false); /* has passed */
		work(&l);
	}
	assert_int_equal(l.longest, SLEEP_MAX_US * US);
}

/* Another lcore has every frame at once when it is due. */
static void test_who_is_not_needed_wakes_less_often(void **state)
{
	struct lcore l;

	(void)state;
	begin(&l, 40);
	while (l.now < 100 * MS)
		idle(&l, (l.now / MS + 1) * MS, false);
	l.sleeps = 0;
	while (l.now < 200 * MS)
		idle(&l, (l.now / MS + 1) * MS, false);
	assert_true(l.sleeps < 60);
	assert_int_equal(l.longest, 2 * MS);
	/* Each frame that it finds is one sleep of half the length. */
	for (unsigned int i = 0; i < 6; i++) {
		idle(&l, l.now + MS / 100, false);
		work(&l);
	}
	assert_true(frames(&l, 10, MS, true, false) <= 50 * US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_frame_whose_moment_is_known_takes_one_sleep),
		cmocka_unit_test(test_frames_that_come_regularly_are_foreseen),
		cmocka_unit_test(test_another_rate_is_learnt),
		cmocka_unit_test(test_other_frames_wait_no_longer_than_was_waited_for_them),
		cmocka_unit_test(test_who_has_nothing_to_do_sleeps_for_longer_and_longer),
		cmocka_unit_test(test_no_sleep_is_long),
		cmocka_unit_test(test_an_overdue_frame_is_waited_for_as_if_nothing_was_known),
		cmocka_unit_test(test_what_is_not_to_be_guessed),
		cmocka_unit_test(test_who_is_not_needed_wakes_less_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
