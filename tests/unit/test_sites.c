/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "detect/sites_file.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char path[64];

static const struct dip_prior prior = {
	.lambda_empty = 0.5, .lambda_occ = 10, .fill = 0.5, .fp_target = 1e-3, .max_k = 1000};

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/dip-sites-%d.cfg", (int)getpid());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int load(const char *text, struct dip_sites *sites, struct dip_error *err)
{
	const struct dip_sites_conf conf = {
		.file = path, .width = 300, .height = 200, .prior = &prior, .plain = true};

	write_file(text);
	return dip_sites_load(&conf, sites, err);
}

static void load_good(const char *text, struct dip_sites *sites)
{
	struct dip_error err;

	if (load(text, sites, &err) != 0)
		fail_msg("%s", err.text);
}

static void test_everything(void **state)
{
	static const char text[] =
		"version = 1;\n"
		"frame = { width = 300; height = 200; };\n"
		"weights = { spot = { h = 2; w = 3; values = [ 1, -2, 3, 4, 5, -6 ]; }; };\n"
		"lattices = ( { name = \"A\"; origin = [54.5, 64.5]; a = [0.0, 10.0]; b = [12, "
		"-1];\n"
		"	na = 3; nb = 2; h = 10; w = 9; threshold = 7; },\n"
		"	{ origin = [20.0, 20.0]; a = [1.5, 7.25]; b = [0.0, 0.0]; na = 2; nb = 1;\n"
		"	weights = \"spot\"; threshold = -3; false_positive = 0.25; } );\n"
		"sites = ( { name = \"x17\"; row = 198; col = 297; weights = \"spot\"; threshold = "
		"812; },\n"
		"	{ row = 50; col = 70; h = 9; w = 9; lambda_empty = 0.2; lambda_occ = "
		"10.0;\n"
		"	  goodness = 0.5; note = \"dim\"; },\n"
		"	{ row = 50; col = 71; h = 9; w = 9; } );\n";
	static const struct {
		uint16_t row, col;
	} lattice[] = {{50, 61}, {50, 71}, {50, 81}, {62, 60}, {62, 70}, {62, 80}};
	static const int16_t spot[] = {1, -2, 3, 4, 5, -6};
	struct dip_sites s = {0};

	(void)state;
	load_good(text, &s);
	assert_int_equal(s.count, 11);
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(s.site[i].row, lattice[i].row);
		assert_int_equal(s.site[i].col, lattice[i].col);
		assert_int_equal(s.site[i].h, 10);
		assert_int_equal(s.site[i].w, 9);
		assert_null(s.site[i].weights);
		assert_int_equal(s.site[i].threshold, 7);
		assert_true(isnan(s.site[i].false_positive));
	}
	assert_string_equal(s.site[0].name, "A[0,0]");
	assert_string_equal(s.site[4].name, "A[1,1]");
	/* 20 - 0.5, 21.5 - 0.5; 20 - 1, 27.25 - 1; rounded, half up */
	assert_int_equal(s.site[6].row, 20);
	assert_int_equal(s.site[6].col, 19);
	assert_int_equal(s.site[7].row, 21);
	assert_int_equal(s.site[7].col, 26);
	assert_int_equal(s.site[7].threshold, -3);
	assert_true(s.site[7].false_positive == 0.25);
	assert_string_equal(s.site[7].name, "");
	assert_string_equal(s.site[8].name, "x17");
	assert_int_equal(s.site[8].row, 198);
	assert_int_equal(s.site[8].col, 297);
	assert_memory_equal(s.site[8].weights, spot, sizeof(spot));
	assert_int_equal(s.site[9].threshold, 4);
	assert_true(fabs(s.site[9].false_positive - 5.6840240758156611e-5) < 1e-15);
	assert_int_equal(s.site[10].threshold, 5); /* as the pois group says */
	assert_true(s.site[10].lambda_empty == 0.5);
	dip_sites_free(&s);
	assert_null(s.site);
}

