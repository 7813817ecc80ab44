/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What a run asked of the file system below one folder, with the data, in order: writes, sizes,
 * names and barriers. Each call has a moment at which it begins and one at which it has ended; a
 * loss of power may come between any two moments. The rules of what it leaves are those of POSIX at
 * its weakest:
 *
 *	- a write or a size is safe once a sync of its file has succeeded that began after it ended;
 *	- a sync that fails leaves what it should have written in doubt for ever: the kernel may have
 *	  dropped it, and no later sync says so;
 *	- a name is safe once its folder has been synced likewise;
 *	- all else may be there or not, each by itself.
 *
 * One thread at a time. */

#define JOURNAL_NEVER UINT32_MAX

enum journal_kind { JOURNAL_WRITE, JOURNAL_SIZE, JOURNAL_CREATE, JOURNAL_RENAME, JOURNAL_REMOVE };

struct journal_op {
	enum journal_kind kind;
	uint32_t begun, ended; /* moments; ended is JOURNAL_NEVER until then */
	uint32_t safe;         /* the moment since which it is; JOURNAL_NEVER */
	bool in_doubt;
	unsigned int file; /* its number; of a removal none */
	/* write: where and what; size: to bytes, or with grow at least to that */
	uint64_t offset, bytes;
	uint8_t *data;
	bool grow;
	/* of names: below the folder; create: to; remove: from */
	char *from, *to;
	bool folder;
};

struct journal {
	struct journal_op *ops;
	unsigned int count, room;
	uint32_t moment;  /* the next */
	uint64_t *claims; /* by moment: frames said to be durable */
	uint32_t claims_room;
	unsigned int files; /* numbers given */
};

extern struct journal journal;

/* Forget everything. claimed says how many frames the program calls durable at present. */
void journal_start(const char *folder, uint64_t (*claimed)(void));

/* A descriptor of a file that was made, or of a folder that is there; and its end. */
void journal_opened(int fd, const char *path, bool made);
void journal_closed(int fd);

/* A write begins; it ended with that many bytes, or an error. */
unsigned int journal_write(int fd, uint64_t offset, const struct iovec *iov, unsigned int iovs);
void journal_written(unsigned int op, ssize_t result);

/* The size was set, or raised (grow). */
void journal_sized(int fd, uint64_t bytes, bool grow);

/* A sync begins (the moment is what ends it), and has ended. */
uint32_t journal_sync(int fd);
void journal_synced(int fd, uint32_t begun, int result);

void journal_made_folder(const char *path);
void journal_renamed(const char *from, const char *to);
void journal_removed(const char *path);

/* All of it, with the moments and the data, as one number. */
uint32_t journal_print(void);
