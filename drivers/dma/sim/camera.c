/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* What differs from pixel to pixel of a CMOS camera. */
struct pixel_map {
	float offset;     /* counts */
	float gain;       /* counts an electron */
	float read_noise; /* counts */
};

enum kind { POISSON, EMCCD, CMOS };

struct sim_camera {
	enum kind kind;
	double offset, gain, read_noise; /* as asked for, or as is typical */
	struct pixel_map map[];
};

static const struct {
	const char *name;
	enum kind kind;
	double offset, gain, read_noise; /* typical: counts, counts an electron, electrons */
} cameras[] = {
	{"poisson", POISSON, 0, 1, 0},
	{"emccd", EMCCD, 500, 0.2, 50},
	{"qcmos", CMOS, 200, 9.3, 0.3},
	{"scmos", CMOS, 100, 2.2, 1.6},
};

static void make_map(const struct sim *s, struct sim_camera *c)
{
	struct dip_random r;

	dip_random_init(&r, s->seed, 0, SIM_MAPS);
	for (uint32_t i = 0; i < s->pixels; i++) {
		double gain = c->gain * (1 + s->gain_spread * dip_random_normal(&r));

		c->map[i].offset = c->offset + s->offset_spread * dip_random_normal(&r);
		c->map[i].gain = RTE_MAX(gain, 0.0);
		/* Log-normal: few pixels are much noisier than most. */
		c->map[i].read_noise =
			c->gain * c->read_noise * exp(s->read_noise_spread * dip_random_normal(&r));
	}
}

int sim_camera_create(const struct sim *s, struct sim_camera **out, struct dip_error *err)
{
	unsigned int i = 0;
	struct sim_camera *c;

	while (strcmp(cameras[i].name, s->camera) != 0)
		i++;
	c = malloc(sizeof(*c) + (cameras[i].kind == CMOS ? s->pixels * sizeof(c->map[0]) : 0));
	if (c == NULL)
		return dip_fail(err, ENOMEM, "no memory for the camera's maps");
	c->kind = cameras[i].kind;
	c->offset = s->offset >= 0 ? s->offset : cameras[i].offset;
	c->gain = s->gain > 0 ? s->gain : cameras[i].gain;
	c->read_noise = s->read_noise >= 0 ? s->read_noise : cameras[i].read_noise;
	if (c->kind == CMOS)
		make_map(s, c);
	*out = c;
	return 0;
}

void sim_camera_free(struct sim_camera *c)
{
	free(c);
}

static uint16_t digitise(double counts)
{
	if (counts <= 0)
		return 0;
	return counts < UINT16_MAX ? lrint(counts) : UINT16_MAX;
}

/* The register multiplies n electrons by chance at each of many stages: what comes out is gamma
 * distributed with shape n (Basden, Haniff, Mackay: Photon counting strategies with low-light-level
 * CCDs; MNRAS 345, 2003). */
static void read_emccd(
	const struct sim *s, const struct sim_camera *c, struct dip_random *r, uint16_t *pixels)
{
	for (uint32_t i = 0; i < s->pixels; i++) {
		double electrons = c->read_noise * dip_random_normal(r);

		if (pixels[i] > 0)
			electrons += s->em_gain * dip_random_gamma(r, pixels[i]);
		pixels[i] = digitise(c->offset + c->gain * electrons);
	}
}

static void read_cmos(
	const struct sim *s, const struct sim_camera *c, struct dip_random *r, uint16_t *pixels)
{
	for (uint32_t i = 0; i < s->pixels; i++) {
		const struct pixel_map *m = &c->map[i];

		pixels[i] = digitise(
			m->offset + m->gain * pixels[i] + m->read_noise * dip_random_normal(r));
	}
}

void sim_render(const struct sim *s, uint64_t frame, uint16_t *pixels)
{
	const struct sim_camera *c = s->cam;
	struct dip_random r;

	/* Electrons that the clocks induce are multiplied as those of the light are. */
	sim_expose(s, frame, s->background + (c->kind == EMCCD ? s->cic : 0), pixels);
	dip_random_init(&r, s->seed, frame, SIM_CAMERA);
	if (c->kind == EMCCD)
		read_emccd(s, c, &r, pixels);
	else if (c->kind == CMOS)
		read_cmos(s, c, &r, pixels);
	else if (c->gain != 1 || c->offset != 0)
		for (uint32_t i = 0; i < s->pixels; i++)
			pixels[i] = digitise(c->offset + c->gain * pixels[i]);
}
