/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_fixture.h"

static void test_defaults(void **state)
{
	(void)state;
	struct target t = defaults();
	assert_int_equal(t.slabs, 1024);
	assert_true(t.fps == 20.0);
	assert_false(t.verbose);
	assert_string_equal(t.overrun, "drop");
	assert_string_equal(t.dir, "");
	assert_string_equal(t.prefix, "run");
	assert_int_equal(t.any, 0);
	assert_true(t.ratio == 0.5);
	dip_config_free(&table, &t);
	assert_null(t.dir);
	dip_config_free(&table, &t); /* again is harmless */
}

/* A row whose own default is out of its range is refused, and leaves nothing to leak. */
static void test_broken_preset(void **state)
{
	(void)state;
	const struct dip_option broken[] = {
		rows[4], {"main.slabs", DIP_OPTION_INT, "0", 1, 9, false, NULL, "", "", AT(slabs)}};
	const struct dip_option_table broken_table = {broken, 2};
	struct target t;
	assert_int_equal(dip_config_defaults(&broken_table, &t), -EINVAL);
	assert_null(t.dir);
}

static void test_set(void **state)
{
	(void)state;
	struct target t = defaults();
	set(&t, "main.fps=100");
	assert_true(t.fps == 100.0);
	set(&t, " main.fps = 2.5e3 ");
	assert_true(t.fps == 2500.0);
	set(&t, "main.slabs=0x10");
	assert_int_equal(t.slabs, 16);
	set(&t, "proc.verbose=true");
	assert_true(t.verbose);
	set(&t, "main.overrun=overwrite");
	assert_string_equal(t.overrun, "overwrite");
	set(&t, "main.overrun=\"block\"");
	assert_string_equal(t.overrun, "block");
	static const char *const bare[] = {"/tmp/x y", "", "true", "5", "a=b;c=\"d\"", "{ a = 1; }",
		"1; main.slabs = 5", "x\\y"};
	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		char text[100];
		snprintf(text, sizeof(text), "arch.dir=%s", bare[i]);
		set(&t, text);
		assert_string_equal(t.dir, bare[i]);
	}
	set(&t, "arch.dir=\"\"");
	assert_string_equal(t.dir, "");
	set(&t, "arch.dir=\" a\\n\\\"b\\x41 \"");
	assert_string_equal(t.dir, " a\n\"bA ");
	dip_config_free(&table, &t);
}

static void test_set_refused(void **state)
{
	(void)state;
	char text[600], want[600];
	set_fails("main.fps=-5",
		"--set main.fps=-5: out of range; expected a number above 0 and at "
		"most 1e9 (frames a second)");
	set_fails("main.fps=nan",
		"--set main.fps=nan: not a value; expected a number above 0 and at "
		"most 1e9 (frames a second)");
	set_fails("main.any_float=-1e999",
		"--set main.any_float=-1e999: out of range; expected a number");
	set_fails("main.slabs=",
		"--set main.slabs=: found nothing; expected a whole number from 1 to "
		"65536 (frames)");
	set_fails("main.slabs=1; main = { fps = 5 }", "--set main.slabs=1; main = { fps = 5 }: "
						      "found more than one value; expected a whole "
						      "number from 1 to 65536 (frames)");
	set_fails("main.slabs=1; main.slabs = 5", "--set main.slabs=1; main.slabs = 5: not a "
						  "value; expected a whole number from 1 to "
						  "65536 (frames)");
	set_fails("arch.dir=\"a\" w = 2",
		"--set arch.dir=\\\"a\\\" w = 2: found more than one value; "
		"expected a string in double quotes");
	set_fails("arch.dir=\"a", "--set arch.dir=\\\"a: not a value; expected a string in double "
				  "quotes");
	set_fails("main.slabs=1\n@include \"/etc/hostname\"",
		"--set main.slabs=1\\n@include \\\"/etc/hostname\\\": found a line break (in "
		"quotes, "
		"write it as \\n); expected a whole number from 1 to 65536 (frames)");
	set_fails("main.any=99999999999999999999",
		"--set main.any=99999999999999999999: 99999999999999999999: beyond 64 bits; "
		"expected a "
		"whole number from -9223372036854775808 to 9223372036854775807");
	set_fails(
		"proc.verbose=yes", "--set proc.verbose=yes: not a value; expected true or false");
	set_fails("main.overrun=\"dorp\"",
		"--set main.overrun=\\\"dorp\\\": unknown; expected one of "
		"drop, block, overwrite");
	set_fails("main.overrun=", "--set main.overrun=: unknown; expected one of drop, block, "
				   "overwrite");
	set_fails("main.fps", "--set main.fps: no '='; expected group.key=value");
	set_fails("", "--set : no '='; expected group.key=value");
	set_fails("=5", "--set =5: no key before '='; expected group.key=value");
	set_fails("fps=5", "--set fps=5: unknown key; did you mean main.fps?");
	set_fails("main.fsp=5", "--set main.fsp=5: unknown key; did you mean main.fps?");
	set_fails("arch.verbos=1", "--set arch.verbos=1: unknown key; did you mean proc.verbose?");
	/* A long value is cut, so that the line still says what is wrong. */
	memset(text, '9', sizeof(text));
	memcpy(text, "main.fps=x", 10);
	text[599] = '\0';
	snprintf(want, sizeof(want),
		"--set %.156s...: not a value; expected a number above 0 and at "
		"most 1e9 (frames a second)",
		text);
	set_fails(text, want);
}

