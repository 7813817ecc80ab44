/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <errno.h>
#include <stdlib.h>

#include "frame/frame.h"

/* The frames that are ready to be written, in the order of their records: new ones come in at the
 * back, what an error sent back comes in again at the front. One thread. */
struct dip_waiting {
	struct dip_frame **frame;
	unsigned int room, first, count;
};

static inline int dip_waiting_create(struct dip_waiting *w, unsigned int room)
{
	*w = (struct dip_waiting){.frame = calloc(room, sizeof(*w->frame)), .room = room};
	return w->frame == NULL ? -ENOMEM : 0;
}

static inline void dip_waiting_free(struct dip_waiting *w)
{
	free(w->frame);
	w->frame = NULL;
}

/* Both: there must be room. */
static inline void dip_waiting_add(struct dip_waiting *w, struct dip_frame *frame)
{
	w->frame[(w->first + w->count++) % w->room] = frame;
}

static inline void dip_waiting_add_front(struct dip_waiting *w, struct dip_frame *frame)
{
	w->first = (w->first + w->room - 1) % w->room;
	w->frame[w->first] = frame;
	w->count++;
}

/* The first one, or NULL. */
static inline struct dip_frame *dip_waiting_take(struct dip_waiting *w)
{
	struct dip_frame *frame;

	if (w->count == 0)
		return NULL;
	frame = w->frame[w->first];
	w->first = (w->first + 1) % w->room;
	w->count--;
	return frame;
}
