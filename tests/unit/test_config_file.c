/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_fixture.h"

static void test_load(void **state)
{
	(void)state;
	struct target t =
		load("# comment\nmain = {\n\tslabs = 0x40; fps = 50; // an integer is taken\n"
		     "\toverrun = \"block\"; any = -5L;\n};\n"
		     "proc : { verbose = TRUE; };\n"
		     "arch = { dir = \"/tmp/\" \"x y\"; prefix = \"\"; } # no line break");
	assert_int_equal(t.slabs, 64);
	assert_true(t.fps == 50.0);
	assert_string_equal(t.overrun, "block");
	assert_int_equal(t.any, -5);
	assert_true(t.verbose);
	assert_string_equal(t.dir, "/tmp/x y");
	assert_string_equal(t.prefix, "");
	assert_true(t.ratio == 0.5);
	dip_config_free(&table, &t);
	t = load("");
	assert_int_equal(t.slabs, 1024);
	dip_config_free(&table, &t);
}

/* Whole numbers of every size arrive as they are written, with or without L. */
static void test_wide_integers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {{"2147483647", INT32_MAX}, {"2147483648", 2147483648},
		{"-2147483648", INT32_MIN}, {"-2147483649", -2147483649},
		{"4294967297", 4294967297}, {"4294967297L", 4294967297},
		{"+4294967297", 4294967297}, {"4294967297LL", 4294967297},
		{"0xFFFFFFFF", 4294967295}, {"0x1fffffffe", 0x1fffffffe},
		{"0x7FFFFFFFFFFFFFFF", INT64_MAX}, {"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN}, {"1e12", 1000000000000}, {"7.0", 7},
		{"9007199254740992.0", 9007199254740992}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[100];
		snprintf(text, sizeof(text), "main = { any = %s; };", cases[i].text);
		struct target t = load(text);
		assert_int_equal(t.any, cases[i].value);
		snprintf(text, sizeof(text), "main.any=%s", cases[i].text);
		t.any = 1;
		set(&t, text);
		assert_int_equal(t.any, cases[i].value);
		dip_config_free(&table, &t);
	}
	/* Digits in strings, comments and names are left alone; a float stays one. */
	struct target t =
		load("main = { fps = 4294967.297e2; any_float = .4294967297; } # 4294967297\n"
		     "arch = { dir = \"4294967297\\\"4294967297\"; /* 4294967297 */ };");
	assert_true(t.fps == 429496729.7);
	assert_true(t.any_float == .4294967297);
	assert_string_equal(t.dir, "4294967297\"4294967297");
	dip_config_free(&table, &t);
}