/* What a site says, then defaults, then the pois group. */
static void test_defaults(void **state)
{
	static const char text[] =
		"version = 1;\n"
		"weights = { one = { h = 1; w = 1; values = [ 3 ]; }; };\n"
		"defaults = { h = 4; w = 5; threshold = 9; fill = 0.1; fp_target = 1.0; };\n"
		"sites = ( { row = 1; col = 1; }, { row = 1; col = 1; h = 2; threshold = 8; },\n"
		"	{ row = 1; col = 1; lambda_occ = 20.0; },\n"
		"	{ row = 1; col = 1; lambda_occ = 20.0; fill = 0.9; },\n"
		"	{ row = 1; col = 1; weights = \"one\"; },\n"
		"	{ row = 1; col = 1; threshold = 5; lambda_empty = 0.5; lambda_occ = 10.0; } );\n";
	struct dip_sites s = {0};

	(void)state;
	load_good(text, &s);
	assert_int_equal(s.count, 6);
	assert_int_equal(s.site[0].h, 4);
	assert_int_equal(s.site[0].threshold, 9);
	assert_int_equal(s.site[1].h, 2);
	assert_int_equal(s.site[1].w, 5);
	assert_int_equal(s.site[1].threshold, 8);
	assert_int_equal(s.site[2].threshold, 6); /* (19.5 + ln 9) / ln 40 = 5.88 */
	assert_int_equal(s.site[3].threshold, 5); /* (19.5 - ln 9) / ln 40 = 4.69 */
	assert_int_equal(s.site[4].h, 1);
	assert_int_equal(s.site[4].w, 1);
	assert_int_equal(s.site[4].threshold, 9);
	/* The threshold is the user's; how often it errs follows from the counts: by scipy.stats.poisson. */
	assert_int_equal(s.site[5].threshold, 5);
	assert_true(fabs(s.site[5].false_positive - 1.7211562995584078e-4) < 1e-15);
	assert_true(fabs(s.site[5].false_negative - 2.9252688076961127e-2) < 1e-13);
	dip_sites_free(&s);
}

#define HEAD "version = 1;\n"
#define SPOT HEAD "weights = { spot = { h = 1; w = 2; values = [ 1, -2 ]; }; };\n"

