/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>

#include "sim.h"

/* Below this mean most pixels get nothing from the background: throwing it photon by photon is
 * faster than asking every pixel. Both are the same distribution: a Poisson number of photons, each
 * thrown onto a pixel at random, is an independent Poisson number in every pixel. */
#define SPARSE_BELOW 0.2

static void add_one(uint16_t *pixel)
{
	*pixel += *pixel < UINT16_MAX;
}

static void throw_background(
	const struct sim *s, struct dip_random *r, double mean, uint16_t *pixels)
{
	uint64_t n = dip_random_poisson(r, mean * s->pixels);

	memset(pixels, 0, s->pixels * sizeof(*pixels));
	while (n-- > 0)
		add_one(&pixels[(uint64_t)dip_random_word(r) * s->pixels >> 32]);
}

static void draw_background(
	const struct sim *s, struct dip_random *r, double mean, uint16_t *pixels)
{
	struct dip_poisson_table table;

	if (mean > DIP_POISSON_TABLE_MAX) {
		for (uint32_t i = 0; i < s->pixels; i++)
			pixels[i] = RTE_MIN(dip_random_poisson(r, mean), (uint64_t)UINT16_MAX);
		return;
	}
	dip_poisson_table_init(&table, mean);
	for (uint32_t i = 0; i < s->pixels; i++)
		pixels[i] = dip_random_poisson_table(r, &table);
}

/* Each photon falls onto a place of a Gaussian spot: its pixel gets exactly the integral of the
 * spot over it, wherever between the pixels its centre is. What falls beside the frame is lost. */
static void throw_spot(
	const struct sim *s, struct dip_random *r, uint64_t frame, uint32_t site, uint16_t *pixels)
{
	uint64_t n = dip_random_poisson(r, s->photons * sim_brightness(s, frame, site));
	double row, col;

	sim_place(s, frame, site, &row, &col);
	while (n-- > 0) {
		double y = floor(row + 0.5 + s->sigma * dip_random_normal(r)),
		       x = floor(col + 0.5 + s->sigma * dip_random_normal(r));

		if (y >= 0 && y < s->height && x >= 0 && x < s->width)
			add_one(&pixels[(uint32_t)y * s->width + (uint32_t)x]);
	}
}

void sim_expose(const struct sim *s, uint64_t frame, double background, uint16_t *pixels)
{
	struct dip_random r;

	dip_random_init(&r, s->seed, frame, SIM_LIGHT);
	if (background < SPARSE_BELOW)
		throw_background(s, &r, background, pixels);
	else
		draw_background(s, &r, background, pixels);
	for (uint32_t i = 0; i < s->sites; i++)
		throw_spot(s, &r, frame, i, pixels);
}
