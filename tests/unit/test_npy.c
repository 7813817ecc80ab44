/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "npy/npy.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define DICT(descr, order, shape)                                                                  \
	"{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"
#define SHAPE(shape) DICT("'<u2'", "False", shape)
#define DESCR(descr) DICT(descr, "False", "(2, 3)")

/* Magic, version, length and text, in a block of exactly its size, so that the address sanitizer
 * sees a read past its end. */
static char *make_head(unsigned int version, const char *text, size_t text_len, size_t *len)
{
	size_t at = version == 1 ? 10 : 12;
	char *head = malloc(at + text_len);

	assert_non_null(head);
	memcpy(head, "\x93NUMPY", 6);
	head[6] = (char)version;
	head[7] = 0;
	for (size_t i = 8; i < at; i++)
		head[i] = (char)(text_len >> (i - 8) * 8);
	memcpy(head + at, text, text_len);
	*len = at + text_len;
	return head;
}

/* Each word, up to the NULL at the end, is in the message, which is one line. */
static void assert_says(const struct dip_error *err, const char *const *words)
{
	assert_null(strchr(err->text, '\n'));
	for (; *words != NULL; words++) {
		if (strstr(err->text, *words) == NULL)
			fail_msg("no \"%s\" in: %s", *words, err->text);
	}
}
#define ASSERT_SAYS(err, ...) assert_says(err, (const char *const[]){__VA_ARGS__, NULL})

static void test_golden(void **state)
{
	static const struct {
		unsigned int version;
		const char *text;
		struct dip_npy_header want; /* data_offset apart */
	} golden[] = {
		{1, DICT("'<u2'", "False", "(2, 3)") "     \n",
			{DIP_NPY_U2LE, false, 2, 1, 2, 3, 0, 12}},
		{2, DICT("'>u2'", "True", "(4, 2, 3)") "\n",
			{DIP_NPY_U2BE, true, 3, 4, 2, 3, 0, 48}},
		{3, DICT("'<i2'", "False", "(65535, 65535)"),
			{DIP_NPY_I2LE, false, 2, 1, 65535, 65535, 0, 8589672450}},
		{1, "{\"shape\":(1,1,1),\"fortran_order\":True,\"descr\":\">i2\"}",
			{DIP_NPY_I2BE, true, 3, 1, 1, 1, 0, 2}},
		{1,
			" \t\r\n\f{ 'fortran_order'\n:False ,\"descr\"\t: '|u1','shape' : ( 7 "
			",\n9,) ,\r}\t ",
			{DIP_NPY_U1, false, 2, 1, 7, 9, 0, 63}},
		{2, "{'shape': (3, 7, 9,), 'descr': \"u1\", 'fortran_order': True,}",
			{DIP_NPY_U1, true, 3, 3, 7, 9, 0, 189}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
		const struct dip_npy_header *want = &golden[i].want;
		struct dip_npy_header h = {0};
		struct dip_error err;
		size_t len;
		char *head =
			make_head(golden[i].version, golden[i].text, strlen(golden[i].text), &len);

		if (dip_npy_parse("g", head, len, len + want->data_bytes, &h, &err) != 0)
			fail_msg("%s", err.text);
		assert_int_equal(h.type, want->type);
		assert_int_equal(h.fortran_order, want->fortran_order);
		assert_int_equal(h.ndim, want->ndim);
		assert_int_equal(h.frames, want->frames);
		assert_int_equal(h.height, want->height);
		assert_int_equal(h.width, want->width);
		assert_int_equal(h.data_offset, len);
		assert_int_equal(h.data_bytes, want->data_bytes);
		free(head);
	}
}

/* Parse and expect a refusal that leaves the output as it was and names the file. */
static void refused(const char *head, size_t len, uint64_t file_size, const char *const *words)
{
	struct dip_npy_header h, before;
	struct dip_error err = {""};

	memset(&h, 0x5a, sizeof(h));
	before = h;
	if (dip_npy_parse("f.npy", head, len, file_size, &h, &err) != -EINVAL)
		fail_msg("not refused with EINVAL: %s %s", words[0], err.text);
	assert_memory_equal(&h, &before, sizeof(h));
	assert_memory_equal(err.text, "f.npy: ", 7);
	assert_says(&err, words);
	assert_int_equal(dip_npy_parse("f.npy", head, len, file_size, &h, NULL), -EINVAL);
}

static void test_refused_text(void **state)
{
	static const struct {
		const char *text;
		const char *words[4];
	} bad[] = {
		{DESCR("'<f4'"), {"dtype '<f4'; expected one of <u2 >u2 <i2 >i2 |u1; convert with "
				  "numpy: a.astype('<u2')"}},
		{DESCR("'<f2'"), {"dtype '<f2'", "astype"}},
		{DESCR("'<u4'"), {"dtype '<u4'", "astype"}},
		{DESCR("'|b1'"), {"dtype '|b1'", "astype"}},
		{DESCR("'|O'"), {"dtype '|O'", "astype"}},
		{DESCR("'<u2 '"), {"dtype '<u2 '", "astype"}},
		{DESCR("'<u'"), {"dtype '<u'", "astype"}},
		{DESCR("'\x1b[2J\n'"), {"dtype '?[2J?'"}},
		{DESCR("('<u2', (2,))"), {"byte 20: found ('<u2'", "a dtype in quotes"}},
		{DESCR("[('image', '<u2', (2, 3)), ('seq', '<u8')]"),
			{"structured dtype", "archive segment", "scripts/decode.py"}},
		{SHAPE("()"), {"shape () is 0-D", "(H, W) or (N, H, W)"}},
		{SHAPE("(6,)"), {"shape (6,) is 1-D", "a.reshape"}},
		{SHAPE("(1, 2, 3, 3)"), {"shape (1, 2, 3, 3) is 4-D", "a.reshape"}},
		{SHAPE("(0, 2, 3)"), {"shape (0, 2, 3)", "1 or more"}},
		{SHAPE("(0, 3)"), {"shape (0, 3)", "1..65535"}},
		{SHAPE("(3, 0)"), {"shape (3, 0)", "1..65535"}},
		{SHAPE("(65536, 1)"), {"shape (65536, 1)", "1..65535"}},
		{SHAPE("(1, 1, 65536)"), {"shape (1, 1, 65536)", "1..65535"}},
		{SHAPE("(9223372036854775808, 1, 1)"), {"overflow", "2^64"}},
		{SHAPE("(9223372036854775807, 1, 1)"), {"overflow", "2^64"}},
		{SHAPE("(18446744073709551616, 1, 1)"),
			{"found 18446744073709551616", "below 2^64"}},
		{SHAPE("(55340232221128654860, 1, 1)"), {"below 2^64"}},
		{SHAPE("(-2, 3)"), {"found -2, 3", "a number"}},
		{SHAPE("(2.0, 3)"), {"found .0, 3", "',' or ')'"}},
		{SHAPE("(2L, 3L)"), {"found L, 3L", "',' or ')'"}},
		{SHAPE("(02, 3)"), {"leading zeros"}},
		{SHAPE("(,)"), {"found ,)", "a number"}},
		{SHAPE("(2,, 3)"), {"found , 3)", "a number"}},
		{SHAPE("[2, 3]"), {"found [2, 3]", "a tuple"}},
		{DICT("'<u2'", "0", "(2, 3)"), {"found 0, 'shape'", "True or False"}},
		{DICT("'<u2'", "Falsely", "(2, 3)"), {"found ly, 'shape'", "',' or '}'"}},
		{"{'descr': '<u2', 'shape': (2, 3)}", {"no key 'fortran_order'", "once each"}},
		{"{'fortran_order': True, 'shape': (2, 3)}", {"no key 'descr'"}},
		{"{'descr': '<u2', 'fortran_order': True}", {"no key 'shape'"}},
		{"{}", {"no key 'descr'"}},
		{"{'descr': '<u2', 'color': 3}", {"byte 27: found 'color'", "the keys 'descr'"}},
		{"{'descr': '<u2', 'descr': '<u2'}", {"byte 27: found 'descr'", "once each"}},
		{"{'desc': '<u2'}", {"found 'desc'", "the keys"}},
		{"{'descr: '<u2'}", {"found 'descr: '", "the keys"}},
		{"{'descr", {"closing quote"}},
		{"{'descr\": '<u2'}", {"found 'descr\": '", "the keys"}},
		{"{'descr' '<u2'}", {"found '<u2'", "':'"}},
		{"{'descr': '<u2' 'shape': (2, 3)}", {"found 'shape'", "',' or '}'"}},
		{"{descr: '<u2'}", {"found descr", "a key in quotes"}},
		{"{'descr': ", {"found the end of the header", "a dtype"}},
		{"['descr']", {"found ['descr']", "a dict"}},
		{"", {"the end of the header", "a dict"}},
		{SHAPE("(2, 3)") " x", {"found x", "white space"}},
		{SHAPE("(2, 3"), {"found }", "a number"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t len;
		char *head = make_head(1, bad[i].text, strlen(bad[i].text), &len);

		refused(head, len, len + 12, bad[i].words);
		free(head);
	}
}
#define REFUSED(head, len, size, ...)                                                              \
	refused(head, len, size, (const char *const[]){__VA_ARGS__, NULL})

static void test_refused_file(void **state)
{
	static const char text[] = SHAPE("(2, 3)");
	char *spaces = malloc(70000), *head, *cut;
	struct dip_npy_header h;
	size_t len;

	(void)state;
	assert_non_null(spaces);
	memset(spaces, ' ', 70000);
	memcpy(spaces, text, sizeof(text) - 1);
	for (unsigned int version = 1; version <= 3; version++) {
		head = make_head(version, text, sizeof(text) - 1, &len);
		assert_int_equal(dip_npy_parse("f", head, len, len + 12, &h, NULL), 0);
		REFUSED(head, len, len + 11, "cut short", "found 11 bytes", "expected 12",
			"(2, 3)");
		REFUSED(head, len, len, "cut short", "found 0 bytes", "expected 12");
		REFUSED(head, len, len + 13, "more data", "found 13 bytes", "expected 12");
		/* Whatever is cut off the header, it is refused without a look beyond. */
		for (size_t n = 0; n < len; n++) {
			cut = malloc(n + !n);
			assert_non_null(cut);
			memcpy(cut, head, n);
			if (n == 0)
				REFUSED(cut, n, n, "empty file", ".npy");
			else
				REFUSED(cut, n, n, "ends in its header", "expected");
			free(cut);
		}
		free(head);
	}
	head = make_head(2, spaces, 65536, &len);
	assert_int_equal(dip_npy_parse("f", head, len, len + 12, &h, NULL), 0);
	assert_int_equal(h.data_offset, 65548);
	free(head);
	head = make_head(2, spaces, 65537, &len);
	REFUSED(head, len, len + 12, "header of 65537 bytes", "at most 65536");
	head[11] = '\xff';
	REFUSED(head, len, len + 12, "header of 4278255617 bytes", "at most 65536");
	head[6] = 4;
	REFUSED(head, len, len + 12, "version 4.0", "1.0, 2.0 or 3.0");
	head[6] = 0;
	REFUSED(head, len, len + 12, "version 0.0", "1.0, 2.0 or 3.0");
	head[6] = 2;
	head[7] = 1;
	REFUSED(head, len, len + 12, "version 2.1", "1.0, 2.0 or 3.0");
	head[5] = 'y';
	REFUSED(head, len, len + 12, "not an .npy file", "\\x93NUMPY");
	free(head);
	free(spaces);
}

static void test_header_write(void **state)
{
	static const size_t sizes[] = {128, 4096, 65536};
	char *buf = malloc(65536), before[64];
	struct dip_npy_header h;

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(buf, 0x7f, 65536);
		assert_int_equal(dip_npy_header_write(buf, sizes[i], "'>i2'", "(5, 7, 9)"), 0);
		assert_int_equal(buf[6], 1);
		assert_int_equal(buf[sizes[i] - 1], '\n');
		assert_int_equal(buf[sizes[i] - 2], ' ');
		assert_true(sizes[i] == 65536 || buf[sizes[i]] == 0x7f);
		assert_int_equal(
			dip_npy_parse("w", buf, sizes[i], sizes[i] + 5 * 7 * 9 * 2, &h, NULL), 0);
		assert_int_equal(h.type, DIP_NPY_I2BE);
		assert_false(h.fortran_order);
		assert_int_equal(h.frames, 5);
		assert_int_equal(h.height, 7);
		assert_int_equal(h.width, 9);
		assert_int_equal(h.data_offset, sizes[i]);
	}
	assert_int_equal(dip_npy_header_write(buf, 4096, "[('image', '<u2', (7, 9))]", "(5,)"), 0);
	REFUSED(buf, 4096, 8192, "structured dtype", "scripts/decode.py");

	/* Ten bytes before the text and a newline after it: 117 are left of 128. */
	for (int width = 1; width < 100; width++) {
		char shape[120];
		int len = snprintf(shape, sizeof(shape), "(%*d, 3)", width, 2);
		size_t text_len = strlen(SHAPE("")) + (size_t)len;
		int rc = dip_npy_header_write(buf, 128, "'<u2'", shape);

		assert_int_equal(rc, text_len <= 117 ? 0 : -ENOSPC);
		if (rc == 0)
			assert_int_equal(dip_npy_parse("w", buf, 128, 140, &h, NULL), 0);
	}
	memset(buf, 0x7f, 64);
	memcpy(before, buf, 64);
	assert_int_equal(dip_npy_header_write(buf, 64, "'<u2'", "(1234, 12)"), -ENOSPC);
	assert_int_equal(dip_npy_header_write(buf, 0, "'<u2'", "(2, 3)"), -ENOSPC);
	assert_int_equal(dip_npy_header_write(buf, 100, "'<u2'", "(2, 3)"), -EINVAL);
	assert_int_equal(dip_npy_header_write(buf, 65600, "'<u2'", "(2, 3)"), -EINVAL);
	assert_memory_equal(buf, before, 64);
	free(buf);
}

/* Folders of files -------------------------------------------------------------------------- */

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[2][400];
	static unsigned int turn;

	snprintf(path[++turn % 2], sizeof(path[0]), "%s/%s", dir, name);
	return path[turn % 2];
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/dip-npy-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)state;
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove(in_dir(e->d_name));
	}
	if (d != NULL)
		closedir(d);
	return rmdir(dir);
}

