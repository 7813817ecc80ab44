/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "pipeline.h"

/* Keep the threads of this process off the CPUs of lcores that take or decide frames, where they may
 * use another one: those of the main lcore, of EAL, of telemetry and of the archive's files, and lcores
 * that only archive. A thread that may use no other CPU, as those lcores themselves, stays where it is.
 * Threads made later by these inherit it. Main lcore; all threads of the pipelines are there. */
void affinity_spare(const struct pipeline *pipelines, unsigned int count);
