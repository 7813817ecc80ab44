/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/sidecar.h"

#define REST 10 /* times what one writing takes, until the next */

static bool make_room(struct dip_sidecar *c)
{
	size_t room = c->room == 0 ? 16 : 2 * c->room;
	struct dip_nexus_segment *more;

	if (c->segments < c->room)
		return true;
	more = realloc(c->segment, room * sizeof(*more));
	if (more == NULL)
		return false;
	c->segment = more;
	c->room = room;
	return true;
}

/* The numbers of a raw segment's frames, which are nowhere else once it is closed. */
static const uint64_t *keep_numbers(const struct dip_segment *s)
{
	uint64_t *seq = malloc(s->committed * sizeof(*seq));

	if (seq != NULL)
		memcpy(seq, s->seq, s->committed * sizeof(*seq));
	return seq;
}

int dip_sidecar_closing(struct dip_sidecar *c, const struct dip_segment *s)
{
	struct dip_nexus_segment note = {.records = 0};

	if (s->committed == 0 || !make_room(c))
		return -1;
	note.name = strdup(strrchr(s->path, '/') + 1);
	note.seq = c->conf->npy ? NULL : keep_numbers(s);
	if (note.name == NULL) {
		free((void *)note.seq);
		return -1;
	}
	c->segment[c->segments] = note;
	return c->segments++;
}

void dip_sidecar_closed(struct dip_sidecar *c, int place, const struct dip_segment *s)
{
	if (place < 0 || s->condemned || s->gone)
		return;
	c->segment[place].records = s->durable;
	c->dirty = true;
}

static void forget(struct dip_nexus_segment *s)
{
	free((void *)s->name);
	free((void *)s->seq);
}

static bool is_gone(const struct dip_sidecar *c, const struct dip_nexus_segment *s)
{
	char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", c->conf->dir, s->name);
	return access(path, F_OK) < 0 && errno == ENOENT;
}

/* Whoever moves segments away during a run that is long enough wants neither zeros in their place, nor
 * to have them remembered for ever. */
static void forget_gone(struct dip_sidecar *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->segments; i++)
		if (is_gone(c, &c->segment[i]))
			forget(&c->segment[i]);
		else
			c->segment[kept++] = c->segment[i];
	c->segments = kept;
}

int dip_sidecar_write(struct dip_sidecar *c, bool now, struct dip_error *err)
{
	uint64_t start = c->conf->files->now_ns(), end;
	struct dip_nexus_run run;
	int ret;

	if (!c->dirty || (!now && start < c->next_ns))
		return 0;
	forget_gone(c);
	run = (struct dip_nexus_run){
		.folder = c->conf->dir,
		.npy = c->conf->npy,
		.width = c->conf->width,
		.height = c->conf->height,
		.stride = dip_segment_stride(c->conf),
		.segment = c->segment,
		.segments = c->segments,
	};
	ret = dip_nexus_write(&run, err);
	end = c->conf->files->now_ns();
	c->next_ns = end + REST * (end - start);
	c->dirty = ret < 0;
	return ret;
}

void dip_sidecar_free(struct dip_sidecar *c)
{
	for (size_t i = 0; i < c->segments; i++)
		forget(&c->segment[i]);
	free(c->segment);
	*c = (struct dip_sidecar){0};
}
