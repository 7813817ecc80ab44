/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What Clang's analyser, which looks at one file at a time, cannot see in another one; scripts/analyse
 * includes this first. */
#include "util/error.h"

/* It returns a negative number, whatever it is given. */
#define dip_fail(...) (dip_fail(__VA_ARGS__), -1)
