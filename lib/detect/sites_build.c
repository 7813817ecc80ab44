/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "detect/sites_impl.h"

static const struct patch_weights *find_weights(const struct sites_reader *r, const char *name)
{
	for (unsigned int i = 0; i < r->weights_count; i++)
		if (strcmp(r->weights[i].name, name) == 0)
			return &r->weights[i];
	return NULL;
}

static int fail_weights(
	struct sites_reader *r, const struct fields *f, const char *what, const char *name)
{
	char where[512], known[400] = "there is none";
	size_t used = 0;

	for (unsigned int i = 0; i < r->weights_count && used < sizeof(known) - 80; i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s\"%.60s\"",
			i > 0 ? ", " : "", r->weights[i].name);
	return dip_fail(r->err, EINVAL,
		"%s: %s: found weights = \"%.100s\", expected one of the weights group (%s), or "
		"\"\" for "
		"ones",
		sites_where(r, f->line, where, sizeof(where)), what, name, known);
}

int site_shape(struct sites_reader *r, const struct fields *f, const char *what, int64_t *h,
	int64_t *w, const struct patch_weights **weights)
{
	const char *name = f->weights != NULL ? f->weights : r->defaults.weights;
	char where[512];

	*weights = NULL;
	if (name != NULL && name[0] != '\0') {
		*weights = find_weights(r, name);
		if (*weights == NULL)
			return fail_weights(r, f, what, name);
	}
	*h = fields_has(f, "h") ? f->h : *weights != NULL ? (*weights)->h : r->defaults.h;
	*w = fields_has(f, "w") ? f->w : *weights != NULL ? (*weights)->w : r->defaults.w;
	if (*h == 0 || *w == 0)
		return dip_fail(r->err, EINVAL,
			"%s: %s: found no size, expected h and w (pixels) here, in defaults or of "
			"its "
			"weights",
			sites_where(r, f->line, where, sizeof(where)), what);
	if (*weights != NULL && (*h != (*weights)->h || *w != (*weights)->w))
		return dip_fail(r->err, EINVAL,
			"%s: %s: found a size of %" PRId64 "x%" PRId64
			", expected that of its weights "
			"\"%s\", %" PRId64 "x%" PRId64 "; leave out h and w",
			sites_where(r, f->line, where, sizeof(where)), what, *h, *w, name,
			(*weights)->h, (*weights)->w);
	if (*h * *w > DIP_SITE_PIXELS)
		return dip_fail(r->err, EINVAL,
			"%s: %s: found %" PRId64 "x%" PRId64 " = %" PRId64
			" pixels, expected at most %d; make the site smaller",
			sites_where(r, f->line, where, sizeof(where)), what, *h, *w, *h * *w,
			DIP_SITE_PIXELS);
	return 0;
}

static int check_inside(struct sites_reader *r, const struct fields *f, int64_t row, int64_t col,
	int64_t h, int64_t w, const char *what)
{
	char where[512];

	if (row >= 0 && col >= 0 && row + h <= r->conf->height && col + w <= r->conf->width)
		return 0;
	return dip_fail(r->err, EINVAL,
		"%s: %s: found a site of %" PRId64 "x%" PRId64 " at row %" PRId64 ", col %" PRId64
		", expected one inside the frame of %" PRIu32 " x %" PRIu32
		"; move it or make it smaller",
		sites_where(r, f->line, where, sizeof(where)), what, h, w, row, col,
		r->conf->height, r->conf->width);
}

