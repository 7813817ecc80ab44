/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "detect/sites_impl.h"

#define VERSION 1
#define TEXT_BYTES ((size_t)64 << 20)

static const char *const parts[] = {"version", "frame", "weights", "defaults", "lattices", "sites"};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static int check_parts(struct sites_reader *r, const config_setting_t *root)
{
	struct dip_option rows[PARTS];
	const struct dip_option_table table = {rows, PARTS};
	char where[512];

	for (size_t i = 0; i < PARTS; i++)
		rows[i] = (struct dip_option){.name = parts[i]};
	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned int)i);

		if (dip_option_find(&table, config_setting_name(s)) == NULL)
			return dip_fail(r->err, EINVAL,
				"%s: %.100s: unknown group; did you mean %s?",
				sites_where(r, sites_line(s), where, sizeof(where)),
				config_setting_name(s),
				dip_option_nearest(&table, config_setting_name(s))->name);
	}
	return 0;
}

static int check_version(struct sites_reader *r, const config_setting_t *root)
{
	const config_setting_t *s = config_setting_get_member(root, "version");
	char shown[DIP_OPTION_TEXT], where[512];

	if (s == NULL)
		return dip_fail(r->err, EINVAL,
			"%s: found no version, expected version = %d; is it a file of sites?",
			r->conf->file, VERSION);
	if (config_setting_type(s) == CONFIG_TYPE_INT && config_setting_get_int(s) == VERSION)
		return 0;
	dip_option_show_setting(s, shown, sizeof(shown));
	return dip_fail(r->err, EINVAL, "%s: version: found %s, expected %d",
		sites_where(r, sites_line(s), where, sizeof(where)), shown, VERSION);
}

static int check_frame(struct sites_reader *r, const config_setting_t *root)
{
	const config_setting_t *s = config_setting_get_member(root, "frame");
	struct fields f;
	char where[512];
	int ret;

	if (s == NULL)
		return 0;
	ret = fields_read(r, s, IN_FRAME, "frame", &f);
	if (ret < 0)
		return ret;
	if (!fields_has(&f, "width") || !fields_has(&f, "height"))
		return dip_fail(r->err, EINVAL, "%s: frame: found no %s, expected width and height",
			sites_where(r, f.line, where, sizeof(where)),
			fields_has(&f, "width") ? "height" : "width");
	if (f.width != r->conf->width || f.height != r->conf->height)
		return dip_fail(r->err, EINVAL,
			"%s: frame: found width = %" PRId64 ", height = %" PRId64
			", expected %" PRIu32 " and %" PRIu32
			" as the source has; the sites are of another camera or region: calibrate "
			"anew",
			sites_where(r, f.line, where, sizeof(where)), f.width, f.height,
			r->conf->width, r->conf->height);
	return 0;
}

static int read_defaults(struct sites_reader *r, const config_setting_t *root)
{
	const config_setting_t *s = config_setting_get_member(root, "defaults");

	return s != NULL ? fields_read(r, s, IN_DEFAULTS, "defaults", &r->defaults) : 0;
}

/* A name in the sites' store; NULL: no memory. */
static const char *keep_name(struct sites_reader *r, const char *name)
{
	char *kept = name[0] != '\0' ? dip_sites_store(&r->sites, strlen(name) + 1) : (char *)"";

	if (kept != NULL && name[0] != '\0')
		strcpy(kept, name);
	return kept;
}

static int read_site(struct sites_reader *r, const config_setting_t *s, int index)
{
	char what[WHAT], where[512];
	struct fields f;
	const char *name;
	int ret;

	snprintf(what, sizeof(what), "sites[%d]", index);
	ret = fields_read(r, s, IN_SITE, what, &f);
	if (ret == 0) {
		snprintf(what, sizeof(what), "sites[%d], site %u \"%.100s\"", index, r->sites.count,
			f.name != NULL ? f.name : "");
		name = keep_name(r, f.name != NULL ? f.name : "");
		if (name == NULL)
			ret = dip_fail(r->err, ENOMEM, "%s: out of memory", r->conf->file);
		else if (!fields_has(&f, "row") || !fields_has(&f, "col"))
			ret = dip_fail(r->err, EINVAL,
				"%s: %s: found no %s, expected row and col of its top left pixel",
				sites_where(r, f.line, where, sizeof(where)), what,
				fields_has(&f, "row") ? "col" : "row");
		else
			ret = site_add(r, &f, f.row, f.col, what, name);
	}
	fields_free(&f);
	return ret;
}

/* Top left pixel of a patch of `size` pixels around a centre: pixel centres are whole numbers. */
static int64_t corner(double centre, int64_t size)
{
	return (int64_t)floor(centre - (double)(size - 1) / 2 + 0.5);
}

static int lay_lattice(struct sites_reader *r, const struct fields *f, const char *lattice)
{
	const struct patch_weights *weights;
	char what[2 * WHAT], name[160] = "";
	int64_t h, w;
	int ret = site_shape(r, f, lattice, &h, &w, &weights);

	for (int64_t k = 0; ret == 0 && k < f->na * f->nb; k++) {
		int64_t i = k % f->na, j = k / f->na;
		double row = f->origin[0] + i * f->a[0] + j * f->b[0];
		double col = f->origin[1] + i * f->a[1] + j * f->b[1];
		const char *kept;

		if (f->name != NULL && f->name[0] != '\0')
			snprintf(name, sizeof(name), "%.100s[%" PRId64 ",%" PRId64 "]", f->name, i,
				j);
		snprintf(what, sizeof(what),
			"%s, site %u \"%s\" (i = %" PRId64 ", j = %" PRId64 ")", lattice,
			r->sites.count, name, i, j);
		kept = keep_name(r, name);
		ret = kept != NULL ? site_add(r, f, corner(row, h), corner(col, w), what, kept)
				   : dip_fail(r->err, ENOMEM, "%s: out of memory", r->conf->file);
	}
	return ret;
}

