/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "sim.h"

/* Sites are loaded anew every reload frames. An atom is lost during an exposure with probability
 * loss, and between that exposure and the next with 1 - survival: so it is there at the begin of
 * exposure j after loading with probability p^j, p = (1 - loss) survival. One uniform number u
 * decides for all j at once: there while u < p^j, and gone in the course of exposure j when
 * p^j (1 - loss) <= u. */
double sim_atom(const struct sim *s, uint64_t frame, uint32_t site)
{
	uint64_t j = frame % s->reload;
	double u, there;
	uint32_t words[4];

	dip_random_words(s->seed, frame / s->reload, SIM_ATOMS, site, words);
	if (dip_uniform_of(words[0]) >= s->fill)
		return 0;
	u = dip_uniform_of(words[1]);
	there = j > 0 ? pow((1 - s->loss) * s->survival, j) : 1;
	if (u >= there)
		return 0;
	/* Within the part of u that stands for this moment, all moments are equally likely; that it
	 * is none at all, and the atom not there, has no probability. */
	if (u >= there * (1 - s->loss))
		return (there - u) / (there * s->loss);
	return 1;
}

double sim_brightness(const struct sim *s, uint64_t frame, uint32_t site)
{
	double sum = 0;

	if (s->crosstalk > 0) {
		uint32_t col = site % s->cols;

		if (col > 0)
			sum += sim_atom(s, frame, site - 1);
		if (col + 1 < s->cols)
			sum += sim_atom(s, frame, site + 1);
		if (site >= s->cols)
			sum += sim_atom(s, frame, site - s->cols);
		if (site + s->cols < s->sites)
			sum += sim_atom(s, frame, site + s->cols);
	}
	return sim_atom(s, frame, site) + s->crosstalk * sum;
}

void sim_place(const struct sim *s, uint64_t frame, uint32_t site, double *row, double *col)
{
	double i = site / s->cols, j = site % s->cols,
	       sway = sin(2 * M_PI * (frame / s->drift_period));

	*row = s->origin_row + i * s->row_step_row + j * s->col_step_row + s->drift_row * sway;
	*col = s->origin_col + i * s->row_step_col + j * s->col_step_col + s->drift_col * sway;
}
