/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/archive: what the files of a segment share. */

#include "archive/segment.h"

#define DIP_CONDEMNED ".condemned"
#define DIP_SEGMENT_PATH (sizeof(((struct dip_segment *)0)->path) + 16)

/* Create the index, if one is wanted. Returns 0 or a negative errno. */
int dip_segment_open_index(struct dip_segment *segment);

void dip_segment_close_folders(struct dip_segment *segment);

/* The sync of the index has come to ret. */
void dip_segment_index_synced(struct dip_segment *segment, int ret);

/* Sync and index what is not yet. */
void dip_segment_finish(struct dip_segment *segment);

/* Give back what was reserved for lines that have not come. */
void dip_segment_cut_index(struct dip_segment *segment);

/* The path of the segment's index, DIP_SEGMENT_PATH bytes. */
void dip_segment_index_path(const struct dip_segment *segment, char *path);
