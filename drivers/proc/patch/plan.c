/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* The widest gap in a strip, pixels: what one vector spans. */
#define GAP_MAX 32
/* Overlapping sites of one size in one row make several strips, up to so many. */
#define STRIPS_MAX 16

/* A stretch of places of one size in one row. */
struct group {
	unsigned int first, end;
	uint32_t row, h, w;
};

struct planner {
	struct patch *patch;
	struct patch_store *store;
	unsigned int size; /* jobs there is room for */
	/* Of the group at hand */
	struct patch_place *chain;
	unsigned int *member; /* of the chain: places */
	bool *kept;           /* of each place: it is in a chain that pays */
	unsigned int *count;  /* of each such chain: places */
	unsigned int counts;
	int16_t *rows; /* a strip's weights */
	int16_t ones[PATCH_STRIP_SITE];
};

static const struct patch *sorting; /* qsort has no argument; the control thread alone sorts */

static int compare_places(const void *a, const void *b)
{
	uint32_t ia = ((const struct patch_place *)a)->site;
	uint32_t ib = ((const struct patch_place *)b)->site;
	const struct patch_site *x = &sorting->site[ia], *y = &sorting->site[ib];
	uint32_t row_x = x->offset / sorting->stride, row_y = y->offset / sorting->stride;

	if (row_x != row_y)
		return row_x < row_y ? -1 : 1;
	if (x->h != y->h)
		return x->h < y->h ? -1 : 1;
	if (x->w != y->w)
		return x->w < y->w ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return ia < ib ? -1 : 1;
}

void patch_sort(struct patch *patch)
{
	for (unsigned int i = 0; i < patch->det.sites; i++)
		patch->place[i].site = i;
	sorting = patch;
	qsort(patch->place, patch->det.sites, sizeof(patch->place[0]), compare_places);
	for (unsigned int i = 0; i < patch->det.sites; i++)
		patch->place[i].offset = patch->site[patch->place[i].site].offset;
}

static bool is_box(const struct patch *patch, const struct patch_place *place)
{
	return patch->site[place->site].weights == NULL && !patch->counting;
}

static struct patch_job *add_job(struct planner *p, enum patch_kind kind, const struct group *g,
	unsigned int first, unsigned int count)
{
	struct patch *patch = p->patch;
	struct patch_job *job;

	if (patch->jobs == p->size) {
		unsigned int size = p->size * 2 + 64;

		job = realloc(patch->job, size * sizeof(*job));
		if (job == NULL)
			return NULL;
		patch->job = job;
		p->size = size;
	}
	job = &patch->job[patch->jobs++];
	*job = (struct patch_job){.kind = kind,
		.h = g->h,
		.w = g->w,
		.first = first,
		.count = count,
		.in_order = true,
		.offset = patch->place[first].offset};
	return job;
}

/* Is it worth it? Counted in vector instructions of AVX-512: a strip adds vectors of 32 pixels and
 * takes about six for each site in the end; a site by itself takes a vector a row. */
static bool pays(const struct group *g, unsigned int count, uint32_t width, bool split)
{
	return (uint64_t)(width + 31) / 32 * (split ? 6 : 4) * g->h + 6ul * count <
	       (uint64_t)count * (4ul * g->h + 3);
}

/* Two of them share a pair of columns, or one takes a pair more than half its width. */
static bool needs_split(const struct patch_place *place, unsigned int count, uint32_t w)
{
	uint32_t begin = place[0].offset;

	for (unsigned int i = 0; i < count; i++) {
		uint32_t col = place[i].offset - begin;

		if (col % 2 == 1 &&
			(w % 16 == 0 || (i > 0 && place[i - 1].offset + w == place[i].offset)))
			return true;
	}
	return false;
}

