/* SPDX-License-Identifier: BSD-3-Clause */

/* R12: one flipped bit anywhere in a run: verify finds it, all frames but at most the one it is in
 * stay readable, and recover loses none of them. Every bit of every trailer and index and of the
 * text of a header, and random ones of the rest; DIP_LONG=1 takes every bit of the headers and
 * 100,000 of the images. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "format/format.h"
#include "reader/index.h"
#include "reader/reader.h"
#include "proof.h"
#include "tool_run.h"

#define WIDTH 64
#define HEIGHT 48
#define IMAGE (WIDTH * HEIGHT * 2)
#define BLOCK 512
#define STRIDE 6656
#define TRAILER (sizeof(struct dip_trailer))
#define SEGMENTS 3
#define RECORDS 4
#define FRAMES (SEGMENTS * RECORDS)
#define SEGMENT_BYTES (DIP_HEADER_BYTES + RECORDS * STRIDE)
#define IDX_BYTES 256

static char folder[64], path[SEGMENTS][96], idx[SEGMENTS][96], flipped[160];
static uint8_t segment[SEGMENTS][SEGMENT_BYTES];
static char lines[SEGMENTS][IDX_BYTES];
static unsigned int seed = 1;

static void store(const char *name, const void *bytes, size_t size)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, 0), size);
	close(fd);
}

static void store_segment(unsigned int n)
{
	store(path[n], segment[n], SEGMENT_BYTES);
	store(idx[n], lines[n], strlen(lines[n]));
}

static uint8_t *record(unsigned int n, unsigned int slot)
{
	return segment[n] + DIP_HEADER_BYTES + slot * STRIDE;
}

static int setup_group(void **state)
{
	(void)state;
	if (proof_folder(folder, sizeof(folder)) < 0)
		return -1;
	for (unsigned int n = 0; n < SEGMENTS; n++) {
		size_t used = 0;

		snprintf(path[n], sizeof(path[n]), "%s/f_%06u.npy", folder, n);
		snprintf(idx[n], sizeof(idx[n]), "%s/f_%06u.idx", folder, n);
		dip_segment_header(segment[n], WIDTH, HEIGHT, STRIDE, RECORDS);
		for (unsigned int i = 0; i < RECORDS; i++) {
			struct dip_trailer fields = {.seq = 5 * (n * RECORDS + i),
				.timestamp_ns = 1000000000 + n * RECORDS + i,
				.run_id = 0x0123456789abcdef};

			for (unsigned int k = 0; k < IMAGE; k++)
				record(n, i)[k] = rand_r(&seed) >> 8;
			dip_record_seal(record(n, i), IMAGE, STRIDE, &fields, true);
			used += snprintf(lines[n] + used, IDX_BYTES - used, "%u %u\n",
				(unsigned int)fields.seq, DIP_HEADER_BYTES + i * STRIDE);
		}
		store_segment(n);
	}
	return 0;
}

static int teardown_group(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < SEGMENTS; n++) {
		unlink(path[n]);
		unlink(idx[n]);
	}
	return rmdir(folder);
}

static enum status ask(enum status (*command)(const struct arguments *))
{
	char words[4096];

	return tool_run(command, folder, BLOCK, words, sizeof(words));
}

/* Good frames of a segment, each as it was made; none when its header is not. */
static unsigned int readable(unsigned int n)
{
	struct dip_record r;
	struct dip_reader *reader;
	unsigned int good = 0;

	if (dip_reader_open(path[n], NULL, &reader, NULL) < 0)
		return 0;
	while (dip_reader_next(reader, &r, NULL) == 1) {
		if (r.fault != DIP_GOOD)
			continue;
		assert_int_equal(reader->image_bytes, IMAGE);
		assert_int_equal(r.trailer.seq, 5 * (n * RECORDS + r.slot));
		assert_memory_equal(r.image, record(n, r.slot), IMAGE);
		good++;
	}
	dip_reader_close(reader);
	return good;
}

static void flip(const char *name, size_t byte, unsigned int bit)
{
	int fd = open(name, O_RDWR);
	uint8_t value;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &value, 1, byte), 1);
	value ^= 1 << bit;
	assert_int_equal(pwrite(fd, &value, 1, byte), 1);
	close(fd);
	snprintf(flipped, sizeof(flipped), "%s, byte %zu, bit %u", name, byte, bit);
}

static int say_bit(void **state)
{
	(void)state;
	if (flipped[0] != '\0')
		print_error("at %s\n", flipped);
	return 0;
}

/* One bit of the records of a segment. */
static void try_record_bit(unsigned int n, size_t byte, unsigned int bit)
{
	size_t within = (byte - DIP_HEADER_BYTES) % STRIDE;

	flip(path[n], byte, bit);
	assert_int_equal(ask(tool_verify), STATUS_BAD);
	for (unsigned int i = 0; i < SEGMENTS; i++)
		assert_int_equal(readable(i), RECORDS - (i == n && within < IMAGE + TRAILER));
	flip(path[n], byte, bit);
	flipped[0] = '\0';
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(ask(tool_verify), STATUS_GOOD);
	for (unsigned int n = 0; n < SEGMENTS; n++)
		assert_int_equal(readable(n), RECORDS);
}

