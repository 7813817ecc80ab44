/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <rte_kvargs.h>

#include "bus_vdev_driver.h"
#include "dma/dma.h"

/* The virtual camera behind every source that makes its frames itself: clock, seq, slabs, losses,
 * time stamps, counters and the rawdev PMD around them. A driver only says where pixels come from.
 * (A driver for real hardware implements the contract of dma.h itself.) */

struct dip_source_ops {
	STAILQ_ENTRY(dip_source_ops) next;
	const char *name;             /* of the driver, dma_file; set by DIP_SOURCE_REGISTER */
	const char *const *arguments; /* devargs it knows, NULL at the end */
	size_t private_size;          /* bytes of zeroed memory given to open and the rest */

	/* Make ready to deliver: read the devargs, load, say what there is in *info. Returns 0 or a
	 * negative errno with *err; cleans up after itself. Main lcore. */
	int (*open)(void *priv, struct rte_kvargs *args, struct dip_dma_info *info,
		struct dip_error *err);

	/* Before a configuration takes effect; NULL: any is fine. Returns 0 or a negative errno. */
	int (*configure)(void *priv, const struct dip_dma_conf *conf);

	/* Put the pixels of frame seq into the slab, height * width uint16_t. Called by the queues'
	 * threads at once, each with its own slab. Returns 0, or a negative errno: the device has
	 * failed. NULL: pixels are left as they are. */
	int (*fill)(void *priv, uint64_t seq, uint16_t *pixels);

	void (*close)(void *priv); /* NULL: nothing to do */
};

void dip_source_register(struct dip_source_ops *ops);
void dip_source_list(FILE *out); /* a line each: name and arguments */

int dip_source_probe(struct rte_vdev_device *vdev, const struct dip_source_ops *ops);
int dip_source_remove(struct rte_vdev_device *vdev);

/* rte_rawdev_selftest: deliver one pass into a small pool and compare every byte and counter. The
 * device must be stopped, and is left unconfigured. */
int dip_source_selftest(uint16_t dev_id);

/* For the selftest: forget the configuration; the fill of a device. */
void dip_source_unconfigure(uint16_t dev_id);
int dip_source_expected(uint16_t dev_id, uint64_t seq, uint16_t *pixels);

/* An argument as an unsigned number, fallback when it is not given. Returns 0, or -EINVAL with
 * *err naming it. */
int dip_source_number(struct rte_kvargs *args, const char *key, uint64_t min, uint64_t max,
	uint64_t fallback, uint64_t *out, struct dip_error *err);

/* An argument as text with %XX decoded (devargs have no other way to carry a comma), on the heap;
 * NULL when it is not given. */
char *dip_source_text(struct rte_kvargs *args, const char *key);

/* id: the driver's name, and the prefix of its devices': dma_file -> --vdev=dma_file0,... */
#define DIP_SOURCE_REGISTER(id, ops)                                                               \
	static int id##_probe(struct rte_vdev_device *vdev)                                        \
	{                                                                                          \
		return dip_source_probe(vdev, &(ops));                                             \
	}                                                                                          \
	static struct rte_vdev_driver id##_driver = {                                              \
		.driver = {.name = #id},                                                           \
		.probe = id##_probe,                                                               \
		.remove = dip_source_remove,                                                       \
	};                                                                                         \
	static void __attribute__((constructor)) id##_register(void)                               \
	{                                                                                          \
		(ops).name = #id;                                                                  \
		dip_source_register(&(ops));                                                       \
		rte_vdev_register(&id##_driver);                                                   \
	}
