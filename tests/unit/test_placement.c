/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../app/placement.h"
#include "metrics/metrics.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Lcore 0 is the main one; workers are 1, 2, ... */
static const unsigned int ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static struct settings settings;
static struct placement all[DIP_SOURCES];
static struct dip_error err;

/* The placement as text: "0>1 1>2 | 3 | 0": each processor's lane and lcore, behind the lane's
 * ingest lcore, then archive, then results. */
static const char *told_of(const struct placement *placed)
{
	static char text[4096];
	size_t n = 0;

	for (unsigned int lane = 0; lane < placed->lanes; lane++) {
		n += sprintf(text + n, "%s%u:", lane > 0 ? " " : "", placed->ingest[lane]);
		for (unsigned int i = 0, first = 1; i < placed->processors; i++)
			if (placed->process_lane[i] == lane) {
				n += sprintf(
					text + n, "%s%u", first ? "" : ",", placed->process[i]);
				first = 0;
			}
	}
	sprintf(text + n, " | %u | %u", placed->archive, placed->results);
	return text;
}

static const char *told(void)
{
	return told_of(&all[0]);
}

static int place_on(unsigned int workers, int archiving, unsigned int max_queues)
{
	const struct placement_request request = {
		.settings = &settings,
		.main_lcore = 0,
		.workers = ids,
		.worker_count = workers,
		.sources = 1,
		.max_queues = &max_queues,
		.archiving = archiving,
	};

	memset(all, 0xff, sizeof(all));
	memset(&err, 0, sizeof(err));
	return place(&request, all, &err);
}

static int setup(void **state)
{
	(void)state;
	memset(&settings, 0, sizeof(settings));
	settings.lcores.layout = "auto";
	settings.lcores.ingest = settings.lcores.process = settings.lcores.archive =
		settings.lcores.results = settings.lcores.exclusive = "";
	return 0;
}

static void is(unsigned int workers, int archiving, const char *want)
{
	if (place_on(workers, archiving, 64) < 0)
		fail_msg("%u workers: %s", workers, err.text);
	assert_string_equal(told(), want);
}

/* Each lane as "ingest:processors", then archive, then results. */
static void test_fused(void **state)
{
	static const char *const layouts[] = {"auto", "fused"};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		settings.lcores.layout = (char *)layouts[i];
		is(0, 1, "0:0 | 0 | 0");
		is(0, 0, "0:0 | 0 | 0");
		is(1, 1, "1:1 | 1 | 0");
		is(1, 0, "1:1 | 1 | 0");
		is(2, 1, "1:1 2:2 | 2 | 0");
		is(2, 0, "1:1 2:2 | 2 | 0");
		is(3, 1, "1:1 2:2 | 3 | 0");
		is(3, 0, "1:1 2:2 3:3 | 3 | 0");
		is(4, 1, "1:1 2:2 3:3 | 4 | 0");
		is(4, 0, "1:1 2:2 3:3 4:4 | 4 | 0");
		is(8, 1, "1:1 2:2 3:3 4:4 5:5 6:6 7:7 | 8 | 0");
		is(8, 0, "1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 | 8 | 0");
	}
}

static void test_split(void **state)
{
	(void)state;
	settings.lcores.layout = "split";
	is(0, 1, "0:0 | 0 | 0");
	is(0, 0, "0:0 | 0 | 0");
	is(1, 1, "1:1 | 1 | 0");
	is(1, 0, "1:1 | 1 | 0");
	is(2, 0, "1:2 | 2 | 0");
	is(3, 1, "1:2 | 3 | 0");
	is(3, 0, "1:2,3 | 3 | 0");
	is(4, 1, "1:2,3 | 4 | 0");
	is(4, 0, "1:2,3,4 | 4 | 0");
	is(8, 1, "1:2,3,4,5,6,7 | 8 | 0");
	is(8, 0, "1:2,3,4,5,6,7,8 | 8 | 0");
}

/* Two workers: one takes frames, the other processes and archives. */
static void test_split_on_two(void **state)
{
	(void)state;
	settings.lcores.layout = "split";
	is(2, 1, "1:2 | 2 | 0");
}