static void test_errors(void **state)
{
	static const struct {
		const char *text, *says;
	} row[] = {
		{"", ": found no version, expected version = 1"},
		{"version = 2;", ":1: version: found 2, expected 1"},
		{HEAD "sites = ( { row = 1 col = 2 } ", ":3: syntax error"},
		{HEAD "site = ();", ":2: site: unknown group; did you mean sites?"},
		{HEAD, "found 0 sites, expected 1 to 100000"},
		{HEAD "lattices = ( { origin = [1, 1]; a = [0, 1]; b = [1, 0]; na = 4e4; nb = 7L; "
		      "} );",
			"found 280000 sites, expected 1 to 100000"},
		{HEAD "sites = { };", ":2: sites: expected a list"},
		{HEAD "sites = ( 5 );", ":2: sites[0]: found 5, expected {"},
		{HEAD "frame = { width = 300; height = 300; };",
			":2: frame: found width = 300, height = 300, expected 300 and 200"},
		{HEAD "frame = { width = 300; };", ":2: frame: found no height"},
		{HEAD "frame = { widht = 300; };",
			"frame: widht: unknown key; did you mean width?"},
		{HEAD "sites = (\n { rwo = 1; } );",
			":3: sites[0]: rwo: unknown key; did you mean row?"},
		{HEAD "sites = ( { row = 1; col = 2; na = 3; } );",
			"na: unknown key; did you mean"},
		{HEAD "sites = ( { row = -1; col = 2; } );",
			"sites[0]: row = -1: out of range; expected a whole number from 0 to "
			"65535"},
		{HEAD "sites = ( { row = \"a\"; col = 2; } );", "row = \"a\": found a string"},
		{HEAD "sites = ( { row = 1.5; col = 2; } );", "row = 1.5: found a fraction"},
		{HEAD "sites = ( { row = 1; h = 1; w = 1; } );",
			"sites[0], site 0 \"\": found no col, expected row and col"},
		{HEAD "sites = ( { col = 1; h = 1; w = 1; } );", "found no row"},
		{HEAD "sites = ( { row = 1; col = 1; } );", "found no size, expected h and w"},
		{HEAD "sites = ( { row = 1; col = 1; h = 0; w = 1; } );", "h = 0: out of range"},
		{HEAD "sites = ( { row = 195; col = 1; h = 5; w = 1; },\n"
		      "{ name = \"B\"; row = 196; col = 1; h = 5; w = 1; } );",
			":3: sites[1], site 1 \"B\": found a site of 5x1 at row 196, col 1, "
			"expected "
			"one inside the frame of 200 x 300"},
		{HEAD "sites = ( { row = 1; col = 299; h = 5; w = 2; } );", "row 1, col 299"},
		{HEAD "sites = ( { row = 1; col = 1; h = 500; w = 500; } );",
			"found 500x500 = 250000 pixels, expected at most 65537"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; weights = \"spit\"; } );",
			"found weights = \"spit\", expected one of the weights group (there is "
			"none)"},
		{SPOT "sites = ( { row = 1; col = 1; weights = \"spit\"; } );",
			"expected one of the weights group (\"spot\")"},
		{SPOT "sites = ( { row = 1; col = 1; weights = \"spot\"; } );",
			"found weights \"spot\" without a threshold, expected a threshold"},
		{SPOT "sites = ( { row = 1; col = 1; weights = \"spot\"; lambda_occ = 9.0; } );",
			"found weights \"spot\" with lambda_empty, lambda_occ, expected a "
			"threshold: "
			"a weighted sum is no Poisson count"},
		{SPOT "sites = ( { row = 1; col = 1; h = 2; weights = \"spot\"; threshold = 1; } "
		      ");",
			"found a size of 2x2, expected that of its weights \"spot\", 1x2"},
		{SPOT "sites = ( { row = 1; col = 1; weights = \"spot\"; threshold = 65536; } );",
			"found a threshold of 65536, expected -131069 to 65535"},
		{SPOT "sites = ( { row = 1; col = 1; weights = \"spot\"; threshold = -131070; } );",
			"found a threshold of -131070"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; threshold = 0; } );",
			"found a threshold of 0, expected 1 to 65535"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; threshold = 1e30; } );",
			"threshold = 1"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; lambda_occ = 0.1; } );",
			":2: sites[0], site 0 \"\": lambda_occ: found 0.1, expected more than"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; lambda_empty = -1.0; } );",
			"lambda_empty: found -1,"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; lambda_empty = 1.0; fill = 2.0; "
		      "} );",
			"fill: found 2, expected a fraction"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; lambda_empty = 900.0; "
		      "lambda_occ = 1200.0; fill = 1e-30; } );",
			":2: sites[0], site 0 \"\": pois.max_k: found 1000, expected at least the "
			"threshold T = 1"},
		{HEAD "sites = ( { row = 1; col = 1; h = 1; w = 1; lambda_occ = 1.0; "
		      "false_positive = "
		      "1.5; } );",
			"false_positive = 1.5: out of range"},
		{HEAD "weights = ( 1 );", ":2: weights: expected {"},
		{HEAD "weights = { a = 5; };", "weights.a: found 5"},
		{HEAD "weights = { a = { h = 1; w = 1; }; };", "weights.a: found no values"},
		{HEAD "weights = { a = { h = 1; values = [ 1 ]; }; };", "weights.a: found no w"},
		{HEAD "weights = { a = { h = 1; w = 2; values = [ 1 ]; }; };",
			"weights.a: values: found 1 of them, expected h x w = 2"},
		{HEAD "weights = { a = { h = 1; w = 2; values = [ 1, 40000 ]; }; };",
			"number 1 (row 0, column 1): found 40000, expected a whole number from "
			"-32768"},
		{HEAD "weights = { a = { h = 1; w = 1; values = [ 1.5 ]; }; };", "found 1.5"},
		{HEAD "weights = { a = { h = 1; w = 1; value = [ 1 ]; }; };",
			"value: unknown key; did you mean values?"},
		{HEAD "weights = { a = { h = 300; w = 300; values = [ 1 ]; }; };", "at most 65537"},
		{HEAD "defaults = { row = 1; };", "defaults: row: unknown key"},
		{HEAD "lattices = ( { origin = [1, 1]; a = [0, 1]; b = [1, 0]; na = 1; } );",
			"lattices[0]: found no nb, expected origin, a, b"},
		{HEAD "lattices = ( { origin = [1]; } );",
			"origin = [ ... ]; expected two numbers"},
		{HEAD "lattices = ( { origin = 5; } );", "origin = 5; expected two numbers"},
		{HEAD "lattices = ( { origin = [\"a\", \"b\"]; } );", "found a string"},
		{HEAD "lattices = ( { origin = [1, 1]; a = [0, 1]; b = [1, 0]; na = 0; nb = 1; } "
		      ");",
			"na = 0: out of range"},
		{HEAD "lattices = ( { origin = [1, 1]; a = [0, 1]; b = [1, 0]; na = 1; nb = 1; } "
		      ");",
			"lattices[0]: found no size"},
		{HEAD "lattices = ( { name = \"A\"; origin = [5, 5]; a = [0, 10]; b = [10, 0]; na "
		      "= 30; "
		      "nb = 3; h = 3; w = 3; threshold = 1; },\n{ name = \"B\"; origin = [5, 5]; a "
		      "= "
		      "[0, 10]; b = [10, 0]; na = 30; nb = 30; h = 3; w = 3; threshold = 1; } );",
			":3: lattices[1], site 690 \"B[0,20]\" (i = 0, j = 20): found a site of "
			"3x3 at "
			"row 204, col 4"},
		{HEAD "lattices = ( { origin = [1, 1]; a = [0, 0]; b = [0, 0]; na = 1000; nb = "
		      "101; h = "
		      "1; w = 1; } );",
			"found 101000 sites, expected 1 to 100000"},
		{HEAD "@include \"/nowhere\"", "/nowhere"},
	};
	struct dip_sites sites = {.count = 77}, before = sites;
	struct dip_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		int ret;

		err.text[0] = '\0';
		ret = load(row[i].text, &sites, &err);
		if (ret >= 0)
			fail_msg("row %zu: accepted \"%s\"", i, row[i].text);
		if (strstr(err.text, row[i].says) == NULL)
			fail_msg("row %zu: found \"%s\", expected it to say \"%s\"", i, err.text,
				row[i].says);
		if (strchr(err.text, '\n') != NULL)
			fail_msg("row %zu: more than one line: %s", i, err.text);
		assert_memory_equal(&sites, &before, sizeof(sites));
	}
	unlink(path);
	{
		const struct dip_sites_conf conf = {
			.file = path, .width = 300, .height = 200, .prior = &prior};

		assert_int_equal(dip_sites_load(&conf, &sites, &err), -ENOENT);
		assert_memory_equal(err.text, path, strlen(path));
		assert_string_equal(err.text + strlen(path),
			": cannot be read: No such file or directory; expected a sites file");
	}
}