static void test_print(void **state)
{
	(void)state;
	struct target t = defaults();
	char *text;
	set(&t, "main.fps=1e9");
	set(&t, "main.any=-2147483649");
	set(&t, "arch.dir=/tmp/a \"b\"\\c");
	print_to(&text, &t);
	assert_string_equal(text, "main = {\n"
				  "\tslabs = 1024;\n"
				  "\tfps = 1e9; # default: 20.0\n"
				  "\toverrun = \"drop\";\n"
				  "\tany = -2147483649L; # default: 0\n"
				  "\topen_ended = 1;\n"
				  "\tratio = 0.5;\n"
				  "\tany_float = 0.0;\n"
				  "};\n\n"
				  "proc = {\n"
				  "\tverbose = false;\n"
				  "};\n\n"
				  "arch = {\n"
				  "\tdir = \"/tmp/a \\\"b\\\"\\\\c\"; # default: \"\"\n"
				  "\tprefix = \"run\";\n"
				  "};\n");
	free(text);
	dip_config_free(&table, &t);
}

static void test_value(void **state)
{
	(void)state;
	struct target t = defaults();
	static const char *const want[] = {"1024", "1e9", "drop", "false", "a\"b", "run",
		"-9223372036854775808", "1", "0.5", "0.0"};
	char buf[64];
	t.fps = 1e9;
	t.any = INT64_MIN;
	set(&t, "arch.dir=a\"b");
	for (unsigned int i = 0; i < table.count; i++) {
		dip_config_value(&rows[i], &t, buf, sizeof(buf));
		assert_string_equal(buf, want[i]);
	}
	for (unsigned int i = 0; i < table.count; i++) {
		memset(buf, 'x', sizeof(buf));
		dip_config_value(&rows[i], &t, buf, 3);
		assert_true(strlen(buf) <= 2 && !strncmp(buf, want[i], strlen(buf)));
		assert_int_equal(buf[3], 'x');
	}
	dip_config_free(&table, &t);
}

static void test_markdown(void **state)
{
	(void)state;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	dip_config_markdown(&table, f);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text,
		"## main\n\n"
		"| key | type | default | range | unit | meaning |\n"
		"|---|---|---|---|---|---|\n"
		"| `slabs` | whole number | `1024` | from 1 to 65536 | frames | Slabs |\n"
		"| `fps` | number | `20.0` | above 0 and at most 1e9 | frames a second | Pace |\n"
		"| `overrun` | choice | `\"drop\"` | drop, block, overwrite |  | What a full queue "
		"does |\n"
		"| `any` | whole number | `0` |  |  | Any |\n"
		"| `open_ended` | whole number | `1` | above 0 | bytes | Positive |\n"
		"| `ratio` | number | `0.5` | from 0 to 1 |  | Share |\n"
		"| `any_float` | number | `0.0` |  |  | Any |\n\n"
		"## proc\n\n"
		"| key | type | default | range | unit | meaning |\n"
		"|---|---|---|---|---|---|\n"
		"| `verbose` | true or false | `false` |  |  | Say a\\|b more |\n\n"
		"## arch\n\n"
		"| key | type | default | range | unit | meaning |\n"
		"|---|---|---|---|---|---|\n"
		"| `dir` | string | `\"\"` |  |  | Folder |\n"
		"| `prefix` | string | `\"run\"` |  |  | Name |\n");
	free(text);
}

/* What others do not explain is a failure all the same. */
static void test_failure_without_a_reason(void **state)
{
	struct dip_error err;

	(void)state;
	assert_int_equal(dip_fail(&err, 0, "%s", "why"), -EIO);
	assert_string_equal(err.text, "why");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failure_without_a_reason),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_broken_preset),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_refused),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_markdown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