static void test_worker_threads(void **state)
{
	(void)state;
	settings.proc.worker_threads = 1;
	is(0, 1, "0:0 | 0 | 0");
	is(4, 1, "1:1 | 4 | 0");
	is(4, 0, "1:1 | 4 | 0");
	is(2, 1, "1:1 | 2 | 0"); /* nothing is left to decide on the other one */
	settings.proc.worker_threads = 2;
	is(1, 1, "1:1 | 1 | 0");
	is(3, 1, "1:1 2:2 | 3 | 0");
	is(8, 1, "1:1 2:2 | 8 | 0");
	settings.proc.worker_threads = 128; /* more than there are: as many as there are */
	is(3, 1, "1:1 2:2 | 3 | 0");
	settings.lcores.layout = "split";
	is(4, 1, "1:2,3 | 4 | 0");
	settings.proc.worker_threads = 1;
	is(4, 1, "1:2 | 4 | 0");
	settings.proc.worker_threads = 2;
	is(8, 0, "1:2,3 | 8 | 0");
}

static void test_few_queues(void **state)
{
	(void)state;
	assert_int_equal(place_on(8, 1, 3), 0);
	assert_string_equal(told(), "1:1 2:2 3:3 | 8 | 0");
	assert_int_equal(place_on(2, 1, 1), 0);
	assert_string_equal(told(), "1:1 | 2 | 0");
	assert_int_equal(place_on(8, 1, 1), 0);
	assert_string_equal(told(), "1:1 | 8 | 0");
	settings.lcores.layout = "split";
	assert_int_equal(place_on(8, 1, 1), 0);
	assert_string_equal(told(), "1:2,3,4,5,6,7 | 8 | 0");
}

static void test_named_archive_and_results(void **state)
{
	(void)state;
	settings.lcores.archive = "2";
	is(4, 1, "1:1 3:3 4:4 | 2 | 0");
	is(4, 0, "1:1 2:2 3:3 4:4 | 2 | 0");
	settings.lcores.archive = "0";
	is(2, 1, "1:1 2:2 | 0 | 0");
	settings.lcores.archive = "";
	settings.lcores.results = "1";
	settings.lcores.ingest = "2";
	is(4, 1, "2:2 | 4 | 1");
}

/* An lcore named for the results is no more free than one named for the archive. */
static void test_named_results_are_left_free(void **state)
{
	(void)state;
	settings.lcores.results = "2";
	is(4, 1, "1:1 3:3 | 4 | 2");
	is(3, 1, "1:1 3:3 | 3 | 2");
	is(2, 1, "1:1 | 1 | 2");
	settings.lcores.exclusive = "2";
	is(4, 1, "1:1 3:3 | 4 | 2");
}

static void test_named(void **state)
{
	(void)state;
	settings.lcores.ingest = "1";
	is(2, 1, "1:1 | 2 | 0");
	is(4, 1, "1:1 | 4 | 0");
	settings.lcores.process = "2,4";
	is(4, 1, "1:2,4 | 4 | 0");
	settings.lcores.ingest = "";
	is(4, 1, "2:2 4:4 | 4 | 0");
	settings.lcores.ingest = "1-3";
	settings.lcores.process = "1-3";
	is(4, 1, "1:1 2:2 3:3 | 4 | 0");
	settings.lcores.process = "1,2,3,4"; /* a lane gets a second one */
	is(4, 0, "1:1,4 2:2 3:3 | 4 | 0");
	settings.lcores.ingest = "1,2";
	settings.lcores.process = "1,3"; /* the lane without a processor of its own */
	is(4, 1, "1:1 2:3 | 4 | 0");
	settings.lcores.process = "2,3";
	is(4, 1, "1:3 2:2 | 4 | 0");
	settings.lcores.ingest = "3,1";
	settings.lcores.process = "1,3";
	is(4, 1, "3:3 1:1 | 4 | 0");
	settings.lcores.ingest = "0"; /* the main lcore, too */
	settings.lcores.process = "0,1";
	is(1, 0, "0:0,1 | 1 | 0");
}

/* No lane goes without, and none has two more than another. */
static void test_named_are_dealt_out(void **state)
{
	(void)state;
	settings.lcores.ingest = "1-3";
	settings.lcores.process = "4-10";
	assert_int_equal(place_on(10, 1, 64), 0);
	assert_int_equal(all[0].lanes, 3);
	assert_int_equal(all[0].processors, 7);
	for (unsigned int lane = 0; lane < 3; lane++) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < 7; i++)
			n += all[0].process_lane[i] == lane;
		assert_in_range(n, 2, 3);
	}
}

