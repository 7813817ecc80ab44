/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "reader/seqs.h"

static int compare(const void *a, const void *b)
{
	const struct dip_seq *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

int dip_seqs_add(struct dip_seqs *s, uint64_t seq, uint32_t segment, uint32_t slot)
{
	struct dip_seq new = {.seq = seq, .segment = segment, .slot = slot};

	if (s->count == s->room) {
		size_t room = s->room * 2 + 1024;
		struct dip_seq *all = realloc(s->all, room * sizeof(*all));

		if (all == NULL)
			return -ENOMEM;
		s->all = all;
		s->room = room;
	}
	if (s->count > 0 && compare(&s->all[s->count - 1], &new) > 0)
		s->sorted = false;
	s->all[s->count++] = new;
	return 0;
}

void dip_seqs_sort(struct dip_seqs *s)
{
	if (!s->sorted)
		qsort(s->all, s->count, sizeof(*s->all), compare);
	s->sorted = true;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The commonest value; of several the smallest. Sorts. */
static uint64_t commonest(uint64_t *values, size_t count)
{
	uint64_t best = 1;
	size_t most = 0;

	qsort(values, count, sizeof(*values), by_value);
	for (size_t i = 0, j; i < count; i = j) {
		for (j = i; j < count && values[j] == values[i];)
			j++;
		if (j - i > most) {
			most = j - i;
			best = values[i];
		}
	}
	return best;
}

int dip_seqs_summary(struct dip_seqs *s, struct dip_seq_summary *sum)
{
	uint64_t *steps = malloc((s->count + 1) * sizeof(*steps));
	size_t n = 0;

	if (steps == NULL)
		return -ENOMEM;
	*sum = (struct dip_seq_summary){.step = 1};
	dip_seqs_sort(s);
	for (size_t i = 0; i < s->count; i++) {
		if (i > 0 && s->all[i].seq == s->all[i - 1].seq)
			sum->twice++;
		else if (i > 0)
			steps[n++] = s->all[i].seq - s->all[i - 1].seq;
	}
	sum->frames = s->count - sum->twice;
	if (s->count > 0) {
		sum->min = s->all[0].seq;
		sum->max = s->all[s->count - 1].seq;
		sum->step = commonest(steps, n);
	}
	for (size_t i = 0; i < n; i++) {
		if (steps[i] <= sum->step)
			continue;
		sum->gaps++;
		sum->missing += (steps[i] - 1) / sum->step;
	}
	free(steps);
	return 0;
}
