/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Private to lib/nexus: what is put where in the file. */

#include <hdf5.h>

#include "nexus/nexus.h"

/* Write everything into an open file. Negative: an HDF5 call failed, the error stack tells. */
herr_t dip_nexus_layout(hid_t file, const struct dip_nexus_run *run);

uint64_t dip_nexus_records(const struct dip_nexus_run *run);
