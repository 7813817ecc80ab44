/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "npy/npy.h"
#include "npy_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The bytes of a number of that type, by the language and not by shifts of the reader's kind. */
static void encode(char kind, unsigned int bytes, bool big, double value, uint8_t *out)
{
	union {
		uint8_t u1, byte[8];
		int8_t i1;
		uint16_t u2;
		int16_t i2;
		uint32_t u4;
		int32_t i4;
		uint64_t u8;
		int64_t i8;
		float f4;
		double f8;
	} x;

	switch (kind == 'f' ? 10 + bytes : kind == 'i' ? 20 + bytes : bytes) {
	case 1:
		x.u1 = (uint8_t)value;
		break;
	case 2:
		x.u2 = (uint16_t)value;
		break;
	case 4:
		x.u4 = (uint32_t)value;
		break;
	case 8:
		x.u8 = (uint64_t)value;
		break;
	case 14:
		x.f4 = (float)value;
		break;
	case 18:
		x.f8 = value;
		break;
	case 21:
		x.i1 = (int8_t)value;
		break;
	case 22:
		x.i2 = (int16_t)value;
		break;
	case 24:
		x.i4 = (int32_t)value;
		break;
	default:
		x.i8 = (int64_t)value;
	}
	/* The machine that the tests run on is a little-endian one. */
	for (unsigned int i = 0; i < bytes; i++)
		out[i] = x.byte[big ? bytes - 1 - i : i];
}

