/* SPDX-License-Identifier: BSD-3-Clause */

/* dma_sim: an atom array seen by a camera, and the truth about it. */

#include <errno.h>
#include <inttypes.h>

#include "sim.h"

#define SITES_MAX 100000

#define ARGUMENT(...) DIP_SOURCE_ARGUMENT(dma_sim, struct sim, __VA_ARGS__)
#define INT(key, preset, low, high, unit, help)                                                    \
	{                                                                                          \
		ARGUMENT(key, INT, preset, unit, help), .min = low, .max = high                    \
	}
#define FLOAT(key, preset, low, high, unit, help)                                                  \
	{                                                                                          \
		ARGUMENT(key, FLOAT, preset, unit, help), .min = low, .max = high                  \
	}

static const struct dip_option arguments[] = {
	INT(width, "300", 1, 8192, "pixels", "width of a frame"),
	INT(height, "300", 1, 8192, "pixels", "height of a frame"),
	INT(frames, "0", 0, 1e15, "frames",
		"frames in one pass, the same in each; 0: endless, all different"),
	INT(cycle, "0", 0, 1e6, "frames",
		"render so many frames in advance and deliver them over and over; 0: render each"),
	INT(seed, "1", 0, 9007199254740992.0, "", "frame k depends on seed and k alone"),
	{ARGUMENT(truth, STRING, "", "",
		"a new .npy file for which atoms were there: a row (seq, occupied) for each frame "
		"due")},
	INT(rows, "20", 1, 1000, "sites", "rows of the lattice"),
	INT(cols, "20", 1, 1000, "sites", "sites in a row"),
	FLOAT(origin_row, "54.5", -8192, 8192, "pixels", "row of the first site's centre"),
	FLOAT(origin_col, "54.5", -8192, 8192, "pixels", "column of it"),
	FLOAT(col_step_row, "0.0", -8192, 8192, "pixels",
		"from a site to the next in its row: rows"),
	FLOAT(col_step_col, "10.0", -8192, 8192, "pixels", "and columns"),
	FLOAT(row_step_row, "10.0", -8192, 8192, "pixels", "from a row to the next: rows"),
	FLOAT(row_step_col, "0.0", -8192, 8192, "pixels", "and columns"),
	FLOAT(drift_row, "0.0", -8192, 8192, "pixels", "how far the lattice sways: rows"),
	FLOAT(drift_col, "0.0", -8192, 8192, "pixels", "and columns"),
	FLOAT(drift_period, "1000.0", 1, 1e15, "frames", "to sway there and back"),
	FLOAT(fill, "0.87", 0, 1, "", "probability that a site is loaded with an atom"),
	INT(reload, "1", 1, 1e15, "frames", "from one loading of all sites to the next"),
	FLOAT(survival, "1.0", 0, 1, "",
		"probability that an atom is still there in the next frame"),
	FLOAT(loss, "0.0", 0, 1, "",
		"probability that an atom is lost during a frame, at any moment of it"),
	FLOAT(photons, "10.0", 0, 1e6, "electrons", "mean photoelectrons of an atom in a frame"),
	FLOAT(sigma, "1.5", 1e-3, 1e3, "pixels", "standard deviation of an atom's spot"),
	FLOAT(crosstalk, "0.0", 0, 1, "",
		"light of an atom that appears at each of its four neighbour sites"),
	FLOAT(background, "0.005", 0, 1e5, "electrons",
		"mean photoelectrons of a pixel without an atom"),
	{ARGUMENT(camera, ENUM, "poisson", "",
		 "photon counting, electron multiplying CCD, or CMOS with a map of pixels"),
		.choices = "poisson|emccd|qcmos|scmos"},
	FLOAT(offset, "-1.0", -1, 65535, "counts", "of a pixel without light; -1: typical"),
	FLOAT(gain, "0.0", 0, 1e4, "counts/electron", "at the output; 0: typical"),
	FLOAT(read_noise, "-1.0", -1, 1e4, "electrons", "at the output; -1: typical"),
	FLOAT(em_gain, "300.0", 1, 1e4, "", "emccd: mean multiplication"),
	FLOAT(cic, "0.005", 0, 10, "electrons", "emccd: clock-induced charge of a pixel"),
	FLOAT(offset_spread, "1.0", 0, 1e4, "counts",
		"cmos: standard deviation of offset among pixels"),
	FLOAT(gain_spread, "0.01", 0, 1, "", "cmos: relative standard deviation of gain"),
	FLOAT(read_noise_spread, "0.2", 0, 3, "",
		"cmos: standard deviation of the logarithm of read noise"),
};

static void sim_close(void *priv)
{
	struct sim *s = priv;

	sim_truth_free(s->book);
	s->book = NULL;
	dip_store_free(&s->store);
	sim_camera_free(s->cam);
	s->cam = NULL;
}

static int render_cycle(struct sim *s, struct dip_error *err)
{
	int ret;

	if (s->cycle == 0)
		return 0;
	if (s->frames > 0)
		s->cycle = RTE_MIN(s->cycle, s->frames);
	ret = dip_store_create(
		&s->store, s->cycle, s->pixels * sizeof(uint16_t), dip_source_dma_memory(s), err);
	for (int64_t i = 0; ret == 0 && i < s->cycle; i++)
		sim_render(s, i, dip_store_frame(&s->store, i));
	return ret;
}

static int sim_examine(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct sim *s = priv;

	s->sites = s->rows * s->cols;
	s->pixels = s->width * s->height;
	if (s->sites > SITES_MAX)
		return dip_fail(err, EINVAL,
			"rows=%" PRId64 ", cols=%" PRId64 ": %" PRIu32
			" sites; expected at most %d",
			s->rows, s->cols, s->sites, SITES_MAX);
	info->width = s->width;
	info->height = s->height;
	info->frames = s->frames;
	info->max_queues = DIP_DMA_MAX_QUEUES;
	return 0;
}

static int sim_open(void *priv, struct dip_dma_info *info, struct dip_error *err)
{
	struct sim *s = priv;
	int ret = sim_camera_create(s, &s->cam, err);

	(void)info;
	if (ret == 0)
		ret = render_cycle(s, err);
	if (ret == 0 && s->truth[0] != '\0')
		ret = sim_truth_create(s, &s->book, err);
	return ret;
}

static int sim_start(void *priv, const uint64_t *next_seq)
{
	struct sim *s = priv;

	return s->book != NULL ? sim_truth_start(s->book, next_seq) : 0;
}

static void sim_stop(void *priv)
{
	struct sim *s = priv;

	if (s->book != NULL)
		sim_truth_stop(s->book);
}

static const uint16_t *sim_locate(const void *priv, uint64_t seq)
{
	const struct sim *s = priv;

	return s->cycle > 0 ? dip_store_frame(&s->store, sim_frame(s, seq)) : NULL;
}

static int sim_fill(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels)
{
	const struct sim *s = priv;

	(void)queue;
	sim_render(s, sim_frame(s, seq), pixels);
	return 0;
}

static struct dip_source_ops sim_ops = {
	.arguments = arguments,
	.argument_count = RTE_DIM(arguments),
	.private_size = sizeof(struct sim),
	.examine = sim_examine,
	.open = sim_open,
	.start = sim_start,
	.stop = sim_stop,
	.locate = sim_locate,
	.uncopied = "its frames are rendered right into the slabs; expected cycle=N, which "
		    "renders N in advance, or engine=auto",
	.fill = sim_fill,
	.close = sim_close,
};

DIP_SOURCE_REGISTER(dma_sim, sim_ops)
