/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "archive/fifo.h"

/* A back end whose writes are ended by a thread on the CPU of the one that polls, as the kernel ends
 * direct writes; the poller has the right to the CPU for as long as it wants. */

#define WRITES 64
#define DEPTH 8

static struct {
	sem_t submitted;
	struct dip_io_request *request[WRITES];
	unsigned int tail, ended, head; /* submitted; ended by the worker (atomic); reaped */
} disk;

static void slow_submit(struct dip_io *io, struct dip_io_request **requests, unsigned int n)
{
	(void)io;
	for (unsigned int i = 0; i < n; i++) {
		disk.request[disk.tail++] = requests[i];
		sem_post(&disk.submitted);
	}
}

static unsigned int slow_reap(struct dip_io *io, struct dip_io_request **ended, unsigned int max)
{
	unsigned int n = 0;

	(void)io;
	while (n < max && disk.head < __atomic_load_n(&disk.ended, __ATOMIC_ACQUIRE))
		ended[n++] = disk.request[disk.head++];
	return n;
}

static const struct dip_io_ops slow_ops = {.name = "slow", .submit = slow_submit, .reap = slow_reap};

static void *end_writes(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < WRITES; i++) {
		sem_wait(&disk.submitted);
		disk.request[i]->result = disk.request[i]->iov->iov_len;
		__atomic_store_n(&disk.ended, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Returns the seconds that it takes to write all, polling. */
static double write_all(void)
{
	static struct dip_frame frame;
	struct dip_frame *frames[] = {&frame};
	struct dip_fifo fifo;
	double start = seconds();

	assert_int_equal(dip_fifo_create(&fifo, &slow_ops, DEPTH), 0);
	while (fifo.head < WRITES) {
		uint64_t from = fifo.tail;

		while (fifo.tail < WRITES && !dip_fifo_full(&fifo))
			dip_fifo_add(&fifo, -1, fifo.tail * 4096, 4096, frames, 1);
		dip_fifo_submit(&fifo, from);
		dip_fifo_reap(&fifo);
		while (dip_fifo_ended(&fifo) != NULL)
			dip_fifo_pop(&fifo);
	}
	dip_fifo_free(&fifo);
	return seconds() - start;
}

/* Eight at a time, a moment for each eight: a few milliseconds. Without giving way a quarter of a
 * second at least: a twentieth of each second is all that the system keeps for others. */
static void test_worker_on_the_same_cpu(void **state)
{
	struct sched_param high = {.sched_priority = 1}, usual = {0};
	cpu_set_t before, one;
	pthread_t worker;
	double took;

	(void)state;
	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof(one), &one), 0);
	sem_init(&disk.submitted, 0, 0);
	assert_int_equal(pthread_create(&worker, NULL, end_writes, NULL), 0);
	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &high) != 0) {
		print_message("real-time priority is not to be had here: with the usual one\n");
		took = write_all();
	} else {
		took = write_all();
		pthread_setschedparam(pthread_self(), SCHED_OTHER, &usual);
	}
	pthread_join(worker, NULL);
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	print_message("%d writes took %.1f ms\n", WRITES, took * 1e3);
	assert_true(took < 0.2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_worker_on_the_same_cpu)};

	return cmocka_run_group_tests(tests, eal_start, eal_stop);
}