static void write_file(const char *name, const char *descr, const char *order, const char *shape,
	const void *data, size_t size)
{
	char text[256];
	size_t len;
	FILE *f = fopen(in_dir(name), "wb");
	int n = snprintf(text, sizeof(text), DICT("'%s'", "%s", "%s") "\n", descr, order, shape);
	char *head = make_head(1, text, (size_t)n, &len);

	assert_non_null(f);
	assert_int_equal(fwrite(head, 1, len, f), len);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	free(head);
}

static const char *const dtypes[] = {"<u2", ">u2", "<i2", ">i2", "|u1"};

/* What the test files hold: every bit of the type is used, no two neighbours agree. */
static uint16_t reference(unsigned int type, unsigned int file, size_t n, size_t h, size_t w)
{
	uint32_t x = (uint32_t)(((file * 31 + n) * 1009 + h) * 2003 + w) * 2654435761u;

	x >>= 16;
	return (uint16_t)(type == 4 ? x & 0xff : type >= 2 ? x & 0x7fff : x);
}

/* frames = 0: a 2-D array. */
static void write_array(
	unsigned int file, unsigned int type, bool fortran, size_t frames, size_t h, size_t w)
{
	size_t n = frames + !frames, item = type == 4 ? 1 : 2, size = n * h * w * item;
	uint8_t *data = malloc(size), *p = data;
	char name[32], shape[64];

	assert_non_null(data);
	for (size_t i = 0; i < n * h * w; i++) {
		uint16_t v = fortran ? reference(type, file, i % n, i / n % h, i / n / h)
				     : reference(type, file, i / (h * w), i / w % h, i % w);

		if (item == 2)
			*p++ = (uint8_t)(type & 1 ? v >> 8 : v);
		*p++ = (uint8_t)(type & 1 || item == 1 ? v : v >> 8);
	}
	snprintf(name, sizeof(name), "%03u.npy", file);
	if (frames == 0)
		snprintf(shape, sizeof(shape), "(%zu, %zu)", h, w);
	else
		snprintf(shape, sizeof(shape), "(%zu, %zu, %zu)", frames, h, w);
	write_file(name, dtypes[type], fortran ? "True" : "False", shape, data, size);
	free(data);
}

