/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The part of DPDK's driver interface that a vdev driver needs, declared here because Debian's
 * libdpdk-dev does not ship DPDK's own dev_driver.h. Used only when the compiler does not find the
 * real one. The layouts are those of DPDK 22.11 to 25.03. */

#include <rte_dev.h>
#include <rte_tailq.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "drivers/sdk knows DPDK 22.11 and later"
#endif

struct rte_driver {
	RTE_TAILQ_ENTRY(rte_driver) next;
	const char *name;
	const char *alias;
};

struct rte_device {
	RTE_TAILQ_ENTRY(rte_device) next;
	const char *name;
	const char *bus_info;
	const struct rte_driver *driver;
	const struct rte_bus *bus;
	int numa_node;
	struct rte_devargs *devargs;
};
