/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

/* ioprio_set(2), which glibc does not declare. */
#define DIP_IOPRIO_WHO_PROCESS 1
#define DIP_IOPRIO_REALTIME (1 << 13)

/* For a thread whose small writes the stream of records waits for. A scheduler of the disk that
 * sorts by place (mq-deadline) lets a write elsewhere wait for seconds behind such a stream: let
 * those of the calling thread pass. Without the privilege it goes as it goes. */
static inline void dip_disk_thread_first(void)
{
	syscall(SYS_ioprio_set, DIP_IOPRIO_WHO_PROCESS, 0, DIP_IOPRIO_REALTIME);
}