static void test_trailers(void **state)
{
	unsigned int bits = 0;

	(void)state;
	for (unsigned int n = 0; n < SEGMENTS; n++)
		for (unsigned int i = 0; i < RECORDS; i++)
			for (unsigned int bit = 0; bit < 8 * TRAILER; bit++, bits++)
				try_record_bit(n, DIP_HEADER_BYTES + i * STRIDE + IMAGE + bit / 8,
					bit % 8);
	proof_say("R12: every bit of %u trailers, %u in all: found", FRAMES, bits);
}

/* The first and the last byte of each image and padding, which random bits may miss. */
static void test_edges(void **state)
{
	static const size_t edges[] = {0, IMAGE - 1, IMAGE + TRAILER, STRIDE - 1};

	(void)state;
	for (unsigned int n = 0; n < SEGMENTS; n++)
		for (unsigned int i = 0; i < RECORDS; i++)
			for (unsigned int k = 0; k < 8 * sizeof(edges) / sizeof(edges[0]); k++)
				try_record_bit(
					n, DIP_HEADER_BYTES + i * STRIDE + edges[k / 8], k % 8);
}

/* Images and paddings alike. */
static void test_data(void **state)
{
	unsigned int bits = proof_count(2000, 100000), pads = 0;

	(void)state;
	for (unsigned int i = 0; i < bits; i++) {
		unsigned int n = rand_r(&seed) / 7 % SEGMENTS, slot = rand_r(&seed) / 7 % RECORDS;
		size_t within = rand_r(&seed) / 7 % (STRIDE - TRAILER);

		pads += within >= IMAGE;
		within += within >= IMAGE ? TRAILER : 0;
		try_record_bit(n, DIP_HEADER_BYTES + slot * STRIDE + within, rand_r(&seed) / 7 % 8);
	}
	proof_say("R12: %u random bits of images, %u of paddings: found", bits - pads, pads);
}

/* What recover makes of a damaged header: the segment as it was, from the others' shape, or
 * nothing at all. */
static void recover_header(unsigned int n)
{
	static uint8_t now[SEGMENT_BYTES + 1];
	int fd;

	ask(tool_recover);
	fd = open(path[n], O_RDONLY);
	assert_int_equal(pread(fd, now, sizeof(now), 0), SEGMENT_BYTES);
	close(fd);
	assert_memory_equal(now + DIP_HEADER_BYTES, segment[n] + DIP_HEADER_BYTES,
		SEGMENT_BYTES - DIP_HEADER_BYTES);
}

static void try_header_bit(unsigned int n, size_t byte, unsigned int bit)
{
	flip(path[n], byte, bit);
	assert_int_equal(ask(tool_verify), STATUS_BAD);
	for (unsigned int i = 0; i < SEGMENTS; i++)
		if (i != n)
			assert_int_equal(readable(i), RECORDS);
	recover_header(n);
	store_segment(n);
	flipped[0] = '\0';
}

static void test_headers(void **state)
{
	unsigned int bits = 0, text = strchr((char *)segment[0] + 10, '}') + 1 - (char *)segment[0];

	(void)state;
	for (unsigned int n = 0; n < SEGMENTS; n++)
		for (unsigned int bit = 0; bit < 8 * DIP_HEADER_BYTES; bit++) {
			bool blank = bit >= 8 * text && bit < 8 * (DIP_HEADER_BYTES - 1);

			if (!proof_long() && (n != 1 || (blank && bit % 61 != 0)))
				continue;
			try_header_bit(n, bit / 8, bit % 8);
			bits++;
		}
	proof_say("R12: %u bits of headers: found, and no record lost by recover", bits);
}

/* Every bit of the indexes; index writes them anew. */
static void test_indexes(void **state)
{
	unsigned int bits = 0;

	(void)state;
	for (unsigned int n = 0; n < SEGMENTS; n++)
		for (unsigned int bit = 0; bit < 8 * strlen(lines[n]); bit++, bits++) {
			char now[IDX_BYTES] = "";
			int fd;

			flip(idx[n], bit / 8, bit % 8);
			assert_int_equal(ask(tool_verify), STATUS_BAD);
			assert_int_equal(ask(tool_index), STATUS_GOOD);
			fd = open(idx[n], O_RDONLY);
			assert_true(pread(fd, now, sizeof(now) - 1, 0) > 0);
			close(fd);
			assert_string_equal(now, lines[n]);
			flipped[0] = '\0';
		}
	proof_say(
		"R12, R13: every bit of %u indexes, %u in all: found, and mended", SEGMENTS, bits);
}

#define TEST(name) cmocka_unit_test_teardown(name, say_bit)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_trailers),
		TEST(test_edges),
		TEST(test_data),
		TEST(test_indexes),
		TEST(test_headers),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