/* key = value fails, with one line that has all this in it. */
static void refused(char **key, const char *value, const char *name, const char *why)
{
	char start[128];

	setup(NULL);
	*key = (char *)value;
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	snprintf(start, sizeof(start), "lcores.%s = \"%s\": ", name, value);
	if (strncmp(err.text, start, strlen(start)) != 0 || strstr(err.text, why) == NULL)
		fail_msg("\"%s ... %s\" expected, found: %s", start, why, err.text);
	assert_null(strchr(err.text, '\n'));
}

static void test_malformed_lists(void **state)
{
	static const char *const wrong[] = {",", "1,", ",1", "1,,2", "a", "1a", "1-", "-1", "1-a",
		"3-1", "1 2", " 1", "1, 2", "0x1", "+1", "1-2-3", "1-4000000000", "1.5"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		refused(&settings.lcores.ingest, wrong[i], "ingest", "expected lcores as 1,3-5");
		refused(&settings.lcores.process, wrong[i], "process", "expected lcores as 1,3-5");
		refused(&settings.lcores.archive, wrong[i], "archive", "expected lcores as 1,3-5");
		refused(&settings.lcores.results, wrong[i], "results", "expected lcores as 1,3-5");
		refused(&settings.lcores.exclusive, wrong[i], "exclusive",
			"expected lcores as 1,3-5");
	}
}

static void test_lists_of_wrong_lcores(void **state)
{
	(void)state;
	refused(&settings.lcores.ingest, "5", "ingest", "lcore 5 does not exist");
	refused(&settings.lcores.process, "1-5", "process", "lcore 5 does not exist");
	refused(&settings.lcores.archive, "99", "archive", "lcore 99 does not exist");
	refused(&settings.lcores.results, "4294967295", "results",
		"lcore 4294967295 does not exist");
	refused(&settings.lcores.exclusive, "7", "exclusive", "lcore 7 does not exist");
	refused(&settings.lcores.ingest, "1,2,1", "ingest", "lcore 1 is named twice");
	refused(&settings.lcores.process, "1-3,2", "process", "lcore 2 is named twice");
	refused(&settings.lcores.archive, "1,1", "archive", "lcore 1 is named twice");
	refused(&settings.lcores.archive, "1,2", "archive", "expected one lcore");
	refused(&settings.lcores.results, "1-3", "results", "expected one lcore");
}

/* A number beyond 32 bits is no lcore either. */
static void test_large_numbers(void **state)
{
	(void)state;
	refused(&settings.lcores.results, "18446744073709551616", "results", "does not exist");
	refused(&settings.lcores.ingest, "4294967297", "ingest", "lcore 4294967297 does not exist");
	refused(&settings.lcores.archive, "8589934594", "archive",
		"lcore 8589934594 does not exist");
}

static void test_too_many_lanes(void **state)
{
	(void)state;
	settings.lcores.ingest = "1,2,3";
	assert_int_equal(place_on(4, 1, 2), -EINVAL);
	assert_non_null(strstr(err.text, "lcores.ingest: 3 lcores, but the source has 2 queues"));
	settings.lcores.process = "4";
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcores.process: 1 lcores for the 3 of lcores.ingest"));
	settings.lcores.process = "1,2"; /* the third has none */
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	settings.lcores.process = "1,2,4";
	assert_int_equal(place_on(4, 1, 64), 0);
}