static uint32_t pitch_of(const struct patch_place *place, unsigned int count, uint32_t w)
{
	uint32_t pitch = count > 1 ? place[1].offset - place[0].offset : w;

	for (unsigned int i = 2; i < count; i++)
		if (place[i].offset - place[i - 1].offset != pitch)
			return 0;
	return pitch <= 16 ? pitch : 0;
}

static const int16_t *strip_weights(struct planner *p, const struct patch_job *job)
{
	uint32_t row = (job->width + 31) / 32 * 32;

	memset(p->rows, 0, (size_t)job->h * row * sizeof(p->rows[0]));
	for (unsigned int i = job->first; i < job->first + job->count; i++) {
		const struct patch_place *place = &p->patch->place[i];
		const int16_t *weights = p->patch->site[place->site].weights;

		for (uint32_t r = 0; r < job->h; r++) {
			memcpy(p->rows + (size_t)r * row + place->offset,
				weights != NULL ? weights : p->ones, job->w * sizeof(p->rows[0]));
			if (weights != NULL)
				weights += patch_row(job->w);
		}
	}
	return patch_store_keep(p->store, p->rows, (size_t)job->h * row);
}

static int add_strip(
	struct planner *p, const struct group *g, unsigned int first, unsigned int count)
{
	struct patch_place *place = &p->patch->place[first];
	struct patch_job *job = add_job(p, PATCH_STRIP, g, first, count);

	if (job == NULL)
		return -ENOMEM;
	job->width = place[count - 1].offset + g->w - job->offset;
	job->split = needs_split(place, count, g->w);
	for (unsigned int i = 0; i < count; i++)
		place[i].offset -= job->offset;
	job->pitch = pitch_of(place, count, g->w);
	job->weights = strip_weights(p, job);
	return job->weights != NULL ? 0 : -ENOMEM;
}

/* Close a chain whose members are p->member[0..count - 1]: keep it for a job, if it pays. */
static void close_chain(struct planner *p, const struct group *g, bool boxes, unsigned int count)
{
	const struct patch_place *place = p->patch->place;
	bool keep = count >= (g->w > 16 ? 2 : 4), split = false;

	for (unsigned int i = 0; i < count; i++)
		p->chain[i] = place[p->member[i]];
	if (!boxes && count > 0) {
		split = needs_split(p->chain, count, g->w);
		keep = pays(
			g, count, p->chain[count - 1].offset + g->w - p->chain[0].offset, split);
	}
	if (!keep)
		return;
	for (unsigned int i = 0; i < count; i++)
		p->kept[p->member[i]] = true;
	p->count[p->counts++] = count;
}

/* Go through the group from left to right and chain what follows without overlap, each chain up to
 * a gap too wide. Those chains that pay come to its front, their sizes into p->count. Returns how
 * many places are in them. */
static unsigned int chain_group(struct planner *p, const struct group *g, uint32_t gap, bool boxes)
{
	struct patch_place *place = p->patch->place;
	unsigned int members = 0, kept = 0, left = 0;
	uint32_t begin = 0, next = 0;

	p->counts = 0;
	for (unsigned int i = g->first; i < g->end; i++) {
		p->kept[i] = false;
		if (place[i].offset < next || (boxes && !is_box(p->patch, &place[i])))
			continue;
		if (members > 0 && (place[i].offset > next + gap ||
					   place[i].offset + g->w - begin > PATCH_STRIP_PIXELS)) {
			close_chain(p, g, boxes, members);
			members = 0;
		}
		if (members == 0)
			begin = place[i].offset;
		p->member[members++] = i;
		next = place[i].offset + g->w;
	}
	close_chain(p, g, boxes, members);
	for (unsigned int i = g->first; i < g->end; i++) {
		if (p->kept[i])
			place[g->first + kept++] = place[i];
		else
			p->chain[left++] = place[i];
	}
	memcpy(&place[g->first + kept], p->chain, left * sizeof(place[0]));
	return kept;
}