static void test_load_values_refused(void **state)
{
	(void)state;
	load_fails("main = {\n  fps = -5;\n};", EINVAL,
		"a.cfg:2: main.fps = -5: out of range; expected a number above 0 and at most 1e9 "
		"(frames a second)");
	load_fails("main = { fps = 0.0; };", EINVAL,
		"a.cfg:1: main.fps = 0: out of range; expected a number above 0 and at most 1e9 "
		"(frames a second)");
	load_fails("main = { any_float = 1e999; };", EINVAL,
		"a.cfg:1: main.any_float = inf: out of range; expected a number");
	load_fails("main = { ratio = \"fast\"; };", EINVAL,
		"a.cfg:1: main.ratio = \"fast\": found a string; expected a number from 0 to 1");
	load_fails("main = { slabs = 1.5; };", EINVAL,
		"a.cfg:1: main.slabs = 1.5: found a fraction; expected a whole number from 1 to "
		"65536 "
		"(frames)");
	load_fails("main = { slabs = 65537; };", EINVAL,
		"a.cfg:1: main.slabs = 65537: out of range; expected a whole number from 1 to "
		"65536 "
		"(frames)");
	load_fails("main = { slabs = 4294967297; };", EINVAL,
		"a.cfg:1: main.slabs = 4294967297: out of range; expected a whole number from 1 to "
		"65536 (frames)");
	load_fails("main = { open_ended = 0; };", EINVAL,
		"a.cfg:1: main.open_ended = 0: out of range; expected a whole number above 0 "
		"(bytes)");
	load_fails("main = { any = 1e300; };", EINVAL,
		"a.cfg:1: main.any = 1.0000000000000001e+300: beyond what can be told exactly with "
		"a "
		"point or an exponent; expected a whole number");
	load_fails("main = { any = 9223372036854775808; };", EINVAL,
		"a.cfg:1: 9223372036854775808: beyond 64 bits; expected a whole number from "
		"-9223372036854775808 to 9223372036854775807");
	load_fails("main = { any = 0xFFFFFFFFFFFFFFFFL; };", EINVAL,
		"a.cfg:1: 0xFFFFFFFFFFFFFFFF: beyond 64 bits; expected a whole number from "
		"-9223372036854775808 to 9223372036854775807");
	load_fails("proc = { verbose = 1; };", EINVAL,
		"a.cfg:1: proc.verbose = 1: found a whole number; expected true or false");
	load_fails("main = { overrun = \"dorp\"; };", EINVAL,
		"a.cfg:1: main.overrun = \"dorp\": unknown; expected one of drop, block, "
		"overwrite");
	load_fails("main = { overrun = \"dro\"; };", EINVAL,
		"a.cfg:1: main.overrun = \"dro\": unknown; expected one of drop, block, overwrite");
	load_fails("main = { overrun = \"drop|block\"; };", EINVAL,
		"a.cfg:1: main.overrun = \"drop|block\": unknown; expected one of drop, block, "
		"overwrite");
	load_fails("arch = { dir = 5; };", EINVAL,
		"a.cfg:1: arch.dir = 5: found a whole number; expected a string in double quotes");
	load_fails("arch = { dir = [ 1 ]; };", EINVAL,
		"a.cfg:1: arch.dir = [ ... ]: found an array; expected a string in double quotes");
	load_fails("arch = { dir = ( 1 ); };", EINVAL,
		"a.cfg:1: arch.dir = ( ... ): found a list; expected a string in double quotes");
	load_fails("main = { ratio = { a = 1; }; };", EINVAL,
		"a.cfg:1: main.ratio = { ... }: found a group; expected a number from 0 to 1");
	load_fails("main = { ratio = \"a\\n\\\"\\x01\"; };", EINVAL,
		"a.cfg:1: main.ratio = \"a\\n\\\"\\x01\": found a string; expected a number from 0 "
		"to 1");
}

static void test_load_names_refused(void **state)
{
	(void)state;
	load_fails("main = {\n\n fsp = 5; };", EINVAL,
		"a.cfg:3: main.fsp: unknown key; did you mean main.fps?");
	load_fails("fps = 5;", EINVAL, "a.cfg:1: fps: unknown key; did you mean main.fps?");
	load_fails("proc = { fps = 5; };", EINVAL,
		"a.cfg:1: proc.fps: unknown key; did you mean main.fps?");
	load_fails("main = { FPS = 5; };", EINVAL,
		"a.cfg:1: main.FPS: unknown key; did you mean main.fps?");
	load_fails(
		"mian = { fps = 5; };", EINVAL, "a.cfg:1: mian: unknown group; did you mean main?");
	load_fails(
		"ARCH = { dir = 5; };", EINVAL, "a.cfg:1: ARCH: unknown group; did you mean arch?");
	load_fails("main = 5;", EINVAL,
		"a.cfg:1: main = 5: not a group; expected main = { key = value; ... }");
	load_fails("main = { fps = 5;\n fps = 6; };", EINVAL,
		"a.cfg:2: duplicate setting name; expected every group and every key once");
	load_fails("main = {\n fps = ;\n};", EINVAL,
		"a.cfg:2: syntax error; expected group = { key = value; ... }, strings in double "
		"quotes");
	load_fails("main = {\n fps = 5;\n", EINVAL,
		"a.cfg:3: syntax error; expected group = { key = value; ... }, strings in double "
		"quotes");
}

