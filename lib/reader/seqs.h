/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of a run's good frames: range, step, gaps, numbers that come twice. */

struct dip_seq {
	uint64_t seq;
	uint32_t segment; /* its place in the run */
	uint32_t slot;
};

struct dip_seqs {
	struct dip_seq *all;
	size_t count, room;
	bool sorted;
};

struct dip_seq_summary {
	uint64_t frames;   /* different numbers */
	uint64_t twice;    /* frames whose number came before */
	uint64_t min, max; /* of no meaning without frames */
	uint64_t step;     /* the commonest distance, the smaller of two: every Nth was archived */
	uint64_t gaps;     /* distances above the step */
	uint64_t missing;  /* frames that would fill the gaps */
};

/* Note a frame. 0 or -ENOMEM. Start with all zeros, sorted = true; free all at the end. */
int dip_seqs_add(struct dip_seqs *seqs, uint64_t seq, uint32_t segment, uint32_t slot);

/* Sort by number, then by place, so that the later of two with one number comes second. */
void dip_seqs_sort(struct dip_seqs *seqs);

/* Sum up; sorts. 0 or -ENOMEM. */
int dip_seqs_summary(struct dip_seqs *seqs, struct dip_seq_summary *summary);
