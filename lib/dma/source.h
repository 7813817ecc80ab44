/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "bus_vdev_driver.h"
#include "config/config.h"
#include "dma/dma.h"

/* The virtual camera behind every source that makes its frames itself: clock, seq, slabs, losses,
 * time stamps, counters and the rawdev PMD around them. A driver only says where pixels come from.
 * (A driver for real hardware implements the contract of dma.h itself.) */

struct dip_source_ops {
	STAILQ_ENTRY(dip_source_ops) next;
	const char *name; /* of the driver, dma_file; set by DIP_SOURCE_REGISTER */
	/* Its devargs: rows made with DIP_SOURCE_ARGUMENT. Values are stored in the private struct
	 * before open; strings in it belong to the library. */
	const struct dip_option *arguments;
	unsigned int argument_count;
	size_t private_size; /* bytes of zeroed memory, the private struct, given to all below */

	/* Look at the arguments and say what frames there will be in *info: possibly before EAL is
	 * there, and without any effect outside the private struct. Returns 0, or a negative errno
	 * with *err: -ENOTSUP for a path with something that another source may play. Main lcore. */
	int (*examine)(void *priv, struct dip_dma_info *info, struct dip_error *err);

	/* After it: make ready to deliver; NULL: it is. Returns 0 or a negative errno with *err. Main
	 * lcore. */
	int (*open)(void *priv, struct dip_dma_info *info, struct dip_error *err);

	/* Before a configuration takes effect; NULL: any is fine. Returns 0 or a negative errno. */
	int (*configure)(void *priv, const struct dip_dma_conf *conf);

	/* The device starts: frame 0 is due. next_seq, read atomically from then on, is the number of
	 * frames that were due so far. Returns 0 or a negative errno. stop: no queue is polled any
	 * more. Main lcore; NULL: nothing to do. */
	int (*start)(void *priv, const uint64_t *next_seq);
	void (*stop)(void *priv);

	/* Put the pixels of frame seq into the slab, height * width uint16_t. Called by the queues'
	 * threads at once, each with its own slab. Returns 0, or a negative errno: the device has
	 * failed. NULL: pixels are left as they are. */
	int (*fill)(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels);

	/* Called last, whatever examine and open returned; NULL: nothing to do. */
	void (*close)(void *priv);
};

/* A row of arguments: key is a field of the private struct, kind INT, FLOAT, BOOL, STRING or ENUM,
 * preset its default as text. .min, .max or .choices follow it. */
#define DIP_SOURCE_ARGUMENT(driver, private, key, kind, preset_, unit_, help_)                     \
	.name = #driver "." #key, .type = DIP_OPTION_##kind, .preset = preset_, .unit = unit_,     \
	.help = help_, .offset = offsetof(private, key)

void dip_source_register(struct dip_source_ops *ops);
void dip_source_list(FILE *out); /* a line each: name and arguments */

/* Print the arguments of every source as Markdown, one table a source. */
void dip_source_markdown(FILE *out);

/* Examine, before EAL is there, the device of that name (a driver's and a number) with those
 * arguments, NULL for none. Returns 0, or a negative errno with *err. Main lcore. */
int dip_source_examine(const char *device, const char *arguments, struct dip_dma_info *info,
	struct dip_error *err);

/* Find the source that plays what is at path: the first that knows an argument called so and accepts
 * it. Returns as above, and *driver, its name. */
int dip_source_choose(
	const char *path, const char **driver, struct dip_dma_info *info, struct dip_error *err);

/* "path=...", encoded for devargs; on the heap, NULL when there is no memory. */
char *dip_source_path(const char *path);

int dip_source_probe(struct rte_vdev_device *vdev, const struct dip_source_ops *ops);
int dip_source_remove(struct rte_vdev_device *vdev);

/* rte_rawdev_selftest: deliver one pass into a small pool and compare every byte and counter. The
 * device must be stopped, and is left unconfigured. */
int dip_source_selftest(uint16_t dev_id);

/* For the selftest: forget the configuration; the fill of a device. */
void dip_source_unconfigure(uint16_t dev_id);
int dip_source_expected(uint16_t dev_id, uint64_t seq, uint16_t *pixels);

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