static void test_unreadable(void **state)
{
	(void)state;
	struct dip_error err = {""};
	struct target t = defaults();
	unlink(path_of("a.cfg"));
	load_fails(NULL, ENOENT,
		"a.cfg: cannot be read: No such file or directory; expected a configuration file");
	assert_int_equal(dip_config_load(&table, &t, folder, &err), -EISDIR);
	assert_int_equal(dip_config_load(&table, &t, "/dev/zero", &err), -EFBIG);
	dip_config_free(&table, &t);
	write_bytes("a.cfg", "main\0={};", 9);
	load_fails(NULL, EINVAL, "a.cfg: has a zero byte at offset 4; expected text");
	char *many = malloc(70000);
	memset(many, '\n', 69999);
	many[69999] = '\0';
	load_fails(many, EFBIG,
		"a.cfg:65536: the configuration is too long; expected at most 1048576 bytes and "
		"65535 "
		"lines");
	free(many);
}

static void test_include(void **state)
{
	(void)state;
	char folder_path[256];
	assert_int_equal(mkdir(path_of("sub"), 0700), 0);
	snprintf(folder_path, sizeof(folder_path), "%s", path_of("sub"));
	/* Relative to the file that names it, also one level down. */
	write_text("sub/b.cfg", "proc = { verbose = true; };\n@include \"c.cfg\"");
	write_text("sub/c.cfg", "arch = { dir = \"/c\"; };");
	struct target t = load("main = { slabs = 3;\n};\n \t@include \"sub/b.cfg\"\n");
	assert_true(t.verbose);
	assert_string_equal(t.dir, "/c");
	assert_int_equal(t.slabs, 3);
	dip_config_free(&table, &t);
	/* A name with a quote in it. */
	write_text("sub/\"d\".cfg", "arch = { dir = \"/d\"; };");
	t = load("@include \"sub/\\\"d\\\".cfg\"");
	assert_string_equal(t.dir, "/d");
	dip_config_free(&table, &t);
	unlink(path_of("sub/\"d\".cfg"));
	/* In a comment or a string it is none. */
	t = load("/*\n@include \"none.cfg\"\n*/ arch = { dir = \"\n@include \"; };");
	assert_string_equal(t.dir, "\n@include ");
	dip_config_free(&table, &t);
	/* Errors tell the file that they are in, and lines count on behind an include. */
	write_text("sub/b.cfg", "\nmain = { any = 4294967297; fsp = 1; };");
	load_fails("@include \"sub/b.cfg\"", EINVAL,
		"sub/b.cfg:2: main.fsp: unknown key; did you mean main.fps?");
	write_text("sub/b.cfg", "\n\nmain = { fps = ; };");
	load_fails("@include \"sub/b.cfg\"", EINVAL,
		"sub/b.cfg:3: syntax error; expected group = { key = value; ... }, strings in "
		"double "
		"quotes");
	write_text("sub/b.cfg", "main = { };\n\n");
	load_fails("@include \"sub/b.cfg\" arch = {\n fsp = 1; };", EINVAL,
		"a.cfg:2: arch.fsp: unknown key; did you mean main.fps?");
	load_fails("\n@include \"sub/b.cfg\" fsp = 1;", EINVAL,
		"a.cfg:2: fsp: unknown key; did you mean main.fps?");
	char want[1024];
	snprintf(want, sizeof(want),
		"a.cfg:2: @include: %s/none.cfg: cannot be read: No such file or directory; "
		"expected a "
		"configuration file",
		folder);
	load_fails("\n@include \"none.cfg\"\n", ENOENT, want);
	snprintf(want, sizeof(want),
		"a.cfg:1: @include: %s: cannot be read: Is a directory; expected a configuration "
		"file",
		folder_path);
	load_fails("@include \"sub\"", EISDIR, want);
	load_fails("@include \"/dev/zero\"", EINVAL,
		"a.cfg:1: @include: /dev/zero: is no regular file; expected a configuration file");
	load_fails("@include \"a.cfg\"", EINVAL,
		"a.cfg:1: @include \"a.cfg\": nested more than 10 deep; does a file include "
		"itself?");
	load_fails("@include \"a.cfg", EINVAL, "a.cfg:1: bad @include; expected @include \"FILE\"");
}

