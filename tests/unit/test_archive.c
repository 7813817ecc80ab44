/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "format/format.h"

/* --- CRC32C: the vectors of RFC 3720, B.4, and the common check value --- */

static void test_crc_vectors(void **state)
{
	uint8_t up[32], down[32], same[32];

	(void)state;
	for (unsigned int i = 0; i < 32; i++) {
		up[i] = i;
		down[i] = 31 - i;
	}
	assert_int_equal(dip_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(dip_crc32c(0, "", 0), 0);
	assert_int_equal(dip_crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(dip_crc32c(0, down, 32), 0x113fdb5c);
	memset(same, 0, 32);
	assert_int_equal(dip_crc32c(0, same, 32), 0x8a9136aa);
	memset(same, 0xff, 32);
	assert_int_equal(dip_crc32c(0, same, 32), 0x62a8ab43);
}

/* Bit by bit, the reflected polynomial 0x1EDC6F41. */
static uint32_t reference_crc(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < bytes; i++) {
		crc ^= data[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void test_crc_in_parts(void **state)
{
	uint8_t data[700];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = rand();
	for (size_t bytes = 0; bytes <= sizeof(data); bytes += 13) {
		uint32_t want = reference_crc(data, bytes);

		assert_int_equal(dip_crc32c(0, data, bytes), want);
		for (size_t cut = 0; cut <= bytes; cut += 29)
			assert_int_equal(
				dip_crc32c(dip_crc32c(0, data, cut), data + cut, bytes - cut),
				want);
	}
}

/* --- records --- */

static void test_record_bytes(void **state)
{
	(void)state;
	assert_int_equal(dip_record_bytes(512, 4096), 4096);
	assert_int_equal(dip_record_bytes(180000, 4096), 180224);
	assert_int_equal(dip_record_bytes(4096 - 40, 4096), 4096);
	assert_int_equal(dip_record_bytes(4096 - 39, 4096), 8192);
	assert_int_equal(dip_record_bytes(4096, 4096), 8192);
	assert_int_equal(dip_record_bytes(472, 512), 512);
	assert_int_equal(dip_record_bytes(474, 512), 1024);
	assert_int_equal(dip_record_bytes(2, 512), 512);
	assert_int_equal(dip_record_bytes((size_t)65535 * 65535 * 2, 4096), 8589676544);
}

/* Byte for byte, so that a change of the format cannot pass unseen. */
static void test_trailer_golden(void **state)
{
	static const uint8_t golden[] = {'D', 'I', 'P', 'F', 1, 0, 1, 0, 0x08, 0x07, 0x06, 0x05,
		0x04, 0x03, 0x02, 0x01, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27,
		0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 12, 0, 0, 0};
	const struct dip_trailer fields = {
		.seq = 0x0102030405060708,
		.timestamp_ns = 0x1112131415161718,
		.run_id = 0x2122232425262728,
		.magic = 99, /* not the caller's to say */
		.length = 99,
		.crc32c = 99,
	};
	uint8_t record[512 + 8], want[48];
	uint32_t crc;

	(void)state;
	for (int checksum = 0; checksum <= 1; checksum++) {
		memset(record, 0xee, sizeof(record));
		for (unsigned int i = 0; i < 12; i++)
			record[i] = want[i] = i * 7;
		dip_record_seal(record, 12, 512, &fields, checksum);
		memcpy(want + 12, golden, sizeof(golden));
		want[12 + 6] = checksum;
		crc = checksum ? reference_crc(want, sizeof(want)) : 0;
		assert_memory_equal(record, want, sizeof(want));
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(record[48 + i], crc >> 8 * i & 0xff);
		for (unsigned int i = 52; i < 512; i++)
			assert_int_equal(record[i], 0);
		for (unsigned int i = 512; i < sizeof(record); i++)
			assert_int_equal(record[i], 0xee);
	}
	/* No padding at all. */
	memset(record, 0xee, sizeof(record));
	dip_record_seal(record, 472, 512, &fields, true);
	assert_int_equal(record[472], 'D');
	assert_int_equal(record[512], 0xee);
}

/* --- the segment's header --- */

static void check_header(uint32_t width, uint32_t height, size_t stride, uint64_t records,
	const char *pad, const char *shape)
{
	char header[DIP_HEADER_BYTES + 1], want[1024];
	int n;

	memset(header, 0xee, sizeof(header));
	assert_int_equal(dip_segment_header(header, width, height, stride, records), 0);
	/* Magic, version 1.0, the length of what follows: 4,096 - 10 = 0x0ff6. */
	assert_memory_equal(header, "\x93NUMPY\x01\x00\xf6\x0f", 10);
	n = snprintf(want, sizeof(want),
		"{'descr': [('image', '<u2', (%u, %u)), ('magic', '<u4'), ('version', '<u2'), "
		"('flags', '<u2'), ('seq', '<u8'), ('timestamp_ns', '<u8'), ('run_id', '<u8'), "
		"('length', '<u4'), ('crc32c', '<u4')%s], 'fortran_order': False, 'shape': %s, }",
		height, width, pad, shape);
	assert_memory_equal(header + 10, want, n);
	for (int i = 10 + n; i < DIP_HEADER_BYTES - 1; i++)
		assert_int_equal(header[i], ' ');
	assert_int_equal(header[DIP_HEADER_BYTES - 1], '\n');
	assert_int_equal(header[DIP_HEADER_BYTES], (char)0xee);
}

static void test_header(void **state)
{
	(void)state;
	check_header(300, 300, 180224, 5957, ", ('pad', '|V184')", "(5957,)");
	check_header(30, 20, 4096, 0, ", ('pad', '|V2856')", "(0,)");
	check_header(236, 1, 512, 1, "", "(1,)"); /* a record without padding */
	check_header(1, 1, 512, UINT64_MAX, ", ('pad', '|V470')", "(18446744073709551615,)");
	check_header(65535, 65535, 8589676544, 1, ", ('pad', '|V4054')", "(1,)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_vectors),
		cmocka_unit_test(test_crc_in_parts),
		cmocka_unit_test(test_record_bytes),
		cmocka_unit_test(test_trailer_golden),
		cmocka_unit_test(test_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
