/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* As much of cmocka as the tests use that run where there is none: compiled for another processor and
 * run by an emulator. The first failure ends the program, with exit status 1. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*run)(void **state);
};

#define cmocka_unit_test(function)                                                                 \
	{                                                                                          \
#function, function                                                                \
	}

#define fail_msg(...)                                                                              \
	do {                                                                                       \
		printf(__VA_ARGS__);                                                               \
		printf("\n%s:%d: failed\n", __FILE__, __LINE__);                                   \
		exit(1);                                                                           \
	} while (0)

#define skip()                                                                                     \
	do {                                                                                       \
		printf("skipped\n");                                                               \
		return;                                                                            \
	} while (0)

#define print_message printf

#define assert_true(c)                                                                             \
	do {                                                                                       \
		if (!(c))                                                                          \
			fail_msg("%s", #c);                                                        \
	} while (0)
#define assert_int_equal(a, b) assert_true((int64_t)(a) == (int64_t)(b))
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_null(p) assert_true((p) == NULL)
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, size) assert_true(memcmp(a, b, size) == 0)

/* All of them, or the one that the environment's DIP_TEST names. */
static inline int run_tests(const struct CMUnitTest *tests, size_t count)
{
	const char *only = getenv("DIP_TEST");

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		if (only != NULL && strcmp(only, tests[i].name) != 0)
			continue;
		tests[i].run(NULL);
		printf("ok %s\n", tests[i].name);
	}
	return 0;
}

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
	run_tests(tests, sizeof(tests) / sizeof((tests)[0]))