static int read_lattice(struct sites_reader *r, const config_setting_t *s, int index)
{
	static const char *const needed[] = {"origin", "a", "b", "na", "nb"};
	char what[WHAT], where[512];
	struct fields f;
	int ret;

	snprintf(what, sizeof(what), "lattices[%d]", index);
	ret = fields_read(r, s, IN_LATTICE, what, &f);
	for (size_t i = 0; ret == 0 && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!fields_has(&f, needed[i]))
			ret = dip_fail(r->err, EINVAL,
				"%s: %s: found no %s, expected origin, a, b (rows and columns) and "
				"na, "
				"nb (sites along a and b)",
				sites_where(r, f.line, where, sizeof(where)), what, needed[i]);
	if (ret == 0)
		ret = lay_lattice(r, &f, what);
	fields_free(&f);
	return ret;
}

/* A whole number however it is written, as the fields are read later; 1 for what is none, and more than
 * there may be for all that is too large. */
static int64_t whole_number(const config_setting_t *s, const char *key)
{
	const config_setting_t *member = config_setting_get_member(s, key);
	double value = 1;

	if (member != NULL && config_setting_type(member) == CONFIG_TYPE_FLOAT)
		value = config_setting_get_float(member);
	else if (member != NULL && config_setting_is_number(member))
		value = (double)config_setting_get_int64(member);
	return value >= 1 ? (int64_t)fmin(value, DIP_SITES_MAX + 1) : 1;
}

/* The sites of a lattice as far as it can be told; the checks come later. */
static int64_t lattice_count(const config_setting_t *s)
{
	return config_setting_is_group(s) ? whole_number(s, "na") * whole_number(s, "nb") : 1;
}

static int check_list(struct sites_reader *r, const config_setting_t *s)
{
	char where[512];

	if (s == NULL || config_setting_is_list(s))
		return 0;
	return dip_fail(r->err, EINVAL, "%s: %s: expected a list, %s = ( { ... }, { ... } );",
		sites_where(r, sites_line(s), where, sizeof(where)), config_setting_name(s),
		config_setting_name(s));
}

static int read_sites(struct sites_reader *r, const config_setting_t *root)
{
	const config_setting_t *lattices = config_setting_get_member(root, "lattices");
	const config_setting_t *singles = config_setting_get_member(root, "sites");
	int n_lattices = 0, n_singles = 0, ret = 0;
	int64_t count;

	if (check_list(r, lattices) < 0 || check_list(r, singles) < 0)
		return -EINVAL;
	n_lattices = lattices != NULL ? config_setting_length(lattices) : 0;
	n_singles = singles != NULL ? config_setting_length(singles) : 0;
	count = n_singles;
	for (int i = 0; i < n_lattices; i++)
		count += lattice_count(config_setting_get_elem(lattices, (unsigned int)i));
	if (count < 1 || count > DIP_SITES_MAX)
		return dip_fail(r->err, EINVAL,
			"%s: found %" PRId64 " sites, expected 1 to %d in lattices and sites",
			r->conf->file, count, DIP_SITES_MAX);
	r->sites.site = calloc((size_t)count, sizeof(r->sites.site[0]));
	if (r->sites.site == NULL)
		return dip_fail(r->err, ENOMEM, "%s: out of memory", r->conf->file);
	r->room = (unsigned int)count;
	for (int i = 0; ret == 0 && i < n_lattices; i++)
		ret = read_lattice(r, config_setting_get_elem(lattices, (unsigned int)i), i);
	for (int i = 0; ret == 0 && i < n_singles; i++)
		ret = read_site(r, config_setting_get_elem(singles, (unsigned int)i), i);
	return ret;
}

static int read_all(struct sites_reader *r)
{
	config_setting_t *root;
	char where[512];
	int ret;

	if (!config_read_string(&r->config, r->text.text))
		return dip_fail(r->err, EINVAL, "%s: %s; expected sites in libconfig's syntax",
			sites_where(r, (unsigned int)config_error_line(&r->config), where,
				sizeof(where)),
			config_error_text(&r->config));
	root = config_root_setting(&r->config); /* reading makes a new one */
	sites_lines(root);
	ret = check_parts(r, root);
	if (ret == 0)
		ret = check_version(r, root);
	if (ret == 0)
		ret = check_frame(r, root);
	if (ret == 0)
		ret = sites_weights(r, root);
	if (ret == 0)
		ret = read_defaults(r, root);
	if (ret == 0)
		ret = read_sites(r, root);
	return ret;
}

int dip_sites_load(const struct dip_sites_conf *conf, struct dip_sites *out, struct dip_error *err)
{
	struct sites_reader r = {.conf = conf,
		.err = err,
		.text = {.max_bytes = TEXT_BYTES, .max_lines = TEXT_BYTES, .kind = "sites file"}};
	int ret;

	config_init(&r.config);
	ret = dip_config_text_load(&r.text, conf->file, err);
	if (ret == 0)
		ret = read_all(&r);
	if (ret == 0)
		*out = r.sites;
	else
		dip_sites_free(&r.sites);
	fields_free(&r.defaults);
	free(r.weights);
	config_destroy(&r.config);
	dip_config_text_free(&r.text);
	return ret;
}
