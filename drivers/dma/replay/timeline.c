/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "replay.h"

static int by_seq(const void *a, const void *b)
{
	const struct replay_record *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The moments are those of the arrivals. A clock that was set back is one that stood still. */
static void lay_out_moments(struct replay *r)
{
	struct replay_record *p = r->record;

	for (uint64_t i = 1; i < r->records; i++) {
		int64_t step = p[i].timestamp_ns - p[i - 1].timestamp_ns;

		p[i].due_ns = p[i - 1].due_ns + RTE_MAX(step, 0);
	}
	r->period_ns = p[r->records - 1].due_ns;
	r->period_ns += r->records > 1 ? r->period_ns / (r->records - 1) : 1000000;
}

int replay_lay_out(struct replay *r, struct dip_error *err)
{
	uint64_t step = UINT64_MAX, last;

	qsort(r->record, r->records, sizeof(*r->record), by_seq);
	for (uint64_t i = 1; i < r->records; i++) {
		uint64_t gap = r->record[i].seq - r->record[i - 1].seq;

		if (gap == 0)
			return dip_fail(err, EBADMSG,
				"%s: frame %" PRIu64 " is there twice; expected every number once",
				r->path, r->record[i].seq);
		step = RTE_MIN(step, gap);
	}
	last = r->record[r->records - 1].seq;
	if (last > UINT64_MAX / 4)
		return dip_fail(err, EBADMSG, "%s: frame %" PRIu64 "; expected numbers below 2^62",
			r->path, last);
	/* The next pass goes on as the run would have done: with every fifth number after every
	 * fifth. */
	r->span = last - r->record[0].seq + (r->records > 1 ? step : 1);
	lay_out_moments(r);
	return 0;
}

uint64_t replay_number(const void *priv, uint64_t index)
{
	const struct replay *r = priv;

	return index / r->records * r->span + r->record[index % r->records].seq;
}

/* The first record of a pass for which above is true; all those behind it are as well. */
static uint64_t find(const struct replay *r, uint64_t value,
	bool (*above)(const struct replay_record *, uint64_t))
{
	uint64_t low = 0, high = r->records;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (above(&r->record[mid], value))
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static bool not_below(const struct replay_record *record, uint64_t seq)
{
	return record->seq >= seq;
}

static bool later(const struct replay_record *record, uint64_t ns)
{
	return record->due_ns > ns;
}

uint64_t replay_count_below(const void *priv, uint64_t seq)
{
	const struct replay *r = priv;
	uint64_t first = r->record[0].seq, pass;

	if (seq <= first)
		return 0;
	pass = (seq - first) / r->span;
	return pass * r->records + find(r, seq - pass * r->span, not_below);
}

double replay_due_ns(const void *priv, uint64_t seq)
{
	const struct replay *r = priv;
	uint64_t index = replay_count_below(r, seq);

	return ((double)(index / r->records) * r->period_ns +
		       r->record[index % r->records].due_ns) /
	       r->speed;
}

uint64_t replay_due_by(const void *priv, double ns)
{
	const struct replay *r = priv;
	uint64_t at = ns * r->speed, pass = at / r->period_ns;
	uint64_t count = pass * r->records + find(r, at - pass * r->period_ns, later);

	return replay_number(r, count - 1) + 1; /* the first one is due at once */
}

uint64_t replay_timestamp(const void *priv, uint64_t seq)
{
	const struct replay *r = priv;
	uint64_t index = replay_count_below(r, seq);
	const struct replay_record *record = &r->record[index % r->records];

	return record->timestamp_ns == 0 ? 0
					 : record->timestamp_ns + index / r->records * r->period_ns;
}