/* As many as there may be, one key a line, so that libconfig's own line numbers wrap. */
static void test_many(void **state)
{
	const struct dip_sites_conf conf = {
		.file = path, .width = 300, .height = 200, .prior = &prior, .plain = true};
	struct dip_sites sites = {0};
	struct dip_error err;
	FILE *f = fopen(path, "w");
	clock_t begin;

	(void)state;
	assert_non_null(f);
	fprintf(f, "version = 1;\ndefaults = { h = 3; w = 3; threshold = 9; };\nsites = (\n");
	for (int i = 0; i < 100000; i++)
		fprintf(f, "%s{ name = \"s%d\";\n row = %d;\n col = %d; }", i > 0 ? ",\n" : "", i,
			i % 190, i % 290);
	fprintf(f, ");\n");
	fclose(f);
	begin = clock();
	if (dip_sites_load(&conf, &sites, &err) != 0)
		fail_msg("%s", err.text);
	print_message("100,000 sites read in %.2f s\n", (double)(clock() - begin) / CLOCKS_PER_SEC);
	assert_int_equal(sites.count, 100000);
	assert_int_equal(sites.site[99999].row, 99999 % 190);
	assert_string_equal(sites.site[99999].name, "s99999");
	dip_sites_free(&sites);

	f = fopen(path, "r+");
	fseek(f, -40, SEEK_END);
	{
		char tail[41] = "", *at;

		assert_int_equal(fread(tail, 1, 40, f), 40);
		at = strstr(tail, "row");
		assert_non_null(at);
		fseek(f, -40 + (at - tail), SEEK_END);
		fputs("rwo", f);
		fclose(f);
	}
	assert_int_equal(dip_sites_load(&conf, &sites, &err), -EINVAL);
	if (strstr(err.text, ":300002: sites[99999]: rwo: unknown key") == NULL)
		fail_msg("found \"%s\"", err.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
