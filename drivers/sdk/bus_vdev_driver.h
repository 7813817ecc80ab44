/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Drivers of the vdev bus: see dev_driver.h beside this file. */

#include <stddef.h>
#include <stdint.h>

#include <rte_bus_vdev.h>

#include "dev_driver.h"

struct rte_vdev_device {
	RTE_TAILQ_ENTRY(rte_vdev_device) next;
	struct rte_device device;
};

struct rte_vdev_driver {
	RTE_TAILQ_ENTRY(rte_vdev_driver) next;
	struct rte_driver driver;
	int (*probe)(struct rte_vdev_device *dev);
	int (*remove)(struct rte_vdev_device *dev);
	int (*dma_map)(struct rte_vdev_device *dev, void *addr, uint64_t iova, size_t len);
	int (*dma_unmap)(struct rte_vdev_device *dev, void *addr, uint64_t iova, size_t len);
	uint32_t drv_flags;
};

_Static_assert(offsetof(struct rte_vdev_device, device) == 2 * sizeof(void *), "vdev layout");
_Static_assert(offsetof(struct rte_vdev_driver, probe) == 6 * sizeof(void *), "vdev layout");

void rte_vdev_register(struct rte_vdev_driver *driver);