/* Rows of boxes without a gap. What is left of the group stays in it. */
static int take_boxes(struct planner *p, struct group *g)
{
	chain_group(p, g, 0, true);
	for (unsigned int i = 0; i < p->counts; i++) {
		struct patch_job *job = add_job(p, PATCH_BOXES, g, g->first, p->count[i]);

		if (job == NULL)
			return -ENOMEM;
		job->width = p->count[i] * g->w;
		job->pitch = g->w <= 16 ? g->w : 0;
		job->split = g->w % 2 == 1;
		g->first += p->count[i];
	}
	return 0;
}

static int take_strips(struct planner *p, struct group *g)
{
	if (p->patch->det.wide || g->w > PATCH_STRIP_SITE || g->h > PATCH_STRIP_ROWS)
		return 0;
	for (int pass = 0; pass < STRIPS_MAX && g->first < g->end; pass++) {
		if (chain_group(p, g, GAP_MAX, false) == 0)
			break;
		for (unsigned int i = 0; i < p->counts; i++) {
			if (add_strip(p, g, g->first, p->count[i]) < 0)
				return -ENOMEM;
			g->first += p->count[i];
		}
	}
	return 0;
}

/* The vectors that a kernel adds in one lane before the lane may be full. */
static uint32_t flush_of(
	const struct patch *patch, const struct patch_place *place, const struct patch_site *site)
{
	uint64_t most = 0, each = patch->counting ? 1 : PATCH_BIAS;
	size_t count = (size_t)site->h * patch_row(site->w);

	for (size_t i = 0; i < count; i += 2) {
		uint64_t pair = (uint64_t)abs(place->weights[i]) + abs(place->weights[i + 1]);

		most = pair > most ? pair : most;
	}
	return most == 0 ? UINT32_MAX : (uint32_t)(INT32_MAX / (most * each));
}

