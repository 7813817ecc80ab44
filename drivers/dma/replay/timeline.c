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

#define NS_PER_MS 1000000u
#define NS_PER_YEAR 31556952000000000u
#define YEARS 100 /* so that twice as long, in ns, is less than 2^63 */

/* The moments are those of the arrivals. A clock that was set back is one that stood still. */
static int lay_out_moments(struct replay *r, struct dip_error *err)
{
	struct replay_record *p = r->record;

	for (uint64_t i = 1; i < r->records; i++) {
		int64_t step = p[i].timestamp_ns - p[i - 1].timestamp_ns;

		p[i].due_ns = p[i - 1].due_ns + RTE_MAX(step, 0);
		if (p[i].due_ns > YEARS * NS_PER_YEAR)
			return dip_fail(err, EBADMSG,
				"%s: frame %" PRIu64 " came %" PRIu64
				" years after the first one; expected a run of %d years at most",
				r->path, p[i].seq, p[i].due_ns / NS_PER_YEAR, YEARS);
	}
	/* And the next pass comes as the run would have gone on; a clock that stood still all the time
	 * does not tell. */
	r->period_ns = p[r->records - 1].due_ns;
	if (r->period_ns == 0)
		r->period_ns = r->records * NS_PER_MS;
	else
		r->period_ns += r->period_ns / (r->records - 1);
	return 0;
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
	return lay_out_moments(r, err);
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
	/* At the highest speed it is beyond 64 bits after some hours. */
	uint64_t at = RTE_MIN(ns * r->speed, 0x1p63), pass = at / r->period_ns;
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
