/* SPDX-License-Identifier: BSD-3-Clause */

/* The back end "delay": what another one has written is told of later, and only later. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "archive/io.h"

#define DEPTH 8
#define MS UINT64_C(1000000)

static struct {
	const struct dip_io_ops *ops;
	struct dip_io *io;
	struct dip_io_info info;
	struct dip_io_request request[DEPTH];
	struct iovec iov[DEPTH];
	int fd;
} t;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

static void begin(struct dip_io_delay delay)
{
	struct dip_io_conf conf = {.depth = DEPTH, .delay = delay};
	char path[] = "/tmp/dip_delayXXXXXX";
	struct dip_error err = {0};

	memset(&t, 0, sizeof(t));
	t.ops = dip_io_find("delay");
	assert_non_null(t.ops);
	t.fd = mkstemp(path);
	assert_true(t.fd >= 0);
	unlink(path);
	assert_int_equal(t.ops->open(&conf, &t.io, &t.info, &err), 0);
	t.ops->attach(t.io, t.fd);
}

static void end(void)
{
	t.ops->detach(t.io, t.fd);
	t.ops->close(t.io);
	close(t.fd);
}

/* Eight bytes each: write i has eight times the letter i. */
static void submit(unsigned int first, unsigned int n)
{
	static char bytes[DEPTH][8];
	struct dip_io_request *requests[DEPTH];

	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = first + i;

		memset(bytes[k], 'a' + k, 8);
		t.iov[k] = (struct iovec){bytes[k], 8};
		t.request[k] = (struct dip_io_request){
			.fd = t.fd, .offset = k * 8, .iov = &t.iov[k], .iovs = 1, .result = -1};
		requests[i] = &t.request[k];
	}
	t.ops->submit(t.io, requests, n);
}

/* Reap n. Returns when the first one came. */
static uint64_t reap(unsigned int n)
{
	struct dip_io_request *ended[3]; /* fewer than there are, so that some stay */
	uint64_t first = 0, give_up = now_ns() + 20000 * MS;
	char bytes[8];

	while (n > 0) {
		unsigned int got = t.ops->reap(t.io, ended, 3);

		assert_true(got <= n && now_ns() < give_up);
		if (got > 0 && first == 0)
			first = now_ns();
		for (unsigned int i = 0; i < got; i++) {
			assert_int_equal(ended[i]->result, 8);
			assert_int_equal(pread(t.fd, bytes, 8, ended[i]->offset), 8);
			assert_memory_equal(bytes, ended[i]->iov->iov_base, 8);
			ended[i]->result = -1; /* not twice */
		}
		n -= got;
	}
	assert_int_equal(t.ops->reap(t.io, ended, 3), 0);
	return first;
}

static void each_write_is_late(void **state)
{
	const char *over[] = {"pwrite", "uring"};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t start;

		begin((struct dip_io_delay){.over = over[i], .delay_ns = 30 * MS});
		start = now_ns();
		submit(0, DEPTH);
		assert_true(reap(DEPTH) - start >= 30 * MS);
		start = now_ns();
		submit(0, 1);
		assert_true(reap(1) - start >= 30 * MS);
		end();
	}
}

static void a_stall_comes_once(void **state)
{
	uint64_t start;

	(void)state;
	begin((struct dip_io_delay){.over = "pwrite", .stall_write = 3, .stall_ns = 300 * MS});
	start = now_ns();
	submit(0, 3);
	assert_true(reap(3) - start < 300 * MS);
	submit(3, 1);
	start = now_ns();
	submit(4, 2);
	assert_true(reap(3) - start >= 290 * MS);
	start = now_ns();
	submit(6, 2);
	assert_true(reap(2) - start < 300 * MS);
	end();
}

static void what_is_not_there_is_replaced(void **state)
{
	(void)state;
	begin((struct dip_io_delay){.over = "nothing"});
	assert_non_null(strstr(t.info.note, "pwrite"));
	submit(0, DEPTH);
	reap(DEPTH);
	end();
}

/* Told in advance: pwrite waits, io_uring does not, and what is not there is replaced by pwrite. */
static void who_waits(void **state)
{
	struct dip_io_delay over_uring = {.over = "uring"}, over_pwrite = {.over = "pwrite"};

	(void)state;
	assert_true(dip_io_waits("pwrite", &over_uring));
	assert_true(dip_io_waits("none", &over_uring));
	assert_true(dip_io_waits("delay", &over_pwrite));
	begin(over_uring);
	assert_int_equal(dip_io_waits("delay", &over_uring), t.info.waits);
	assert_int_equal(dip_io_waits("uring", &over_pwrite), t.info.note[0] != '\0');
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_write_is_late),
		cmocka_unit_test(a_stall_comes_once),
		cmocka_unit_test(what_is_not_there_is_replaced),
		cmocka_unit_test(who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