static const int16_t *ones_of(struct planner *p, const struct patch_site *site)
{
	uint32_t row = patch_row(site->w);
	size_t count = (size_t)site->h * row;
	int16_t *ones = calloc(count, sizeof(ones[0]));
	const int16_t *kept;

	if (ones == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		ones[i] = i % row < site->w;
	kept = patch_store_keep(p->store, ones, count);
	free(ones);
	return kept;
}

/* Whether the last job takes one more site of the group. */
static bool takes(const struct patch *patch, const struct group *g, bool inside)
{
	const struct patch_job *last;

	if (patch->jobs == 0)
		return false;
	last = &patch->job[patch->jobs - 1];
	return last->kind == PATCH_SINGLE && last->h == g->h && last->w == g->w &&
	       last->inside == inside;
}

static int add_single(struct planner *p, const struct group *g, unsigned int i)
{
	struct patch *patch = p->patch;
	struct patch_job *job;
	struct patch_place *place = &patch->place[i];
	const struct patch_site *site = &patch->site[place->site];
	size_t last = site->offset + (size_t)(site->h - 1) * patch->stride;
	bool inside = last + patch_row(site->w) <= patch->pixels;
	uint32_t flush;

	place->weights = site->weights;
	if (place->weights == NULL && i > 0 && place[-1].weights != NULL &&
		patch->site[place[-1].site].weights == NULL &&
		patch->site[place[-1].site].h == site->h &&
		patch->site[place[-1].site].w == site->w)
		place->weights = place[-1].weights;
	else if (place->weights == NULL)
		place->weights = ones_of(p, site);
	if (place->weights == NULL)
		return -ENOMEM;
	if (takes(patch, g, inside)) {
		job = &patch->job[patch->jobs - 1];
	} else {
		job = add_job(p, PATCH_SINGLE, g, i, 0);
		if (job == NULL)
			return -ENOMEM;
		job->flush = UINT32_MAX;
		job->inside = inside;
	}
	job->count++;
	flush = patch->det.wide ? flush_of(patch, place, site) : UINT32_MAX;
	job->flush = flush < job->flush ? flush : job->flush;
	return 0;
}

static int plan_group(struct planner *p, struct group *g)
{
	int ret = take_boxes(p, g);

	if (ret == 0)
		ret = take_strips(p, g);
	for (unsigned int i = g->first; ret == 0 && i < g->end; i++)
		ret = add_single(p, g, i);
	return ret;
}

/* The group that begins with place i. */
static struct group group_at(const struct patch *patch, unsigned int i)
{
	const struct patch_site *s = &patch->site[patch->place[i].site];
	struct group g = {
		.first = i, .end = i, .row = s->offset / patch->stride, .h = s->h, .w = s->w};

	for (; g.end < patch->det.sites; g.end++) {
		s = &patch->site[patch->place[g.end].site];
		if (s->offset / patch->stride != g.row || s->h != g.h || s->w != g.w)
			break;
	}
	return g;
}

/* What holds for places and jobs of every kind. */
static void finish(struct patch *patch)
{
	for (unsigned int i = 0; i < patch->det.sites; i++) {
		const struct patch_site *site = &patch->site[patch->place[i].site];
		int64_t total = 0;

		for (size_t k = 0;
			site->weights != NULL && k < (size_t)site->h * patch_row(site->w); k++)
			total += site->weights[k];
		if (site->weights == NULL)
			total = (int64_t)site->h * site->w;
		if (patch->counting)
			total = 0;
		patch->bias[i] = site->constant + total * PATCH_BIAS;
		patch->bias32[i] = (int32_t)(uint32_t)patch->bias[i];
	}
	for (unsigned int j = 0; j < patch->jobs; j++) {
		struct patch_job *job = &patch->job[j];
		uint32_t site = patch->place[job->first].site;

		for (unsigned int i = 1; i < job->count; i++)
			job->in_order &= patch->place[job->first + i].site == site + i;
	}
}

static bool alike(const struct patch *patch, const struct patch_job *a, const struct patch_job *b)
{
	return a->kind == b->kind && a->h == b->h && a->w == b->w && a->count == b->count &&
	       a->width == b->width && a->weights == b->weights && a->pitch == b->pitch &&
	       a->split == b->split && b->in_order &&
	       patch->place[b->first].site == patch->place[a->first].site + a->count;
}

/* Strips that a kernel takes together, for instance those of a grid. */
static void find_alike(struct patch *patch)
{
	for (unsigned int j = patch->jobs; j-- > 0;) {
		struct patch_job *job = &patch->job[j];

		job->alike = 1;
		if (job->kind != PATCH_SINGLE && job->in_order && !patch->det.wide &&
			j + 1 < patch->jobs && alike(patch, job, job + 1))
			job->alike += job[1].alike;
	}
}

static int allocate(struct planner *p, unsigned int sites)
{
	for (int i = 0; i < PATCH_STRIP_SITE; i++)
		p->ones[i] = 1;
	p->chain = malloc(sites * sizeof(p->chain[0]));
	p->member = malloc(sites * sizeof(p->member[0]));
	p->count = malloc(sites * sizeof(p->count[0]));
	p->kept = malloc(sites * sizeof(p->kept[0]));
	p->rows = malloc(PATCH_STRIP_ROWS * PATCH_STRIP_PIXELS * sizeof(p->rows[0]));
	if (p->chain == NULL || p->member == NULL || p->count == NULL || p->kept == NULL ||
		p->rows == NULL)
		return -ENOMEM;
	return 0;
}

int patch_plan(struct patch *patch, struct patch_store *store)
{
	struct planner p = {.patch = patch, .store = store};
	int ret = allocate(&p, patch->det.sites);
	struct group g = {0};

	while (ret == 0 && g.end < patch->det.sites) {
		g = group_at(patch, g.end);
		ret = plan_group(&p, &g);
	}
	if (ret == 0) {
		finish(patch);
		find_alike(patch);
	}
	free(p.chain);
	free(p.member);
	free(p.count);
	free(p.kept);
	free(p.rows);
	return ret;
}
