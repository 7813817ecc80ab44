/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"

static int add_keep(struct plan *p, const struct dip_record *record)
{
	if (p->count == p->room) {
		uint64_t room = p->room * 2 + 1024;
		struct keep *keep = realloc(p->keep, room * sizeof(*keep));

		if (keep == NULL)
			return -ENOMEM;
		p->keep = keep;
		p->room = room;
	}
	p->keep[p->count++] = (struct keep){.slot = record->slot,
		.seq = record->trailer.seq,
		.run_id = record->trailer.run_id,
		.timestamp_ns = record->trailer.timestamp_ns,
		.checksum = record->trailer.flags & DIP_TRAILER_CRC,
		.pad_damaged = record->pad_damaged};
	return 0;
}

static int add_cut(struct plan *p, uint64_t slot)
{
	if (p->cut_count == p->cut_room) {
		uint64_t room = p->cut_room * 2 + 64;
		uint64_t *cut = realloc(p->cut, room * sizeof(*cut));

		if (cut == NULL)
			return -ENOMEM;
		p->cut = cut;
		p->cut_room = room;
	}
	p->cut[p->cut_count++] = slot;
	return 0;
}

static bool all_zeros(const uint8_t *p, size_t bytes)
{
	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

/* The next slot from this one on that may hold anything but zeros. Space that was reserved and
 * never written need not be read. */
static uint64_t skip_unwritten(const struct dip_reader *r, uint64_t slot)
{
	off_t at = lseek(r->fd, dip_reader_offset(r, slot), SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? UINT64_MAX : slot;
	return ((uint64_t)at - r->head) / r->stride;
}

/* Judge every slot by itself, the rest at the end too: a record cut in its padding is whole. */
static int scan(struct dip_reader *r, struct plan *p, struct dip_error *err)
{
	uint64_t slots = r->records + (r->rest > 0);
	struct dip_record record;
	int ret;

	for (uint64_t i = 0; i < slots; i++) {
		if (i >= r->written) {
			uint64_t next = skip_unwritten(r, i);

			i = next > i ? next : i;
			if (i >= slots)
				break;
		}
		r->has_run_id = false;
		ret = dip_reader_read(r, i, &record, err);
		if (ret < 0)
			return ret;
		if (record.fault == DIP_GOOD)
			ret = add_keep(p, &record);
		else if (!all_zeros(record.image, record.bytes))
			ret = add_cut(p, i);
		if (ret < 0)
			return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	}
	return 0;
}

static int by_run(const void *a, const void *b)
{
	const struct keep *x = a, *y = b;

	return x->run_id < y->run_id ? -1 : x->run_id > y->run_id;
}

/* The id that most have; of several the least, so that it is the same at every try. */
static int ask_most(const struct plan *p, uint64_t *run_id)
{
	struct keep *sorted = malloc((p->count + 1) * sizeof(*sorted));
	uint64_t most = 0;

	if (sorted == NULL)
		return -ENOMEM;
	memcpy(sorted, p->keep, p->count * sizeof(*sorted));
	qsort(sorted, p->count, sizeof(*sorted), by_run);
	for (uint64_t i = 0, j; i < p->count; i = j) {
		for (j = i; j < p->count && sorted[j].run_id == sorted[i].run_id;)
			j++;
		if (j - i > most) {
			most = j - i;
			*run_id = sorted[i].run_id;
		}
	}
	free(sorted);
	return 0;
}

/* The newest of the records that vouch for themselves. */
static const struct keep *newest(const struct plan *p)
{
	const struct keep *best = NULL;

	for (uint64_t i = 0; i < p->count; i++)
		if (p->keep[i].checksum &&
			(best == NULL || p->keep[i].timestamp_ns > best->timestamp_ns))
			best = &p->keep[i];
	return best;
}

static int choose_run(const struct plan *p, const uint64_t *told, uint64_t *run_id)
{
	const struct keep *best = newest(p);

	if (told == NULL && best == NULL)
		return ask_most(p, run_id);
	*run_id = told != NULL ? *told : best->run_id;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int drop_other_runs(
	struct dip_reader *r, struct plan *p, const uint64_t *told, struct dip_error *err)
{
	uint64_t n = 0;

	if (p->count == 0)
		return 0;
	if (choose_run(p, told, &r->run_id) < 0)
		return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	r->has_run_id = true;
	for (uint64_t i = 0; i < p->count; i++) {
		if (p->keep[i].run_id == r->run_id)
			p->keep[n++] = p->keep[i];
		else if (add_cut(p, p->keep[i].slot) < 0)
			return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	}
	p->count = n;
	if (newest(p) != NULL)
		p->newest_ns = newest(p)->timestamp_ns;
	/* The side file is in order of the segment. */
	if (p->cut_count > 0)
		qsort(p->cut, p->cut_count, sizeof(*p->cut), by_value);
	return 0;
}

/* 1 when two slots hold the same frame, byte for byte up to the padding. */
static int same_frame(struct dip_reader *r, uint64_t a, uint64_t b, struct dip_error *err)
{
	size_t bytes = r->image_bytes + sizeof(struct dip_trailer);
	struct dip_record record;
	void *first = malloc(bytes);
	int ret;

	if (first == NULL)
		return dip_fail(err, ENOMEM, "%s: out of memory", r->path);
	ret = dip_reader_read(r, a, &record, err);
	if (ret == 0) {
		memcpy(first, record.image, bytes);
		ret = dip_reader_read(r, b, &record, err);
	}
	if (ret == 0)
		ret = memcmp(first, record.image, bytes) == 0;
	free(first);
	return ret;
}

static int by_seq(const void *a, const void *b)
{
	const struct keep *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static int by_slot(const void *a, const void *b)
{
	const struct keep *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* A recover that was interrupted leaves records both where they were and where they went. */
static int drop_copies(struct dip_reader *r, struct plan *p, struct dip_error *err)
{
	uint64_t n = 0;
	int ret = 0;

	if (p->count == 0)
		return 0;
	qsort(p->keep, p->count, sizeof(*p->keep), by_seq);
	for (uint64_t i = 0; i < p->count && ret >= 0; i++) {
		ret = 0;
		for (uint64_t k = n; k > 0 && ret == 0 && p->keep[k - 1].seq == p->keep[i].seq; k--)
			ret = same_frame(r, p->keep[k - 1].slot, p->keep[i].slot, err);
		if (ret == 1)
			p->copies++;
		else
			p->keep[n++] = p->keep[i];
	}
	p->count = n;
	qsort(p->keep, p->count, sizeof(*p->keep), by_slot);
	return ret < 0 ? ret : 0;
}

int plan_make(struct dip_reader *r, const uint64_t *run_id, struct plan *p, struct dip_error *err)
{
	int ret;

	*p = (struct plan){0};
	ret = scan(r, p, err);
	if (ret == 0)
		ret = drop_other_runs(r, p, run_id, err);
	if (ret == 0)
		ret = drop_copies(r, p, err);
	for (uint64_t i = 0; i < p->count; i++)
		p->pads += p->keep[i].pad_damaged;
	return ret;
}

void plan_free(struct plan *p)
{
	free(p->keep);
	free(p->cut);
}

uint64_t plan_moves(const struct plan *p)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < p->count; i++)
		n += p->keep[i].slot != i;
	return n;
}
