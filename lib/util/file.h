/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What is made, less the umask: nobody but the owner and the group sees frames and decisions. */
#define DIP_FILE_MODE 0640
#define DIP_FOLDER_MODE 0750

/* Write all len bytes at offset of the file. Returns 0 or a negative errno; part of them may be
 * written then. */
int dip_write_at(int fd, const void *buf, size_t len, uint64_t offset);
