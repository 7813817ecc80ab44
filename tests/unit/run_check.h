/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What must hold of a run's files whatever has happened, a loss of power too, by the project's own
 * reader and recover, against the frames that rig.h makes:
 *
 *	- every whole line of an index is the line of an exact record;
 *	- only a segment of whose frames none is durable may lack its header;
 *	- recover finds every record that is whole, and accepts no other; the result verifies, and a
 *	  second recover changes nothing;
 *	- there are at least as many frames as the program had called durable;
 *	- a next run starts beside it as if nothing had happened.
 *
 * Anything else is a failed assertion. */

struct run_check {
	char folder[4000]; /* the run is in run/ there; left as it may come out */
	uint64_t claimed;  /* frames that the program had called durable */
	bool complete;     /* all has ended well: each of them has its line */
	uint64_t whole;    /* what it then finds: different frames that are whole */
	/* so far */
	uint64_t frames, lines, older, twice, condemned, headerless;
};

void run_check(struct run_check *check);
