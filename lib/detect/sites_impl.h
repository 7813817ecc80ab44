/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/detect: what the readers of a sites file share. */

#include <libconfig.h>

#include "config/text.h"
#include "detect/sites_file.h"

/* Which groups know a key. */
enum { IN_SITE = 1, IN_LATTICE = 2, IN_DEFAULTS = 4, IN_FRAME = 8, IN_WEIGHTS = 16 };

/* What a group said. Bit i of set: key i of sites_fields.c was there. */
struct fields {
	char *name, *weights, *note;
	int64_t row, col, h, w, na, nb, threshold, width, height;
	double lambda_empty, lambda_occ, fp_target, fill;
	double false_positive, false_negative, goodness;
	double origin[2], a[2], b[2];
	uint64_t set;
	unsigned int line; /* of the group in the text */
};

/* A named patch of weights. */
struct patch_weights {
	const char *name;
	int64_t h, w;
	int16_t *values;     /* in the sites' store */
	int64_t least, most; /* the sums of the negative ones, of the positive ones */
};

struct sites_reader {
	const struct dip_sites_conf *conf;
	struct dip_config_text text;
	config_t config;
	struct dip_sites sites; /* as far as they are made */
	unsigned int room;      /* for so many */
	struct patch_weights *weights;
	unsigned int weights_count;
	struct fields defaults;
	struct dip_error *err;
};

/* Read a group's keys. what: "sites[3]", for messages. Returns 0 or a negative errno; the strings are
 * freed with fields_free in either case. */
int fields_read(struct sites_reader *r, const config_setting_t *group, unsigned int in,
	const char *what, struct fields *out);
void fields_free(struct fields *f);
/* Was the key there? One of the names of sites_fields.c. */
bool fields_has(const struct fields *f, const char *key);

/* A setting's true line in the text: libconfig counts in 16 bits. sites_lines numbers them all. */
void sites_lines(config_setting_t *root);
unsigned int sites_line(const config_setting_t *setting);

/* Start of a message: "FILE:LINE". */
const char *sites_where(const struct sites_reader *r, unsigned int line, char *buf, size_t size);

#define WHAT 240 /* bytes of what a message calls a site */

/* Read the group of named patches. */
int sites_weights(struct sites_reader *r, const config_setting_t *root);

/* One site at row, col from what its group says. what: as above, with the site's number and name.
 * name: in the sites' store. */
int site_add(struct sites_reader *r, const struct fields *f, int64_t row, int64_t col,
	const char *what, const char *name);

/* The size of a group's patches and their weights (NULL: ones). */
int site_shape(struct sites_reader *r, const struct fields *f, const char *what, int64_t *h,
	int64_t *w, const struct patch_weights **weights);