/* All dtypes, orders and numbers of dimensions in one folder, read forwards and criss-cross. */
static void check_kinds(size_t height, size_t width)
{
	static const size_t depth[] = {0, 3, 1, 5};
	struct {
		unsigned int file, type;
		size_t n;
	} want[200];
	uint16_t *pixels = malloc(height * width * 2);
	unsigned int files = 0, seed = 1;
	size_t count = 0;
	struct dip_npy_set *set;
	struct dip_error err;

	for (unsigned int i = 0; i < 5 * 2 * ARRAY_SIZE(depth); i++, files++) {
		size_t frames = depth[i / 10];

		write_array(files, i % 5, i / 5 % 2, frames, height, width);
		for (size_t n = 0; n < frames + !frames; n++, count++) {
			want[count].file = files;
			want[count].type = i % 5;
			want[count].n = n;
		}
	}
	if (dip_npy_set_open(dir, &set, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(dip_npy_set_frames(set), count);
	assert_int_equal(dip_npy_set_height(set), height);
	assert_int_equal(dip_npy_set_width(set), width);
	for (size_t i = 0; i < 20 * count; i++) {
		size_t k = i < count ? i : (size_t)rand_r(&seed) % count;

		memset(pixels, 0xee, height * width * 2);
		if (dip_npy_set_read(set, k, pixels, &err) != 0)
			fail_msg("%s", err.text);
		for (size_t p = 0; p < height * width; p++) {
			uint16_t v = reference(
				want[k].type, want[k].file, want[k].n, p / width, p % width);

			if (pixels[p] != v)
				fail_msg("file %u, frame %zu, pixel %zu: %u instead of %u",
					want[k].file, want[k].n, p, pixels[p], v);
		}
	}
	assert_int_equal(dip_npy_set_read(set, count, pixels, &err), -EINVAL);
	dip_npy_set_close(set);
	free(pixels);
}

static void test_kinds(void **state)
{
	(void)state;
	check_kinds(5, 7);
}

static void test_kinds_large(void **state)
{
	(void)state;
	check_kinds(67, 97);
}

static void test_order(void **state)
{
	/* In byte order, which is neither that of numbers nor that of dictionaries. */
	static const char *const names[] = {"B.npy", "a10.npy", "a9.npy", "b.npy", "\xc3\xa9.npy"};
	static const char *const others[] = {".a.npy", "notes.txt", "c.npy.bak", "npy", ".npy"};
	const char *file;
	struct dip_npy_set *set;
	uint16_t pixel;

	(void)state;
	for (uint16_t i = ARRAY_SIZE(names); i-- > 0;)
		write_file(names[i], "<u2", "False", "(1, 1)", &i, 2);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		write_file(others[i], "<f8", "False", "(1,)", "", 0);
	assert_int_equal(dip_npy_set_open(dir, &set, NULL), 0);
	assert_int_equal(dip_npy_set_frames(set), ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(dip_npy_set_read(set, i, &pixel, NULL), 0);
		assert_int_equal(pixel, i);
	}
	dip_npy_set_close(set);
	file = in_dir("b.npy");
	assert_int_equal(dip_npy_set_open(file, &set, NULL), 0);
	assert_int_equal(dip_npy_set_frames(set), 1);
	assert_int_equal(dip_npy_set_read(set, 0, &pixel, NULL), 0);
	assert_int_equal(pixel, 3);
	dip_npy_set_close(set);
}

/* Returns how many descriptors the process has. */
static unsigned int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void test_descriptors(void **state)
{
	unsigned int before = descriptors();
	struct dip_npy_set *set;
	uint16_t pixels[4];

	(void)state;
	for (unsigned int i = 0; i < 50; i++)
		write_array(i, i % 5, i % 2, i % 3, 2, 2);
	assert_int_equal(dip_npy_set_open(dir, &set, NULL), 0);
	for (uint64_t i = 0; i < dip_npy_set_frames(set); i++)
		assert_int_equal(dip_npy_set_read(set, i, pixels, NULL), 0);
	assert_in_range(descriptors(), before, before + 1);
	dip_npy_set_close(set);
	assert_int_equal(descriptors(), before);
	dip_npy_set_close(NULL);
}

static void assert_open_fails(const char *path, int rc, const char *const *words)
{
	struct dip_npy_set *const untouched = (struct dip_npy_set *)dir, *set = untouched;
	unsigned int before = descriptors();
	struct dip_error err = {""};

	assert_int_equal(dip_npy_set_open(path, &set, &err), rc);
	assert_ptr_equal(set, untouched);
	assert_says(&err, words);
	assert_int_equal(descriptors(), before);
}
#define OPEN_FAILS(path, rc, ...)                                                                  \
	assert_open_fails(path, rc, (const char *const[]){path, __VA_ARGS__, NULL})

static void test_open_errors(void **state)
{
	static const uint8_t zeros[64];
	const char *path = in_dir("none");

	(void)state;
	OPEN_FAILS("", -ENOENT, "No such file", "expected a folder");
	OPEN_FAILS(path, -ENOENT, "No such file", "expected a folder");
	OPEN_FAILS("/dev/null", -EINVAL, "not a regular file");
	OPEN_FAILS(dir, -ENOENT, "no .npy file", "numpy.save");
	write_file("a.txt", "<u2", "False", "(2, 3)", zeros, 12);
	OPEN_FAILS(dir, -ENOENT, "no .npy file", "numpy.save");

	write_file("a.npy", "<u2", "False", "(2, 3)", zeros, 12);
	write_file("b.npy", "|u1", "True", "(1, 3, 2)", zeros, 6);
	OPEN_FAILS(dir, -EINVAL, "/a.npy", "/b.npy: ", "2x3", "3x2", "height x width");
	write_file("b.npy", "<u2", "False", "(2, 4)", zeros, 16);
	OPEN_FAILS(dir, -EINVAL, "/a.npy", "/b.npy: ", "2x3", "2x4");
	write_file("b.npy", "<u2", "False", "(2, 3)", zeros, 11);
	OPEN_FAILS(dir, -EINVAL, "/b.npy: ", "cut short", "11", "12");
	assert_int_equal(truncate(in_dir("b.npy"), 0), 0);
	OPEN_FAILS(dir, -EINVAL, "/b.npy: empty file");
	assert_int_equal(remove(in_dir("b.npy")), 0);
	assert_int_equal(mkdir(in_dir("b.npy"), 0700), 0);
	OPEN_FAILS(dir, -EINVAL, "/b.npy: not a regular file");
	assert_int_equal(remove(in_dir("b.npy")), 0);
	assert_int_equal(mkfifo(in_dir("b.npy"), 0600), 0);
	OPEN_FAILS(dir, -EINVAL, "/b.npy: not a regular file");
	assert_int_equal(remove(in_dir("b.npy")), 0);
	assert_int_equal(symlink("nowhere", in_dir("b.npy")), 0);
	OPEN_FAILS(dir, -ENOENT, "/b.npy: ", "cannot open", "No such file");
	path = in_dir("a.npy/");
	OPEN_FAILS(path, -ENOTDIR, "Not a directory");
}

static void test_unreadable(void **state)
{
	const char *path = in_dir("a.npy");

	(void)state;
	write_file("a.npy", "<u2", "False", "(1, 1)", "12", 2);
	/* Nothing is unreadable to root, so be nobody for a while. */
	if (geteuid() == 0 &&
		(chown(dir, 65534, 0) < 0 || chown(path, 65534, 0) < 0 || seteuid(65534) < 0))
		skip();
	assert_int_equal(chmod(path, 0), 0);
	OPEN_FAILS(path, -EACCES, "cannot open", "Permission denied");
	OPEN_FAILS(dir, -EACCES, "/a.npy: cannot open", "Permission denied");
	assert_int_equal(chmod(dir, 0300), 0);
	OPEN_FAILS(dir, -EACCES, "cannot read the folder", "Permission denied");
	assert_int_equal(chmod(dir, 0700), 0);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void test_long_header(void **state)
{
	/* Longer than the first read of a file, and the longest there may be. */
	static const size_t lengths[] = {4096, 5000, 65536};
	struct dip_npy_set *set;
	uint16_t pixel = 0;
	char *text, *head;
	size_t len;
	FILE *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		text = malloc(lengths[i]);
		assert_non_null(text);
		memset(text, ' ', lengths[i]);
		memcpy(text + lengths[i] - 60, SHAPE("(1, 1)"), strlen(SHAPE("(1, 1)")));
		head = make_head(3, text, lengths[i], &len);
		f = fopen(in_dir("a.npy"), "wb");
		assert_non_null(f);
		assert_int_equal(fwrite(head, 1, len, f), len);
		assert_int_equal(fwrite("\x34\x12", 1, 2, f), 2);
		assert_int_equal(fclose(f), 0);
		assert_int_equal(dip_npy_set_open(dir, &set, NULL), 0);
		assert_int_equal(dip_npy_set_read(set, 0, &pixel, NULL), 0);
		assert_int_equal(pixel, 0x1234);
		dip_npy_set_close(set);
		free(head);
		free(text);
	}
}

static void test_negative(void **state)
{
	/* Frame 1, row 0, column 2 of (2, 2, 3): element 8 in C order, 1 + 2 * (0 + 2 * 2) = 9 in
	 * Fortran's. */
	static const struct {
		const char *descr, *order;
		unsigned int at;
		uint8_t bytes[2];
		const char *value;
	} bad[] = {{"<i2", "False", 8, {0xff, 0xff}, " -1;"},
		{">i2", "False", 8, {0x80, 0x00}, " -32768;"},
		{"<i2", "True", 9, {0x00, 0x80}, " -32768;"},
		{">i2", "True", 9, {0xff, 0xfe}, " -2;"}};
	struct dip_npy_set *set;
	uint16_t pixels[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t data[24] = {0};
		struct dip_error err;

		memcpy(data + bad[i].at * 2, bad[i].bytes, 2);
		write_file("a.npy", bad[i].descr, bad[i].order, "(2, 2, 3)", data, 24);
		write_file("b.npy", bad[i].descr, bad[i].order, "(2, 2, 3)", data, 24);
		assert_int_equal(dip_npy_set_open(dir, &set, &err), 0);
		assert_int_equal(dip_npy_set_read(set, 2, pixels, &err), 0);
		assert_int_equal(dip_npy_set_read(set, 3, pixels, &err), -ERANGE);
		ASSERT_SAYS(&err, "/b.npy: frame 1, row 0, column 2", bad[i].value, "0..32767");
		dip_npy_set_close(set);
	}
}

static void test_changed_file(void **state)
{
	struct dip_npy_set *set;
	struct dip_error err;
	uint16_t pixels[6];

	(void)state;
	/* Every way of reading: straight, widened, whole. */
	for (unsigned int i = 0; i < 3; i++) {
		write_array(0, i == 1 ? 4 : 0, i == 2, 4, 2, 3);
		write_array(1, 0, false, 1, 2, 3);
		assert_int_equal(dip_npy_set_open(dir, &set, &err), 0);
		if (i < 2)
			assert_int_equal(dip_npy_set_read(set, 0, pixels, &err), 0);
		assert_int_equal(truncate(in_dir("000.npy"), 80), 0);
		assert_int_equal(dip_npy_set_read(set, 3, pixels, &err), -EIO);
		ASSERT_SAYS(&err, "/000.npy: cut short", "expected");
		assert_int_equal(dip_npy_set_read(set, 4, pixels, &err), 0);
		assert_int_equal(remove(in_dir("000.npy")), 0);
		assert_int_equal(dip_npy_set_read(set, 0, pixels, &err), -ENOENT);
		ASSERT_SAYS(&err, "/000.npy: cannot open", "No such file");
		dip_npy_set_close(set);
	}
}

/* The sites of these images tile rows and columns 50..249, so that the sums of all sites add up to
 * the sum of that square; the sums were taken with another program. */
static void test_samples(void **state)
{
	const char *path = getenv("DIP_SAMPLE_IMAGES");
	static uint16_t pixels[300 * 300];
	uint64_t sum = 0, first = 0;
	struct dip_npy_set *set;
	struct dip_error err;

	(void)state;
	if (path == NULL)
		path = "../shared/images/atoms-300x300";
	if (access(path, R_OK) != 0)
		skip();
	if (dip_npy_set_open(path, &set, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(dip_npy_set_frames(set), 100);
	assert_int_equal(dip_npy_set_height(set), 300);
	assert_int_equal(dip_npy_set_width(set), 300);
	for (uint64_t i = 0; i < 100; i++) {
		if (dip_npy_set_read(set, i, pixels, &err) != 0)
			fail_msg("%s", err.text);
		for (size_t p = 0; p < 200 * 200; p++)
			sum += pixels[(50 + p / 200) * 300 + 50 + p % 200];
		if (i == 0)
			first = sum;
	}
	assert_int_equal(first, 4120);
	assert_int_equal(sum, 367509);
	dip_npy_set_close(set);
}

static void test_fuzz(void **state)
{
	static const char *const texts[] = {SHAPE("(2, 3)") "      \n",
		DICT("\"|u1\"", "True", "(10, 20, 30)"), DESCR("[('a', '<u2', (2, 3))]"),
		"{'shape':(65535,65535,),'descr':'>i2','fortran_order':False}"};
	static const uint64_t data_bytes[] = {12, 6000, 12, 8589672450};
	static const char spice[] = "{}()[]'\",: \\\n0123456789TrueFalseL<>|ui\x00\x80\xff";
	unsigned int seed = 1, accepted = 0;
	struct dip_npy_header h;
	struct dip_error err;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		const char *text = texts[i % ARRAY_SIZE(texts)];
		uint64_t data = data_bytes[i % ARRAY_SIZE(texts)];
		size_t len, keep;
		char *head = make_head(1 + i / 4 % 3, text, strlen(text), &len), *p;
		int rc;

		for (int k = rand_r(&seed) % 4; k >= 0; k--) {
			int r = rand_r(&seed);
			size_t at = (size_t)rand_r(&seed) % len;

			head[at] = r % 4 == 0 ? (char)(r >> 8)
					      : spice[(size_t)(r >> 8) % sizeof(spice)];
		}
		/* Some are cut as well. */
		keep = rand_r(&seed) % 4 == 0 ? (size_t)rand_r(&seed) % len : len;
		p = malloc(keep + !keep);
		assert_non_null(p);
		memcpy(p, head, keep);
		rc = dip_npy_parse("z", p, keep, keep + data, &h, &err);
		if (rc == 0) {
			accepted++;
			assert_int_equal(h.data_offset + h.data_bytes, keep + data);
			assert_int_equal(h.data_bytes,
				h.frames * h.height * h.width * (h.type == DIP_NPY_U1 ? 1 : 2));
		} else {
			assert_int_equal(rc, -EINVAL);
			ASSERT_SAYS(&err, "z: ");
		}
		free(p);
		free(head);
	}
	/* A few changes do no harm, so that the loop reaches the end of the parser as well. */
	assert_in_range(accepted, 100, 100000);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_refused_text),
		cmocka_unit_test(test_refused_file),
		cmocka_unit_test(test_header_write),
		IN_DIR(test_kinds),
		IN_DIR(test_kinds_large),
		IN_DIR(test_order),
		IN_DIR(test_descriptors),
		IN_DIR(test_open_errors),
		IN_DIR(test_unreadable),
		IN_DIR(test_long_header),
		IN_DIR(test_negative),
		IN_DIR(test_changed_file),
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