/* A value of the site's own, or of defaults, or of the pois group. */
#define PICK(key, otherwise)                                                                       \
	(fields_has(f, #key)                     ? f->key                                          \
		: fields_has(&r->defaults, #key) ? r->defaults.key                                 \
						 : (otherwise))

static bool own_lambda(const struct fields *f)
{
	return fields_has(f, "lambda_empty") || fields_has(f, "lambda_occ");
}

/* The threshold that the lambdas ask for. */
static int from_lambdas(
	struct sites_reader *r, const struct fields *f, const char *what, struct dip_site *site)
{
	const struct dip_prior *p = r->conf->prior;
	const struct dip_prior prior = {
		.lambda_empty = PICK(lambda_empty, p->lambda_empty),
		.lambda_occ = PICK(lambda_occ, p->lambda_occ),
		.fill = PICK(fill, p->fill),
		.fp_target = PICK(fp_target, p->fp_target),
		.max_k = p->max_k,
	};
	struct dip_threshold threshold;
	char where[512], group[800];
	int ret;

	snprintf(group, sizeof(group),
		"%s: %.200s: ", sites_where(r, f->line, where, sizeof(where)), what);
	ret = dip_threshold_poisson(&prior, group, &threshold, r->err);
	if (ret < 0)
		return ret;
	site->lambda_empty = prior.lambda_empty;
	site->lambda_occ = prior.lambda_occ;
	site->threshold = (int64_t)threshold.t;
	site->false_positive = threshold.false_positive;
	site->false_negative = threshold.false_negative;
	return 0;
}

static int set_threshold(struct sites_reader *r, const struct fields *f,
	const struct patch_weights *weights, const char *what, struct dip_site *site)
{
	bool own = fields_has(f, "threshold");
	bool given = own || (!own_lambda(f) && fields_has(&r->defaults, "threshold"));
	char where[512];

	if (!given && weights != NULL)
		return dip_fail(r->err, EINVAL,
			"%s: %s: found weights \"%s\" %s, expected a threshold: a weighted sum is "
			"no Poisson count, so that no threshold follows from mean counts; "
			"dma-image-calibrate measures it",
			sites_where(r, f->line, where, sizeof(where)), what, weights->name,
			own_lambda(f) ? "with lambda_empty, lambda_occ" : "without a threshold");
	if (!given)
		return from_lambdas(r, f, what, site);
	site->threshold = own ? f->threshold : r->defaults.threshold;
	if (fields_has(f, "lambda_empty"))
		site->lambda_empty = f->lambda_empty;
	if (fields_has(f, "lambda_occ"))
		site->lambda_occ = f->lambda_occ;
	if (weights == NULL && site->threshold > 0 && site->lambda_empty > 0 &&
		site->lambda_occ > site->lambda_empty) {
		site->false_positive =
			dip_poisson_at_least((uint64_t)site->threshold, site->lambda_empty);
		site->false_negative =
			dip_poisson_below((uint64_t)site->threshold, site->lambda_occ);
	}
	return 0;
}

/* A threshold that every sum reaches, or none, decides nothing. */
static int check_reach(struct sites_reader *r, const struct fields *f,
	const struct patch_weights *weights, const char *what, const struct dip_site *site)
{
	int64_t least = weights != NULL ? weights->least * UINT16_MAX : 0;
	int64_t most = (weights != NULL ? weights->most : (int64_t)site->h * site->w) * UINT16_MAX;
	char where[512];

	if (!r->conf->plain || (site->threshold > least && site->threshold <= most))
		return 0;
	return dip_fail(r->err, EINVAL,
		"%s: %s: found a threshold of %" PRId64 ", expected %" PRId64 " to %" PRId64
		": the sums of the site are from %" PRId64 " to %" PRId64
		", so that it would always have the same answer; set another one",
		sites_where(r, f->line, where, sizeof(where)), what, site->threshold, least + 1,
		most, least, most);
}

int site_add(struct sites_reader *r, const struct fields *f, int64_t row, int64_t col,
	const char *what, const char *name)
{
	const struct patch_weights *weights = NULL;
	struct dip_site site = {.name = name,
		.lambda_empty = NAN,
		.lambda_occ = NAN,
		.false_positive = NAN,
		.false_negative = NAN};
	int64_t h = 0, w = 0;
	int ret = site_shape(r, f, what, &h, &w, &weights);

	if (ret == 0)
		ret = check_inside(r, f, row, col, h, w, what);
	if (ret < 0)
		return ret;
	site.row = (uint16_t)row;
	site.col = (uint16_t)col;
	site.h = (uint16_t)h;
	site.w = (uint16_t)w;
	site.weights = weights != NULL ? weights->values : NULL;
	ret = set_threshold(r, f, weights, what, &site);
	if (ret == 0)
		ret = check_reach(r, f, weights, what, &site);
	if (ret < 0)
		return ret;
	if (fields_has(f, "false_positive"))
		site.false_positive = f->false_positive;
	if (fields_has(f, "false_negative"))
		site.false_negative = f->false_negative;
	/* They were counted before they were read. */
	if (r->sites.count == r->room)
		return dip_fail(r->err, EINVAL, "%s: %s: found more sites than the %u counted",
			r->conf->file, what, r->room);
	r->sites.site[r->sites.count++] = site;
	return 0;
}
