/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "reader/reader.h"
#include "reader/run.h"

/* What the commands of dma-image-archive share. */

enum status { STATUS_GOOD = 0, STATUS_BAD = 1, STATUS_TROUBLE = 2 };

struct arguments {
	char **paths; /* segments or folders of runs */
	int count;
	const struct dip_shape *shape; /* NULL when not given */
	uint64_t max_lines, block;
	bool has_first, has_step;
	uint64_t first, step;
	const char *seq, *output, *stack, *raw; /* NULL when not given */
	bool json, complete, force, until_closed, absolute;
};

/* One command: a row of the table in main.c. Run returns a status; what is wrong has been said. */
enum status tool_info(const struct arguments *args);
enum status tool_verify(const struct arguments *args);
enum status tool_recover(const struct arguments *args);
enum status tool_index(const struct arguments *args);
enum status tool_extract(const struct arguments *args);
enum status tool_tail(const struct arguments *args);
enum status tool_h5(const struct arguments *args);

/* Write run.h5 of the run in the folder path. */
enum status present_run(const char *path, const struct dip_run *run, const struct arguments *args);

/* Whether the folder has a run.h5. */
bool is_presented(const char *path);

bool is_folder(const char *path);

/* One line on stderr, under the name of the program. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Lines about what is bad: the first max are printed, all are counted. */
struct lines {
	uint64_t max, count;
};

void lines_add(struct lines *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Say how many were not printed. */
void lines_end(const struct lines *lines);

enum status worse(enum status a, enum status b);

/* The status of a negative errno: data that are bad, or trouble. */
enum status status_of(int error);

/* The segments of a run, at least one. STATUS_GOOD (free with dip_run_free) or, said, trouble. */
enum status list_run(const char *path, struct dip_run *run);

/* Numbers of a run that are not there; says each. */
uint64_t count_missing(const struct dip_run *run, struct lines *lines);

/* Refuse to work on a segment that something writes, unless force. */
bool refuse_in_use(const struct dip_reader *reader, const struct arguments *args);
