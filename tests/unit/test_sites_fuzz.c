/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "detect/detector.h"
#include "detect/sites_file.h"

/* Sites files with a few things wrong, always the same ones: each is read, or refused by one line that
 * names it. What is read can be made into a detector, or is refused likewise. Under the sanitizers
 * this sees reads and writes out of bounds, and what is not given back. */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* Of each file; a few seconds in all. The sanitizers mark the memory of each text anew. */
#if defined(__SANITIZE_ADDRESS__)
#define MUTANTS 50
#else
#define MUTANTS 2500
#endif
/* libconfig does not give back the string that it is in when a file has a syntax error. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig_yylex\nleak:strbuf_append\n";
}

#define LONGEST 4096
#define WIDTH 60
#define HEIGHT 48

static const char *const corpus[] = {SITES_CORPUS "/grid.cfg", SITES_CORPUS "/lattices.cfg",
	SITES_CORPUS "/poisson.cfg", SITES_CORPUS "/weights.cfg"};

static const char *const words[] = {"version", "frame", "width", "height", "weights", "defaults",
	"lattices", "sites", "name", "row", "col", "h", "w", "na", "nb", "origin", "a", "b",
	"values", "threshold", "lambda_empty", "lambda_occ", "fill", "fp_target", "false_positive",
	"false_negative", "goodness", "note", "0", "-1", "1", "2", "48", "60", "65535", "65536",
	"65537", "2147483647", "2147483648", "-2147483649", "9223372036854775807",
	"99999999999999999999", "0x7fffffffL", "1e308", "1e-308", "1e999", "-0.0", "0.5", "nan",
	"true", "\"\"", "\"spot\"", "\"%s%n\"", "\"\\", "{", "}", "(", ")", "[", "]", "=", ":", ";",
	",", "\n", "#", "/*", "*/", "@include \"none\"\n", "\xff\xfe"};

static const struct dip_prior prior = {
	.lambda_empty = 0.5, .lambda_occ = 10, .fill = 0.5, .fp_target = 1e-3, .max_k = 1000};

static char path[64]; /* a file in memory */
static int file;
static uint64_t seed;

/* Below n. */
static size_t pick(size_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(seed >> 33) % n;
}

static size_t read_file(const char *name, char *text)
{
	FILE *f = fopen(name, "rb");
	size_t n;

	if (f == NULL)
		fail_msg("%s is not there", name);
	n = fread(text, 1, LONGEST, f);
	assert_in_range(n, 1, LONGEST - 1);
	fclose(f);
	return n;
}

static void write_file(const char *text, size_t n)
{
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(pwrite(file, text, n, 0), n);
}

/* Where a word or a number begins, or any other byte. */
static size_t token(const char *text, size_t n, size_t *len)
{
	size_t at = pick(n), end;

	while (at > 0 && strchr(" \t\n=;,", text[at]) == NULL &&
		strchr(" \t\n=;,", text[at - 1]) == NULL)
		at--;
	for (end = at + 1; end < n && strchr(" \t\n=;,", text[end]) == NULL; end++)
		;
	*len = end - at;
	return at;
}

/* Put `len` bytes in the place of `old` ones. */
static size_t replace(char *text, size_t n, size_t at, size_t old, const char *with, size_t len)
{
	char copy[LONGEST];

	if (n - old + len >= LONGEST)
		return n;
	memcpy(copy, with, len);
	memmove(text + at + len, text + at + old, n - at - old);
	memcpy(text + at, copy, len);
	return n - old + len;
}

static size_t mutate(char *text, size_t n)
{
	const char *word = words[pick(COUNT(words))];
	size_t len, other_len, at, other;
	char byte;

	if (n == 0)
		return replace(text, n, 0, 0, word, strlen(word));
	at = token(text, n, &len);
	switch (pick(8)) {
	case 0: /* one bit */
		text[at] = (char)(text[at] ^ 1 << pick(8));
		return n;
	case 1: /* any byte */
		byte = (char)pick(256);
		return replace(text, n, at, pick(2), &byte, 1);
	case 2: /* left out */
		return replace(text, n, at, len, "", 0);
	case 3: /* cut short */
		return pick(4) == 0 ? at : n;
	case 4: /* twice, from another place */
		other = token(text, n, &other_len);
		other_len = pick(n - other) + 1;
		return replace(text, n, at, 0, text + other, other_len);
	default:
		return replace(text, n, at, pick(4) > 0 ? len : 0, word, strlen(word));
	}
}

static void check_line(const char *text, size_t n, int rc, const struct dip_error *err)
{
	size_t end = strlen(err->text);

	if (rc < 0 && end > 0 && end < sizeof(err->text) - 1 && strchr(err->text, '\n') == NULL)
		return;
	fail_msg("returned %d, said \"%s\" of:\n%.*s", rc, err->text, (int)n, text);
}

/* Returns whether the file was read. */
static bool try(const char *text, size_t n, struct dip_error *err)
{
	const struct dip_sites_conf conf = {
		.file = path, .width = WIDTH, .height = HEIGHT, .prior = &prior, .plain = pick(2)};
	struct dip_sites sites = {.count = 77}, before = sites;
	struct dip_detector_conf detector = {
		.width = WIDTH, .height = HEIGHT, .sites = &sites, .kernel = "scalar"};
	const struct dip_detector_ops *ops = dip_detector_find("patch");
	struct dip_detector *det;
	int rc;

	write_file(text, n);
	err->text[0] = '\0';
	rc = dip_sites_load(&conf, &sites, err);
	if (rc < 0) {
		check_line(text, n, rc, err);
		if (strstr(err->text, path) == NULL)
			fail_msg("\"%s\" does not name the file", err->text);
		assert_memory_equal(&sites, &before, sizeof(sites));
		return false;
	}
	assert_in_range(sites.count, 1, DIP_SITES_MAX);
	for (unsigned int i = 0; i < sites.count; i++) {
		const struct dip_site *s = &sites.site[i];

		assert_in_range(s->h, 1, HEIGHT - s->row);
		assert_in_range(s->w, 1, WIDTH - s->col);
		assert_non_null(s->name);
	}
	rc = ops->create(&det, &detector, err);
	if (rc < 0)
		check_line(text, n, rc, err);
	else
		det->ops->destroy(det);
	dip_sites_free(&sites);
	return true;
}

static void test_corpus(void **state)
{
	struct dip_error err;
	char text[LONGEST];

	(void)state;
	for (size_t i = 0; i < COUNT(corpus); i++)
		if (!try(text, read_file(corpus[i], text), &err))
			fail_msg("%s: %s", corpus[i], err.text);
}

static void test_mutants(void **state)
{
	unsigned int reads = 0;
	struct dip_error err;

	(void)state;
	seed = 20261124;
	for (unsigned int i = 0; i < MUTANTS * COUNT(corpus); i++) {
		char text[LONGEST];
		size_t n = read_file(corpus[i % COUNT(corpus)], text);

		for (size_t k = pick(4) + 1; k > 0; k--)
			n = mutate(text, n);
		reads += try(text, n, &err);
	}
	print_message("%u of %u were read\n", reads, MUTANTS * (unsigned int)COUNT(corpus));
	/* Both ends are reached. */
	assert_in_range(reads, MUTANTS / 10, MUTANTS * COUNT(corpus) / 2);
}

static int setup(void **state)
{
	(void)state;
	file = memfd_create("sites.cfg", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return file < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_mutants),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
