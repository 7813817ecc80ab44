/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "frame/frame.h"

/* No pixel of a slab changes between its publication and its last release. A build with
 * -Dcheck_frames=true looks: a checksum is taken at publication and taken again by each consumer, when
 * it receives the frame and when it is done with it. Other builds spend nothing on it. What differs is
 * counted (frame_changes), and makes the run a failure. */

#ifndef DIP_CHECK_FRAMES
#define DIP_CHECK_FRAMES 0
#endif

void dip_frame_checksum(struct dip_frame *frame, uint32_t image_bytes);
void dip_frame_compare(const struct dip_frame *frame);

/* Has any comparison failed? Any thread. */
bool dip_frames_changed(void);

/* Before the frame is handed on for the first time, by the one that does it. */
static inline void dip_frame_publish(struct dip_frame *frame, uint32_t image_bytes)
{
	if (DIP_CHECK_FRAMES)
		dip_frame_checksum(frame, image_bytes);
}

/* By a thread that holds a reference of a published frame. */
static inline void dip_frame_verify(const struct dip_frame *frame)
{
	if (DIP_CHECK_FRAMES)
		dip_frame_compare(frame);
}
