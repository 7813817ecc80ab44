/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include "dma/source_impl.h"

/* dma_replay of a run (run.h), or of its first segment: it is opened, or refused by one line. What is
 * opened has numbers and moments that grow, in this pass and in later ones, and each frame can be read,
 * or is found to be damaged. */

#define FRAMES 64

static struct dip_source_ops *find_ops(void)
{
	struct dip_source_ops *ops;

	DIP_SOURCE_FOREACH(ops)
	{
		if (strcmp(ops->name, "dma_replay") == 0)
			return ops;
	}
	HOLDS(false);
	return NULL;
}

static void check_number(const struct dip_source_ops *ops, void *priv, uint64_t index)
{
	uint64_t seq = ops->number(priv, index), next = ops->number(priv, index + 1);

	HOLDS(next > seq);
	HOLDS(ops->index(priv, seq) == index && ops->index(priv, seq + 1) == index + 1);
	HOLDS(ops->index(priv, next) == index + 1);
}

static void check_moment(const struct dip_source_ops *ops, void *priv, uint64_t index)
{
	uint64_t seq = ops->number(priv, index);
	double due = ops->due_ns(priv, seq);

	HOLDS(due >= 0 && ops->due_ns(priv, ops->number(priv, index + 1)) >= due);
	/* Beyond that a double does not tell nanoseconds apart. */
	if (due < 0x1p40)
		HOLDS(ops->due_by(priv, due + 1) > seq);
	HOLDS(ops->due_by(priv, due + 1) >= ops->due_by(priv, due));
	ops->timestamp(priv, seq);
}

/* A pass far on, as far as numbers go. */
static uint64_t far_pass(const struct dip_source_ops *ops, void *priv, uint64_t frames)
{
	uint64_t span = ops->number(priv, frames) - ops->number(priv, 0);

	HOLDS(span >= 1);
	return span < UINT64_MAX / 4 / 1000000 ? 1000000 : UINT64_MAX / 4 / span;
}

static void check_frames(
	const struct dip_source_ops *ops, void *priv, const struct dip_dma_info *info)
{
	uint64_t frames = info->frames < FRAMES ? info->frames : FRAMES;
	/* Exactly what a frame takes: the sanitizers see what is written beyond. */
	uint16_t *pixels = malloc((size_t)info->width * info->height * sizeof(*pixels));
	int rc;

	HOLDS(pixels != NULL);
	for (uint64_t i = 0; i < frames; i++) {
		rc = ops->fill(priv, 0, ops->number(priv, i), pixels);
		HOLDS(rc == 0 || rc == -74 /* EBADMSG */);
	}
	free(pixels);
	for (uint64_t i = 0; i < 2 * frames; i++) {
		check_number(ops, priv, i);
		if (info->timed)
			check_moment(ops, priv, i);
	}
	check_number(ops, priv, far_pass(ops, priv, info->frames) * info->frames);
}

static void play(const struct dip_source_ops *ops, struct dip_source *s)
{
	struct dip_error err = {""};
	int rc = ops->examine(s->priv, &s->info, &err);

	if (rc == 0) {
		HOLDS(s->info.width >= 1 && s->info.height >= 1);
		rc = ops->open(s->priv, &s->info, &err);
	}
	if (rc < 0)
		check_refusal(rc, &err);
	else
		HOLDS(s->info.frames >= 1);
	if (rc == 0)
		check_frames(ops, s->priv, &s->info);
	ops->close(s->priv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct run *now = run_lay_out(data, size);
	const char *path =
		size % 2 == 1 && now->segment[0][0] != '\0' ? now->segment[0] : now->folder;
	const struct dip_source_ops *ops = find_ops();
	struct dip_error err = {""};
	struct dip_source *s;
	char text[8 * RUN_PATH];

	HOLDS(posix_memalign((void **)&s, RTE_CACHE_LINE_SIZE, sizeof(*s) + ops->private_size) ==
		0);
	memset(s, 0, sizeof(*s) + ops->private_size);
	s->ops = ops;
	snprintf(text, sizeof(text), "path=%s,width=%u,height=%u,direct=false,speed=%g", path,
		now->shape.width, now->shape.height, now->block > 0 ? now->block / 16. : 1);
	HOLDS(dip_source_arguments(s, text, &err) == 0);
	play(ops, s);
	dip_source_arguments_free(s);
	free(s);
	return 0;
}