static void test_exclusive(void **state)
{
	(void)state;
	settings.lcores.exclusive = "4";
	is(4, 1, "1:1 2:2 3:3 | 4 | 0"); /* it only archives */
	is(3 + 1, 1, "1:1 2:2 3:3 | 4 | 0");
	settings.lcores.exclusive = "1";
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcores.exclusive = \"1\": lcore 1 has 2 roles"));
	assert_int_equal(place_on(1, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcore 1 has 3 roles"));
	settings.lcores.exclusive = "1-3";
	settings.lcores.ingest = "1";
	settings.lcores.process = "2,3";
	is(4, 1, "1:2,3 | 4 | 0");
	settings.lcores.archive = "3";
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcore 3 has 2 roles"));
	assert_int_equal(place_on(4, 0, 64), 0); /* nobody archives there */
	settings.lcores.archive = "";
	settings.lcores.results = "2";
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcore 2 has 2 roles"));
	/* The main lcore controls, and by default writes the results. */
	settings.lcores.results = "";
	settings.lcores.exclusive = "0";
	assert_int_equal(place_on(4, 1, 64), -EINVAL);
	assert_non_null(strstr(err.text, "lcore 0 has 2 roles"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

/* Those of all sources one after another, ";" between them. */
static void places(const struct placement_request *r, const char *want)
{
	char text[4096] = "";

	memset(all, 0xff, sizeof(all));
	if (place(r, all, &err) < 0)
		fail_msg("%u sources on %u workers: %s", r->sources, r->worker_count, err.text);
	for (unsigned int i = 0; i < r->sources; i++)
		sprintf(text + strlen(text), "%s%s", i > 0 ? "; " : "", told_of(&all[i]));
	assert_string_equal(text, want);
}

/* A request of so many sources on so many workers. */
static struct placement_request request_of(
	unsigned int sources, unsigned int workers, int archiving)
{
	static const unsigned int max_queues[DIP_SOURCES] = {[0 ... DIP_SOURCES - 1] = 4};

	return (struct placement_request){.settings = &settings,
		.main_lcore = 0,
		.workers = ids,
		.worker_count = workers,
		.sources = sources,
		.max_queues = max_queues,
		.archiving = archiving};
}

static void are(unsigned int sources, unsigned int workers, int archiving, const char *want)
{
	const struct placement_request request = request_of(sources, workers, archiving);

	places(&request, want);
}

static void test_sources_fused(void **state)
{
	(void)state;
	are(2, 0, 1, "0:0 | 0 | 0; 0:0 | 0 | 0");
	are(2, 1, 1, "1:1 | 1 | 0; 1:1 | 1 | 0");
	are(2, 2, 1, "1:1 | 1 | 0; 2:2 | 2 | 0");
	are(2, 2, 0, "1:1 | 1 | 0; 2:2 | 2 | 0");
	are(2, 3, 1, "1:1 | 1 | 0; 2:2 3:3 | 3 | 0");
	are(2, 4, 1, "1:1 2:2 | 2 | 0; 3:3 4:4 | 4 | 0");
	are(2, 4, 0, "1:1 2:2 | 2 | 0; 3:3 4:4 | 4 | 0");
	are(2, 5, 1, "1:1 2:2 | 5 | 0; 3:3 4:4 | 5 | 0"); /* one lcore for both archives */
	are(2, 6, 1, "1:1 2:2 | 5 | 0; 3:3 4:4 | 6 | 0");
	are(2, 10, 1, "1:1 2:2 3:3 4:4 | 9 | 0; 5:5 6:6 7:7 8:8 | 10 | 0");
	are(3, 2, 1, "1:1 | 1 | 0; 2:2 | 2 | 0; 1:1 | 1 | 0");
	are(3, 4, 1, "1:1 | 1 | 0; 2:2 | 2 | 0; 3:3 4:4 | 4 | 0");
	settings.proc.worker_threads = 1;
	are(2, 3, 1, "1:1 | 3 | 0; 2:2 | 3 | 0");
	are(2, 4, 1, "1:1 | 3 | 0; 2:2 | 4 | 0");
	are(2, 8, 1, "1:1 | 7 | 0; 4:4 | 8 | 0");
}

static void test_sources_split(void **state)
{
	(void)state;
	settings.lcores.layout = "split";
	are(2, 1, 1, "1:1 | 1 | 0; 1:1 | 1 | 0");
	are(2, 2, 1, "1:1 | 1 | 0; 2:2 | 2 | 0");
	are(2, 4, 1, "1:2 | 2 | 0; 3:4 | 4 | 0");
	are(2, 5, 1, "1:2 | 5 | 0; 3:4 | 5 | 0");
	are(2, 6, 1, "1:2 | 5 | 0; 3:4 | 6 | 0");
	are(2, 8, 1, "1:2,3 | 7 | 0; 4:5,6 | 8 | 0");
}

static void test_sources_named(void **state)
{
	(void)state;
	settings.lcores.ingest = "1-4";
	are(2, 6, 1, "1:1 2:2 | 5 | 0; 3:3 4:4 | 6 | 0");
	settings.lcores.archive = "6";
	settings.lcores.results = "5";
	are(2, 6, 1, "1:1 2:2 | 6 | 5; 3:3 4:4 | 6 | 5");
	settings.lcores.ingest = "1,2";
	settings.lcores.process = "3,4";
	are(2, 6, 1, "1:3 | 6 | 5; 2:4 | 6 | 5");
	settings.lcores.ingest = settings.lcores.process = "2";
	are(2, 6, 1, "2:2 | 6 | 5; 2:2 | 6 | 5");
}

/* Lcores that are there for archives alone decide nothing, however few others there are. */
static void test_lcores_of_archives(void **state)
{
	struct placement_request one = request_of(1, 2, 1), two = request_of(2, 4, 1);

	(void)state;
	one.archives = 1;
	places(&one, "1:1 | 2 | 0");
	two.archives = 2;
	places(&two, "1:1 | 3 | 0; 2:2 | 4 | 0");
	settings.lcores.archive = "1";
	places(&two, "2:2 | 1 | 0; 3:3 4:4 | 1 | 0");
}

/* One lcore takes all frames that only their order tells apart; others may decide them. */
static void test_frames_in_order(void **state)
{
	struct placement_request one = request_of(1, 4, 1), two = request_of(2, 4, 1);

	(void)state;
	one.in_order = two.in_order = 1;
	places(&one, "1:1 | 4 | 0");
	places(&two, "1:1 | 3 | 0; 2:2 | 4 | 0");
	settings.lcores.layout = "split";
	places(&one, "1:2,3 | 4 | 0");
	settings.lcores.ingest = settings.lcores.process = "1,2";
	places(&one, "1:1 2:2 | 4 | 0");
}

/* An archive that waits for each write has an lcore to itself where there are two. */
static void test_an_archive_that_waits(void **state)
{
	struct placement_request one = request_of(1, 2, 1), two = request_of(2, 3, 1);

	(void)state;
	one.archive_waits = two.archive_waits = 1;
	places(&one, "1:1 | 2 | 0");
	places(&two, "1:1 | 3 | 0; 2:2 | 3 | 0");
	settings.lcores.layout = "split";
	places(&one, "1:2 | 2 | 0");
}

/* Every lane and processor of sixteen sources is somewhere, and no source without. */
static void test_sixteen_sources(void **state)
{
	(void)state;
	for (unsigned int workers = 0; workers <= ARRAY_SIZE(ids); workers++) {
		const struct placement_request request = request_of(DIP_SOURCES, workers, 1);

		assert_int_equal(place(&request, all, &err), 0);
		for (unsigned int i = 0; i < DIP_SOURCES; i++) {
			assert_int_equal(all[i].lanes, 1);
			assert_int_equal(all[i].processors, 1);
			assert_in_range(all[i].ingest[0], workers > 0, workers);
			assert_in_range(all[i].archive, workers > 0, workers);
		}
	}
}

static void test_sources_exclusive(void **state)
{
	const struct placement_request request = request_of(2, 4, 1);

	(void)state;
	settings.lcores.exclusive = "1";
	settings.lcores.ingest = "1";
	settings.lcores.process = "2,3";
	assert_int_equal(place_on(4, 1, 64), 0);
	assert_int_equal(place(&request, all, &err), -EINVAL);
	assert_non_null(strstr(err.text, "lcore 1 has 2 roles"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fused),
		TEST(test_split),
		TEST(test_split_on_two),
		TEST(test_worker_threads),
		TEST(test_few_queues),
		TEST(test_named_archive_and_results),
		TEST(test_named_results_are_left_free),
		TEST(test_named),
		TEST(test_named_are_dealt_out),
		TEST(test_malformed_lists),
		TEST(test_lists_of_wrong_lcores),
		TEST(test_large_numbers),
		TEST(test_too_many_lanes),
		TEST(test_exclusive),
		TEST(test_sources_fused),
		TEST(test_sources_split),
		TEST(test_sources_named),
		TEST(test_lcores_of_archives),
		TEST(test_frames_in_order),
		TEST(test_an_archive_that_waits),
		TEST(test_sixteen_sources),
		TEST(test_sources_exclusive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
