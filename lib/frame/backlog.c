/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include <rte_malloc.h>

#include "frame/backlog.h"
#include "frame/check.h"

/* Twice what can be live: sorting out the others costs a look at two entries for each that is added. */
#define ROOM_PER_SLAB 2

/* All fields are atomic: read while they are written anew. */
struct entry {
	struct dip_frame *frame;
	uint64_t seq;
	uint64_t generation;
};

/* Entries begin .. end - 1, entry i in slot i % size. The lane's ingest alone writes; whoever recalls reads an
 * entry first and then begin: below it, what was read may be of two entries. */
struct lane {
	struct entry *entries;
	uint64_t begin, end; /* atomic */
} __rte_cache_aligned;

struct dip_backlog {
	unsigned int lanes;
	uint64_t size; /* of each lane, a power of two */
	struct lane lane[];
};

static uint64_t size_of(uint32_t slabs)
{
	return rte_align64pow2((uint64_t)slabs * ROOM_PER_SLAB);
}

size_t dip_backlog_bytes(unsigned int lanes, uint32_t slabs)
{
	return sizeof(struct dip_backlog) +
	       lanes * (sizeof(struct lane) + size_of(slabs) * sizeof(struct entry));
}

int dip_backlog_create(unsigned int lanes, uint32_t slabs, struct dip_backlog **backlog)
{
	struct dip_backlog *b =
		rte_zmalloc("dip_backlog", dip_backlog_bytes(lanes, slabs), RTE_CACHE_LINE_SIZE);
	struct entry *entries;

	if (b == NULL)
		return -ENOMEM;
	b->lanes = lanes;
	b->size = size_of(slabs);
	entries = (struct entry *)&b->lane[lanes];
	for (unsigned int i = 0; i < lanes; i++)
		b->lane[i].entries = entries + i * b->size;
	*backlog = b;
	return 0;
}

void dip_backlog_free(struct dip_backlog *b)
{
	rte_free(b);
}

static struct dip_desc read_entry(const struct dip_backlog *b, const struct lane *l, uint64_t at)
{
	const struct entry *e = &l->entries[at & (b->size - 1)];

	return (struct dip_desc){
		.frame = __atomic_load_n(&e->frame, __ATOMIC_RELAXED),
		.seq = __atomic_load_n(&e->seq, __ATOMIC_RELAXED),
		.generation = __atomic_load_n(&e->generation, __ATOMIC_RELAXED),
	};
}

/* --- the lane's ingest --- */

static bool is_live(const struct dip_desc *desc)
{
	return dip_frame_generation(desc->frame) == desc->generation;
}

static void append(struct dip_backlog *b, struct lane *l, const struct dip_desc *desc)
{
	struct entry *e = &l->entries[l->end & (b->size - 1)];

	__atomic_store_n(&e->frame, desc->frame, __ATOMIC_RELAXED);
	__atomic_store_n(&e->seq, desc->seq, __ATOMIC_RELAXED);
	__atomic_store_n(&e->generation, desc->generation, __ATOMIC_RELAXED);
	__atomic_store_n(&l->end, l->end + 1, __ATOMIC_RELEASE);
}

/* Before a slot is written anew its entry is below begin. */
static void set_begin(struct lane *l, uint64_t begin)
{
	__atomic_store_n(&l->begin, begin, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Append those that are live anew: of size entries in their slots, in order, none is overwritten before
 * it was read. */
static void sort_out(struct dip_backlog *b, struct lane *l)
{
	uint64_t from = l->begin, to = l->end;

	set_begin(l, to);
	for (; from < to; from++) {
		struct dip_desc desc = read_entry(b, l, from);

		if (is_live(&desc))
			append(b, l, &desc);
	}
}

void dip_backlog_add(struct dip_backlog *b, unsigned int lane, const struct dip_desc *desc)
{
	struct lane *l = &b->lane[lane];
	uint64_t begin = l->begin;

	while (begin < l->end) {
		struct dip_desc oldest = read_entry(b, l, begin);

		if (is_live(&oldest))
			break;
		begin++;
	}
	set_begin(l, begin);
	if (l->end - l->begin == b->size)
		sort_out(b, l);
	append(b, l, desc);
}

/* --- whoever needs a slab --- */

/* The entries of a lane from here on. */
struct cursor {
	uint64_t next;
	bool found;
	struct dip_desc desc; /* of the last one that was found */
};

/* Go on to the next entry whose frame can be recalled. */
static void find(const struct dip_backlog *b, const struct lane *l, struct cursor *c)
{
	uint64_t begin, state;

	c->found = false;
	c->next = RTE_MAX(c->next, __atomic_load_n(&l->begin, __ATOMIC_RELAXED));
	while (!c->found && c->next < __atomic_load_n(&l->end, __ATOMIC_ACQUIRE)) {
		c->desc = read_entry(b, l, c->next);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		begin = __atomic_load_n(&l->begin, __ATOMIC_RELAXED);
		if (begin > c->next) {
			c->next = begin;
			continue;
		}
		c->next++;
		state = dip_state_load(&c->desc.frame->state);
		c->found = dip_state_recallable(state, c->desc.generation);
	}
}

static struct cursor *oldest_of(struct cursor *cursors, unsigned int lanes)
{
	struct cursor *oldest = NULL;

	for (unsigned int i = 0; i < lanes; i++)
		if (cursors[i].found && (oldest == NULL || cursors[i].desc.seq < oldest->desc.seq))
			oldest = &cursors[i];
	return oldest;
}

unsigned int dip_backlog_recall(struct dip_backlog *b, struct dip_frame **frames, unsigned int n)
{
	struct cursor cursors[b->lanes], *c;
	unsigned int got = 0;

	for (unsigned int i = 0; i < b->lanes; i++) {
		cursors[i].next = 0;
		find(b, &b->lane[i], &cursors[i]);
	}
	while (got < n && (c = oldest_of(cursors, b->lanes)) != NULL) {
		struct dip_frame *frame = dip_desc_recall(&c->desc);

		if (frame != NULL) {
			dip_frame_verify(frame);
			frames[got++] = frame;
		}
		find(b, &b->lane[c - cursors], c);
	}
	return got;
}