static void repeat(char *out, const char *text, unsigned int times)
{
	for (*out = '\0'; times > 0; times--)
		out = stpcpy(out, text);
}

/* A few small files that include each other often could be millions. */
static void test_include_without_end(void **state)
{
	(void)state;
	char text[1000];
	write_text("c.cfg", "");
	repeat(text, "@include \"c.cfg\"", 40);
	write_text("b.cfg", text);
	repeat(text, "@include \"b.cfg\"", 20);
	write_text("a.cfg", text); /* 1 + 20 x 41 files */
	struct target t = defaults();
	assert_int_equal(dip_config_load(&table, &t, path_of("a.cfg"), NULL), 0);
	dip_config_free(&table, &t);
	repeat(text, "@include \"b.cfg\"", 40);
	write_text("a.cfg", text);
	load_fails(NULL, EINVAL,
		"b.cfg:1: @include \"c.cfg\": more than 1000 files in all; does one include "
		"another "
		"again and again?");
}

/* What came before the error is in the target, and the target is freed as usual. */
static void test_load_keeps_what_was_before(void **state)
{
	(void)state;
	struct target t = defaults();
	write_text("a.cfg", "arch = { dir = \"/new\"; prefix = 7; };");
	assert_int_equal(dip_config_load(&table, &t, path_of("a.cfg"), NULL), -EINVAL);
	assert_string_equal(t.dir, "/new");
	assert_string_equal(t.prefix, "run");
	dip_config_free(&table, &t);
}

/* Whatever a target holds, its print loads back to the same values. */
static void test_round_trip(void **state)
{
	(void)state;
	static const double floats[] = {0.0, -0.0, 0.1, 1.0 / 3, 100000, 1234567, DBL_MAX, -DBL_MAX,
		DBL_MIN, 4.9406564584124654e-324, 1e22, 9007199254740993.0, -1e-7, 4294967297.0};
	static const int64_t ints[] = {0, -1, INT32_MAX, INT32_MIN, 2147483648, -2147483649,
		INT64_MAX, INT64_MIN, 4294967296};
	char all[256];
	for (int c = 1; c < 256; c++)
		all[c - 1] = (char)c;
	all[255] = '\0';
	const char *strings[] = {"", all, "\\x41", "\\", "\"", "# no comment", "@include \"x\"",
		"line\n@include \"x\"\n", "4294967297", "/* ", "%s%n"};
	for (unsigned int i = 0; i < 14; i++) {
		struct target t = defaults();
		char *text;
		t.any_float = floats[i];
		t.any = ints[i % 9];
		t.verbose = i & 1;
		free(t.dir);
		t.dir = strdup(strings[i % 11]);
		print_to(&text, &t);
		struct target back = load(text);
		assert_memory_equal(&back.any_float, &t.any_float, sizeof(double));
		assert_int_equal(back.any, t.any);
		assert_int_equal(back.verbose, t.verbose);
		assert_string_equal(back.dir, t.dir);
		assert_string_equal(back.overrun, t.overrun);
		free(text);
		dip_config_free(&table, &t);
		dip_config_free(&table, &back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_wide_integers),
		cmocka_unit_test(test_load_values_refused),
		cmocka_unit_test(test_load_names_refused),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_include),
		cmocka_unit_test(test_include_without_end),
		cmocka_unit_test(test_load_keeps_what_was_before),
		cmocka_unit_test(test_round_trip),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
