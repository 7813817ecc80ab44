/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Write all len bytes at offset of the file. Returns 0 or a negative errno; part of them may be
 * written then. */
int dip_write_at(int fd, const void *buf, size_t len, uint64_t offset);
