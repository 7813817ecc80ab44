/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "frame/frame.h"
#include "util/error.h"

/* How the archiver's bytes get to a file: a back end takes writes and says later how each ended.
 * Drivers in drivers/archive/ register themselves; the program reaches them by name. All calls of
 * one instance come from one thread. */

/* The request and its buffers belong to the back end from submit until reap returns it. */
struct dip_io_request {
	int fd;
	uint64_t offset; /* bytes from the start of the file */
	struct iovec *iov;
	unsigned int iovs;
	ssize_t result; /* bytes written (short is normal), or a negative errno */
};

struct dip_io; /* an instance, private to its back end */

/* What the back end "delay" does to another one; the others take no notice. */
struct dip_io_delay {
	const char *over;     /* the other one */
	uint64_t delay_ns;    /* each request ends so much later */
	uint64_t stall_write; /* request number so many, from 0, and all that are outstanding */
	uint64_t stall_ns;    /* or come after it, end no sooner than this after it came */
};

struct dip_io_conf {
	unsigned int depth; /* most requests at a time */
	struct dip_io_delay delay;
	/* The memory that buffers will come from, to be made known to the kernel in advance. */
	const struct dip_frame_chunk *chunk;
	unsigned int chunks; /* 0: not known */
};

/* What an instance found possible. */
struct dip_io_info {
	bool registered_buffers, registered_files;
	bool waits;     /* submit returns only when the disk has ended the requests */
	char note[192]; /* one line about what was not possible, or "" */
};

struct dip_io_ops {
	STAILQ_ENTRY(dip_io_ops) next;
	const char *name;

	/* Returns 0 with *info (zeroed before), or a negative errno with *err. On the thread that
	 * makes the other calls. conf is not kept, the memory it names is. */
	int (*open)(const struct dip_io_conf *conf, struct dip_io **io, struct dip_io_info *info,
		struct dip_error *err);

	/* Requests for this file will come; none will come any more. A file that was not attached
	 * is written all the same. NULL: nothing to gain by it. */
	void (*attach)(struct dip_io *io, int fd);
	void (*detach)(struct dip_io *io, int fd);

	/* Take n requests, at most depth outstanding with those before. Never fails: what cannot be
	 * started ends with a negative result. */
	void (*submit)(struct dip_io *io, struct dip_io_request **requests, unsigned int n);

	/* Up to max requests that have ended, in any order. Never waits. */
	unsigned int (*reap)(struct dip_io *io, struct dip_io_request **ended, unsigned int max);

	/* No request may be outstanding. NULL is allowed. */
	void (*close)(struct dip_io *io);
};

void dip_io_register(struct dip_io_ops *ops);
const struct dip_io_ops *dip_io_find(const char *name); /* NULL: no such */
void dip_io_list(FILE *out);                            /* a line each */

/* Will an archive that is given this back end wait for the disk when it submits? Opens the back end to see;
 * one that cannot be opened here is replaced by pwrite, which does wait. Any thread. */
bool dip_io_waits(const char *name, const struct dip_io_delay *delay);

#define DIP_IO_REGISTER(ops)                                                                       \
	static void __attribute__((constructor)) ops##_register(void)                              \
	{                                                                                          \
		dip_io_register(&ops);                                                             \
	}