static void check_type(const char *descr, const char *order, const double *want)
{
	char kind = descr[1];
	unsigned int bytes = (unsigned int)(descr[2] - '0');
	bool fortran = strcmp(order, "True") == 0;
	uint64_t rows = 0, columns = 0;
	double *values = NULL;
	struct dip_error err;
	uint8_t data[6 * 8];

	for (unsigned int i = 0; i < 6; i++) {
		unsigned int at = fortran ? i % 3 * 2 + i / 3 : i;

		encode(kind, bytes, descr[0] == '>', want[i], data + at * bytes);
	}
	fixture_npy("a.npy", descr, order, "(2, 3)", data, 6 * bytes);
	if (dip_npy_array_read(fixture_path, &values, &rows, &columns, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(rows, 2);
	assert_int_equal(columns, 3);
	for (unsigned int i = 0; i < 6; i++)
		if (values[i] != want[i] && !(isnan(values[i]) && isnan(want[i])))
			fail_msg("%s, %s, number %u: found %.17g, expected %.17g", descr, order, i,
				values[i], want[i]);
	free(values);
}

static void test_types(void **state)
{
	static const struct {
		const char *descr;
		double value[6];
	} types[] = {
		{"|b1", {0, 1, 1, 0, 0, 1}},
		{"|u1", {0, 1, 127, 128, 200, 255}},
		{"|i1", {-128, -1, 0, 1, 100, 127}},
		{"<u2", {0, 1, 255, 256, 32768, 65535}},
		{">u2", {0, 1, 255, 256, 32768, 65535}},
		{"<i2", {-32768, -256, -1, 0, 256, 32767}},
		{">i2", {-32768, -256, -1, 0, 256, 32767}},
		{"<u4", {0, 1, 65536, 2147483648.0, 16777217, 4294967295.0}},
		{">u4", {0, 1, 65536, 2147483648.0, 16777217, 4294967295.0}},
		{"<i4", {-2147483648.0, -1, 0, 1, 65536, 2147483647}},
		{">i4", {-2147483648.0, -1, 0, 1, 65536, 2147483647}},
		{"<u8", {0, 1, 4294967296.0, 9007199254740991.0, 9223372036854775808.0, 3}},
		{">u8", {0, 1, 4294967296.0, 9007199254740991.0, 9223372036854775808.0, 3}},
		{"<i8", {-9223372036854775808.0, -9007199254740991.0, -1, 0, 1, 4294967296.0}},
		{">i8", {-9223372036854775808.0, -9007199254740991.0, -1, 0, 1, 4294967296.0}},
		{"<f4", {0, -0.5, 1.25, 3e38f, INFINITY, NAN}},
		{">f4", {0, -0.5, 1.25, 1e-45f, -INFINITY, NAN}},
		{"<f8", {0, -0.1, 5e-324, 1.7976931348623157e308, INFINITY, NAN}},
		{">f8", {0, -0.1, 5e-324, 1.7976931348623157e308, -INFINITY, NAN}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		check_type(types[i].descr, "False", types[i].value);
		check_type(types[i].descr, "True", types[i].value);
	}
}

static unsigned int descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return (unsigned int)fd;
}

/* Nothing is given, and no descriptor stays open. */
static void assert_refused(const char *path, int rc, const char *const *words)
{
	double guard, *values = &guard;
	uint64_t rows = 77, columns = 78;
	unsigned int before = descriptor();
	struct dip_error err = {""};
	int ret = dip_npy_array_read(path, &values, &rows, &columns, &err);

	if (ret != rc)
		fail_msg("%s: returned %d, expected %d: %s", path, ret, rc, err.text);
	assert_ptr_equal(values, &guard);
	assert_int_equal(rows, 77);
	assert_int_equal(columns, 78);
	assert_int_equal(descriptor(), before);
	assert_memory_equal(err.text, path, strlen(path));
	fixture_says(err.text, words);
}
#define REFUSED(path, rc, ...) assert_refused(path, rc, (const char *const[]){__VA_ARGS__, NULL})
#define ARRAY(descr, shape, bytes) fixture_npy("a.npy", descr, "False", shape, zeros, bytes)

static const uint8_t zeros[1024];

static void test_refused_arrays(void **state)
{
	(void)state;
	REFUSED(ARRAY("<c8", "(2, 3)", 48), -EINVAL, "dtype '<c8'", "expected", "astype('<f8')");
	REFUSED(ARRAY("<f2", "(2, 3)", 12), -EINVAL, "dtype '<f2'");
	REFUSED(ARRAY("|S8", "(2, 3)", 48), -EINVAL, "dtype '|S8'");
	REFUSED(ARRAY("<f16", "(2, 3)", 96), -EINVAL, "dtype '<f16'");
	REFUSED(ARRAY("<b2", "(2, 3)", 12), -EINVAL, "dtype '<b2'");
	REFUSED(ARRAY("=f8", "(2, 3)", 48), -EINVAL, "dtype '=f8'");
	REFUSED(ARRAY("|O8", "(2, 3)", 48), -EINVAL, "dtype '|O8'");
	REFUSED(ARRAY("<f8", "()", 8), -EINVAL, "shape ()", "two dimensions");
	REFUSED(ARRAY("<f8", "(6,)", 48), -EINVAL, "shape (6,)", "two dimensions");
	REFUSED(ARRAY("<f8", "(1, 2, 3)", 48), -EINVAL, "shape (1, 2, 3)", "two dimensions");
	REFUSED(ARRAY("<f8", "(0, 3)", 0), -EINVAL, "shape (0, 3)");
	REFUSED(ARRAY("<f8", "(3, 0)", 0), -EINVAL, "shape (3, 0)");
	REFUSED(ARRAY("<f8", "(1, 65536)", 0), -EINVAL, "shape (1, 65536)");
	REFUSED(ARRAY("<f8", "(4294967296, 1)", 0), -EINVAL, "shape (4294967296, 1)");
	REFUSED(ARRAY("<f8", "(18446744073709551616, 1)", 0), -EINVAL, "below 2^64");
	REFUSED(ARRAY("<f8", "(4294967295, 65535)", 8), -EINVAL, "found 8 bytes",
		"expected 2251765453422600");
	REFUSED(ARRAY("<f8", "(2, -3)", 48), -EINVAL, "found -3", "expected a number");
}

/* Cut at every byte, and with some more. */
static void test_cut_short(void **state)
{
	char whole[128 + 48 + 1];
	FILE *f;

	(void)state;
	ARRAY("<f8", "(2, 3)", 48);
	f = fopen(fixture_path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(whole, 1, sizeof(whole), f), 128 + 48);
	fclose(f);
	whole[128 + 48] = 0;
	REFUSED(fixture_write("a.npy", whole, 0), -EINVAL, "empty file");
	for (size_t n = 1; n < 128; n++)
		REFUSED(fixture_write("a.npy", whole, n), -EINVAL,
			n < 6 ? "ends in its header" : "expected");
	for (size_t n = 128; n < 128 + 48; n++) {
		char found[64];

		snprintf(found, sizeof(found), "found %zu bytes of data, expected 48", n - 128);
		REFUSED(fixture_write("a.npy", whole, n), -EINVAL, found);
	}
	REFUSED(fixture_write("a.npy", whole, 128 + 49), -EINVAL,
		"found 49 bytes of data, expected 48");
}

static void test_refused_files(void **state)
{
	char path[300];
	int fd;

	(void)state;
	REFUSED(fixture_file("none.npy"), -ENOENT, "No such file");
	REFUSED(fixture_dir, -EINVAL, "not a regular file");
	assert_int_equal(mkfifo(fixture_file("fifo"), 0600), 0);
	REFUSED(fixture_path, -EINVAL,
		"not a regular file"); /* and it does not wait for a writer */
	REFUSED("/dev/null", -EINVAL, "not a regular file");
	REFUSED(fixture_write("text.npy", "hello", 5), -EINVAL, "not an .npy file");
	snprintf(path, sizeof(path), "%s/under", fixture_write("text.npy", "hello", 5));
	REFUSED(path, -ENOTDIR, "Not a directory");
	/* Refused before memory is asked for. */
	fd = open(fixture_file("large.npy"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ((off_t)2 << 30) + 1), 0);
	close(fd);
	REFUSED(fixture_path, -EFBIG, "found 2147483649 bytes, expected at most 2147483648");
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, fixture_open, fixture_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_types),
		IN_DIR(test_refused_arrays),
		IN_DIR(test_cut_short),
		IN_DIR(test_refused_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
