/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/archiver.h"

/* The real archiver, its real maker and its real keeper, step by step in the test's order (gate.h), with all that
 * they ask of the file system in the journal (journal.h), subject to a plan of faults. The files
 * are real, the clock is the test's. One at a time; needs EAL. */

#define RIG_RUN_ID 0x1234567890abcdefULL
#define RIG_SLABS 96
#define RIG_RECORD_BYTES 8192 /* a record has so many at most */

enum rig_op {
	RIG_RECORD, /* a write of records */
	RIG_OPEN,
	RIG_WRITE,
	RIG_TRUNCATE,
	RIG_RESERVE,
	RIG_SYNC,
	RIG_SYNC_INDEX,
	RIG_RENAME,
	RIG_UNLINK,
	RIG_MKDIR,
	RIG_RMDIR,
	RIG_OPS
};

extern const char *const rig_op_names[RIG_OPS];

struct rig {
	struct dip_archiver_conf conf; /* of the next start */
	struct dip_frame_pool *pool;
	struct dip_archiver *archiver;
	uint64_t now; /* nanoseconds, by the archive's clock */
	uint64_t next_seq, offered;
	unsigned int step;         /* from one seq to the next */
	unsigned int ops[RIG_OPS]; /* so many of each there were */
	/* The plan: how an operation ends that comes as number n (from 1) of its kind: bytes for
	 * all of it, fewer (of a write only), or a negative errno. NULL: all goes well. */
	ssize_t (*plan)(enum rig_op op, unsigned int n, ssize_t bytes);
};

extern struct rig rig;

/* Once: the ring, the pool, and the folder, which is made, below which everything happens. 0 or
 * -1. */
int rig_setup(const char *folder);
void rig_teardown(void);

/* Defaults for rig.conf: 30 x 20 pixels, records of 1,536 bytes, ten of them a segment, up to four
 * in a write, eight writes at a time, in any order. The run's folder, <folder>/run, is there. */
void rig_reset(unsigned int seed);

/* Returns 0, or what dip_archiver_create does with *err. */
int rig_start(struct dip_error *err);

bool rig_offer(void); /* false: the ring or the pool has no place */
void rig_poll(void);  /* the archiver, once; each slab is in one place */
void rig_keep(void);  /* the keeper, from one gate to the next */
void rig_make(void);  /* the maker, likewise */
bool rig_resting(void);

/* Let everything come to rest, close, free. Later than limit_ns by rig.now it is an error. */
void rig_stop(uint64_t limit_ns);

/* Since the start. */
uint64_t rig_counted(const char *counter);

/* The bytes of a record: of the run, or, with another id, of one that is not this one. */
void rig_make_record(uint8_t *record, uint64_t seq, uint64_t run_id);

/* Throw away all that is below a folder. */
void rig_clear(const char *folder);
