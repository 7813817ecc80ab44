/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "detect/pixels.h"
#include "npy_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define WIDTH 4
#define HEIGHT 3

static const double map[HEIGHT * WIDTH] = {0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11.25};

static struct dip_pixels_conf conf_of(
	const char *offset_map, const char *gain_map, const char *hot_pixels)
{
	return (struct dip_pixels_conf){.width = WIDTH,
		.height = HEIGHT,
		.offset_map = offset_map,
		.gain_map = gain_map,
		.hot_pixels = hot_pixels};
}

static struct dip_pixels load(const struct dip_pixels_conf *conf)
{
	struct dip_pixels p;
	struct dip_error err;

	if (dip_pixels_load(conf, &p, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(p.width, WIDTH);
	assert_int_equal(p.height, HEIGHT);
	return p;
}

/* hot: a digit for each pixel, 1 where it is hot. */
static void check_hot(const char *hot_pixels, const char *hot)
{
	struct dip_pixels_conf conf = conf_of("", "", hot_pixels);
	struct dip_pixels p = load(&conf);

	assert_non_null(p.hot);
	for (int i = 0; i < HEIGHT * WIDTH; i++)
		if ((p.hot[i] != 0) != (hot[i] == '1'))
			fail_msg("%s: row %d, column %d is %d", hot_pixels, i / WIDTH, i % WIDTH,
				p.hot[i]);
	dip_pixels_free(&p);
	assert_null(p.hot);
}

static void test_maps(void **state)
{
	char offset[300], gain[300];
	struct dip_pixels_conf conf;
	struct dip_pixels p;

	(void)state;
	conf = conf_of("", "", "");
	p = load(&conf);
	assert_true(dip_pixels_plain(&p));
	assert_true(dip_pixels_plain(NULL));
	dip_pixels_free(&p);
	conf.least = 4;
	p = load(&conf);
	assert_false(dip_pixels_plain(&p));
	assert_true(p.least == 4);
	dip_pixels_free(&p);

	strcpy(offset, fixture_npy("o.npy", "<f8", "False", "(3, 4)", map, sizeof(map)));
	strcpy(gain, fixture_npy("g.npy", "|u1", "False", "(3, 4)", "abcdefghijkl", 12));
	conf = conf_of(offset, gain, "");
	p = load(&conf);
	assert_false(dip_pixels_plain(&p));
	assert_memory_equal(p.offset, map, sizeof(map));
	for (int i = 0; i < HEIGHT * WIDTH; i++)
		assert_true(p.gain[i] == 'a' + i);
	assert_null(p.hot);
	dip_pixels_free(&p);
	assert_null(p.offset);
	assert_null(p.gain);
}

static void test_hot_lists(void **state)
{
	(void)state;
	check_hot("0:0", "100000000000");
	check_hot("2:3", "000000000001");
	check_hot("1:2, 2:0", "000000101000");
	check_hot(" 1:2 ,2:0 ", "000000101000");
	check_hot("1:2,1:2", "000000100000");
	check_hot("1:2,", "000000100000");
}

static void test_hot_files(void **state)
{
	static const double list[] = {0, 1, 2, 3, 0, 1};
	static const double odd[HEIGHT * WIDTH] = {0, INFINITY, -1, 0.5, -0.0};

	(void)state;
	check_hot(fixture_npy("h.npy", "|b1", "False", "(3, 4)", "\0\0\0\1\0\0\0\0\1\0\0\0", 12),
		"000100001000");
	check_hot(fixture_npy("h.npy", "|b1", "True", "(3, 4)", "\1\0\0\0\0\0\0\0\0\0\1\0", 12),
		"100000010000");
	check_hot(
		fixture_npy("h.npy", "<f8", "False", "(3, 2)", list, sizeof(list)), "010000000001");
	/* Not 0, whatever it is instead. */
	check_hot(fixture_npy("h.npy", "<f8", "False", "(3, 4)", odd, sizeof(odd)), "011100000000");
}

/* Nothing is given; the message names the key. */
static void assert_refused(
	struct dip_pixels_conf conf, int rc, const char *key, const char *const *words)
{
	struct dip_pixels p, before;
	struct dip_error err = {""};
	int ret;

	memset(&p, 0x5a, sizeof(p));
	before = p;
	ret = dip_pixels_load(&conf, &p, &err);
	if (ret != rc)
		fail_msg("returned %d, expected %d: %s", ret, rc, err.text);
	assert_memory_equal(&p, &before, sizeof(p));
	assert_memory_equal(err.text, key, strlen(key));
	fixture_says(err.text, words);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define OFFSET(path, rc, ...)                                                                      \
	assert_refused(conf_of(path, "", ""), rc, "pois.offset_map: ", WORDS(__VA_ARGS__))
#define GAIN(path, rc, ...)                                                                        \
	assert_refused(conf_of("", path, ""), rc, "pois.gain_map: ", WORDS(__VA_ARGS__))
#define HOT(path, rc, ...)                                                                         \
	assert_refused(conf_of("", "", path), rc, "pois.hot_pixels: ", WORDS(__VA_ARGS__))

static void test_refused_maps(void **state)
{
	char good[300];

	(void)state;
	OFFSET(fixture_file("none.npy"), -ENOENT, "/none.npy: ", "No such file");
	OFFSET(fixture_write("m.npy", "hello", 5), -EINVAL, "/m.npy: ", "not an .npy file");
	GAIN(fixture_npy("m.npy", "<f8", "False", "(4, 3)", map, sizeof(map)), -EINVAL,
		"/m.npy: ", "(4, 3)", "(3, 4), the frame's");
	GAIN(fixture_npy("m.npy", "<f8", "False", "(2, 4)", map, 64), -EINVAL, "(2, 4)", "(3, 4)");
	GAIN(fixture_npy("m.npy", "<f8", "False", "(3, 3)", map, 72), -EINVAL, "(3, 3)", "(3, 4)");
	GAIN(fixture_npy("m.npy", "<f8", "False", "(12,)", map, sizeof(map)), -EINVAL, "(12,)",
		"two dimensions");
	GAIN(fixture_npy("m.npy", "<f8", "False", "(3, 4)", map, 95), -EINVAL,
		"found 95 bytes of data, expected 96");
	GAIN(fixture_npy("m.npy", "<c8", "False", "(3, 4)", map, sizeof(map)), -EINVAL,
		"dtype '<c8'", "astype");
	/* What was read before is given back: the sanitizer sees it if it is not. */
	strcpy(good, fixture_npy("o.npy", "<f8", "False", "(3, 4)", map, sizeof(map)));
	assert_refused(
		conf_of(good, good, "9:9"), -EINVAL, "pois.hot_pixels: ", WORDS("row 9, column 9"));
	assert_refused(conf_of(good, fixture_file("none.npy"), "1:1"), -ENOENT,
		"pois.gain_map: ", WORDS("/none.npy"));
}

static void test_refused_hot(void **state)
{
	static const struct {
		double row, col;
		const char *words;
	} outside[] = {{3, 0, "row 3, column 0"}, {0, 4, "row 0, column 4"},
		{-1, 0, "row -1, column 0"}, {0, -1, "row 0, column -1"},
		{0.5, 0, "row 0.5, column 0"}, {0, 1.5, "column 1.5"}, {NAN, 0, "row nan"},
		{0, NAN, "column nan"}, {INFINITY, 0, "row inf"}, {1e300, 0, "row 1e+300"}};
	static const char *const lists[] = {"1", "1:", ":1", "1;2", "1:2;", "1:2 1:3", "a:b",
		"-1:2", "1:2,,1:3", ",", "1:2, x", "+1:2", "1:2:3", "map.np", "1 2"};
	static const double unknown[HEIGHT * WIDTH] = {0, 1, 0, 0, 0, 0, NAN};

	(void)state;
	for (size_t i = 0; i < COUNT(outside); i++) {
		const double list[] = {1, 1, outside[i].row, outside[i].col};

		HOT(fixture_npy("h.npy", "<f8", "False", "(2, 2)", list, sizeof(list)), -EINVAL,
			outside[i].words, "expected one inside the frame of 3 x 4");
	}
	for (size_t i = 0; i < COUNT(lists); i++)
		HOT(lists[i], -EINVAL, "found \"", "expected ROW:COLUMN", ".npy");
	HOT("3:0", -EINVAL, "row 3, column 0", "3 x 4");
	HOT("1:1, 0:4", -EINVAL, "row 0, column 4");
	HOT("4294967297:0", -EINVAL, "expected");
	HOT(fixture_npy("h.npy", "<f8", "False", "(4, 3)", map, sizeof(map)), -EINVAL, "(4, 3)",
		"(3, 4)", "(N, 2)");
	HOT(fixture_file("none.npy"), -ENOENT, "/none.npy");
	HOT(fixture_npy("h.npy", "<f8", "False", "(3, 4)", unknown, sizeof(unknown)), -EINVAL,
		"/h.npy: row 1, column 2: found nan, expected 0, or 1");
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_maps),
		cmocka_unit_test(test_hot_lists),
		IN_DIR(test_hot_files),
		IN_DIR(test_refused_maps),
		IN_DIR(test_refused_hot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
