/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dma/faults.h"
#include "random/random.h"

static const struct kind {
	const char *name;
	double min, max; /* of the amount; equal: takes none */
	double preset;   /* the amount when none is given; NAN: one must be */
	bool only_at;    /* at a frame, not with a probability */
} kinds[DIP_FAULT_KINDS] = {
	[DIP_FAULT_LOST] = {"lost", 0, 0, 0, false},
	[DIP_FAULT_DUPLICATE] = {"duplicate", 0, 0, 0, false},
	[DIP_FAULT_BURST] = {"burst", 2, 1024, NAN, false},
	[DIP_FAULT_STALL] = {"stall", 0.001, 60000, NAN, false},
	[DIP_FAULT_LATE] = {"late", 0.001, 60000, NAN, false},
	[DIP_FAULT_CORRUPT] = {"corrupt", 1, 1e6, 1, false},
	[DIP_FAULT_JUMP] = {"jump", -1e9, 1e9, NAN, false},
	[DIP_FAULT_DEAD] = {"dead", 0, 0, 0, false},
	[DIP_FAULT_REFUSE] = {"refuse", 0, 0, 0, true},
};

static const char *const known = "lost, duplicate, burst:FRAMES, stall:MS, late:MS, "
				 "corrupt:PIXELS, jump:MS, dead or refuse, "
				 "each with @FRAME or ~PROBABILITY, joined by +; or seed:N";

static int fail(const char *part, const char *what, struct dip_error *err)
{
	return dip_fail(err, EINVAL, "faults=...%s: %s; expected %s", part, what, known);
}

static bool parse_number(const char *text, double min, double max, double *out)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min) || !(value <= max))
		return false;
	*out = value;
	return true;
}

static bool parse_whole(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static int find_kind(const char *name)
{
	for (int k = 0; k < DIP_FAULT_KINDS; k++)
		if (strcmp(kinds[k].name, name) == 0)
			return k;
	return -1;
}

/* amount: NULL when there is none. */
static int parse_amount(const char *part, const struct kind *kind, const char *amount,
	struct dip_fault *fault, struct dip_error *err)
{
	fault->amount = kind->preset;
	if (amount == NULL)
		return isnan(kind->preset) ? fail(part, "found no amount", err) : 0;
	if (kind->min == kind->max)
		return fail(part, "takes no amount", err);
	if (!parse_number(amount, kind->min, kind->max, &fault->amount))
		return dip_fail(err, EINVAL, "faults=...%s: the amount is no number from %g to %g",
			part, kind->min, kind->max);
	return 0;
}

/* when: "@FRAME" or "~PROBABILITY" */
static int parse_when(const char *part, const struct kind *kind, const char *when,
	struct dip_fault *fault, struct dip_error *err)
{
	double probability;

	fault->at = when[0] == '@';
	if (fault->at)
		return parse_whole(when + 1, &fault->frame)
			       ? 0
			       : fail(part, "@ without the number of a frame", err);
	if (kind->only_at)
		return fail(part, "comes with @ only", err);
	if (!parse_number(when + 1, 0, 1, &probability))
		return fail(part, "~ without a probability from 0 to 1", err);
	fault->threshold = probability * 0x1p32;
	return 0;
}

/* word is cut apart. */
static int parse_fault(const char *part, char *word, struct dip_faults *f, struct dip_error *err)
{
	char *when = strpbrk(word, "@~"), *amount, sign;
	struct dip_fault *fault = &f->fault[f->count];
	int kind, ret;

	if (f->count == DIP_FAULTS_MAX)
		return fail(part, "more than 32", err);
	if (when == NULL)
		return fail(part, "found neither @ nor ~", err);
	sign = *when;
	*when = '\0';
	amount = strchr(word, ':');
	if (amount != NULL)
		*amount++ = '\0';
	kind = find_kind(word);
	if (kind < 0)
		return fail(part, "unknown", err);
	fault->kind = kind;
	ret = parse_amount(part, &kinds[kind], amount, fault, err);
	*when = sign;
	if (ret == 0)
		ret = parse_when(part, &kinds[kind], when, fault, err);
	if (ret < 0)
		return ret;
	f->kinds |= 1u << kind;
	f->count++;
	return 0;
}

static int parse_all(char *copy, struct dip_faults *f, struct dip_error *err)
{
	char part[64], *rest = copy, *word;

	while ((word = strsep(&rest, "+")) != NULL) {
		int ret = 0;

		snprintf(part, sizeof(part), "%s", word);
		if (strncmp(word, "seed:", 5) != 0)
			ret = parse_fault(part, word, f, err);
		else if (!parse_whole(word + 5, &f->seed))
			ret = fail(part, "no whole number", err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int dip_faults_parse(const char *text, struct dip_faults **faults, struct dip_error *err)
{
	struct dip_faults *f;
	char *copy;
	int ret;

	*faults = NULL;
	if (text[0] == '\0')
		return 0;
	f = calloc(1, sizeof(*f));
	copy = strdup(text);
	if (f == NULL || copy == NULL) {
		ret = dip_fail(err, ENOMEM, "out of memory");
	} else {
		f->seed = DIP_FAULT_SEED;
		ret = parse_all(copy, f, err);
	}
	free(copy);
	if (ret < 0)
		free(f);
	else
		*faults = f;
	return ret;
}

bool dip_fault_hits(const struct dip_faults *f, unsigned int i, uint64_t seq)
{
	uint32_t words[4];

	if (f->fault[i].at)
		return f->fault[i].frame == seq;
	dip_random_words(f->seed, seq, i, 0, words);
	return words[0] < f->fault[i].threshold;
}

uint32_t dip_faults_of(const struct dip_faults *f, uint64_t seq)
{
	uint32_t hits = 0;

	for (unsigned int i = 0; i < f->count; i++)
		hits |= (uint32_t)dip_fault_hits(f, i, seq) << i;
	return hits;
}
