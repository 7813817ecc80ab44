/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "rig.h"

/* Between rig.c and rig_files.c. */

/* The operations of the system, each at a gate, under the plan, and in the journal. */
extern const struct dip_file_ops rig_files;

/* How the next operation of this kind ends. */
ssize_t rig_outcome(enum rig_op op, ssize_t bytes);
