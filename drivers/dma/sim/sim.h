/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to dma_sim: an atom array seen by a camera.
 *
 *	lattice.c  which atoms are there, and where their spots are
 *	optics.c   the photoelectrons of a frame
 *	camera.c   what the camera makes of them
 *	truth.c    writes down which atoms were there
 *
 * Frame k is a function of the seed and of k. */

#include "dma/source.h"
#include "dma/store.h"
#include "random/random.h"

struct sim {
	/* arguments */
	int64_t width, height, frames, cycle, seed;
	char *truth;
	int64_t rows, cols;
	double origin_row, origin_col, col_step_row, col_step_col, row_step_row, row_step_col;
	double drift_row, drift_col, drift_period;
	double fill, survival, loss;
	int64_t reload;
	double photons, sigma, crosstalk, background;
	char *camera;
	double offset, offset_spread, gain, gain_spread, em_gain, cic;
	double read_noise, read_noise_spread;

	uint32_t sites, pixels;
	struct dip_store store; /* the cycle of frames rendered in advance */
	struct sim_camera *cam;
	struct sim_truth *book; /* NULL: none wanted */
};

/* What random numbers are for. */
enum sim_stream { SIM_ATOMS, SIM_LIGHT, SIM_CAMERA, SIM_MAPS };

/* The frame that is seen as number seq: they may come again and again. */
static inline uint64_t sim_frame(const struct sim *s, uint64_t seq)
{
	if (s->frames > 0)
		seq %= s->frames;
	return s->cycle > 0 ? seq % s->cycle : seq;
}

/* An atom in a frame: 0 when there is none at the begin of the exposure, else the share of the
 * exposure during which there is one. site: row by row. */
double sim_atom(const struct sim *s, uint64_t frame, uint32_t site);

/* The same with what the neighbours add. */
double sim_brightness(const struct sim *s, uint64_t frame, uint32_t site);

/* The centre of a site's spot, in pixels; pixel centres are whole numbers. */
void sim_place(const struct sim *s, uint64_t frame, uint32_t site, double *row, double *col);

/* Photoelectrons of each pixel: background in all, and the spots. */
void sim_expose(const struct sim *s, uint64_t frame, double background, uint16_t *pixels);

struct sim_camera; /* its maps and tables */

/* Returns 0 or a negative errno with *err. */
int sim_camera_create(const struct sim *s, struct sim_camera **camera, struct dip_error *err);
void sim_camera_free(struct sim_camera *camera); /* NULL is allowed */

/* Render a frame. Any thread. */
void sim_render(const struct sim *s, uint64_t frame, uint16_t *pixels);

/* The file of the truth: made empty at once, removed by free when nothing was ever written. A
 * thread follows next_seq and writes a row for every frame that was due; stop writes the rest. */
int sim_truth_create(const struct sim *s, struct sim_truth **book, struct dip_error *err);
int sim_truth_start(struct sim_truth *book, const uint64_t *next_seq);
void sim_truth_stop(struct sim_truth *book);
void sim_truth_free(struct sim_truth *book); /* NULL is allowed */
