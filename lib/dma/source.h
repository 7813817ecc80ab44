/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "bus_vdev_driver.h"
#include "config/config.h"
#include "dma/dma.h"

/* The virtual camera behind every source that makes its frames itself: clock, seq, slabs, losses,
 * time stamps, counters and the rawdev PMD around them. A driver only says where pixels come from.
 * (A driver for real hardware implements the contract of dma.h itself.) */

/* Transfers that go on while nobody waits for them: by a disk, by a copy engine. Each queue has its
 * own, touched by its thread alone, and up to depth of them at a time. */
#define DIP_FLIGHTS 256

struct dip_landed {
	unsigned int slot;
	/* 0; -EBADMSG: damaged, -EREMOTEIO: not copied, this frame is lost; else the device has failed */
	int result;
	/* TSC ticks that the transfer took, when it was not under way from its begin until now: the
	 * poll's own delay is not the device's. 0: it was. */
	uint64_t ticks;
};

struct dip_mover {
	unsigned int depth; /* 1..DIP_FLIGHTS */

	/* Begin to put the pixels of frame seq into the frame's slab; slot, below DIP_FLIGHTS, comes
	 * back when it has landed. flush: no more will be begun for now; may be NULL. A negative
	 * errno: it has landed with that. */
	int (*submit)(void *priv, uint16_t queue, unsigned int slot, uint64_t seq,
		struct dip_frame *frame);
	void (*flush)(void *priv, uint16_t queue);

	/* Say which have landed, in any order, up to max. Returns how many. */
	unsigned int (*reap)(
		void *priv, uint16_t queue, struct dip_landed *landed, unsigned int max);

	/* Look at one that has landed well, in order of seq, just before its frame is handed out: what
	 * reads the pixels is done here, so that they are in the cache for whoever comes next, and so
	 * that no transfer waits to be begun while many are looked at. Returns 0, or a negative errno:
	 * it is lost. NULL: nothing to look at. */
	int (*check)(void *priv, uint16_t queue, unsigned int slot);

	/* At a stop, when nothing has landed for a second: see to it that nothing is written to the
	 * slabs any more; all are to land then. NULL: what is begun always lands. */
	void (*abandon)(void *priv, uint16_t queue);
};

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

	/* Before a configuration takes effect; NULL: any is fine. A source whose transfers go on by
	 * themselves sets *mover. Returns 0 or a negative errno. */
	int (*configure)(
		void *priv, const struct dip_dma_conf *conf, const struct dip_mover **mover);

	/* The device starts: frame 0 is due. next_seq, read atomically from then on, is the number of
	 * frames that were due so far. Returns 0 or a negative errno. stop: no queue is polled any
	 * more. Main lcore; NULL: nothing to do. */
	int (*start)(void *priv, const uint64_t *next_seq);
	void (*stop)(void *priv);

	/* Where frames come from:
	 *
	 * locate: the pixels of frame seq, height * width uint16_t, to be copied from there. NULL, or
	 * returns NULL: there are none; for which seq does not matter. They lie in memory that
	 * dip_source_dma_memory says. uncopied: then, why, and what to do about it, for who wants a
	 * copy engine.
	 * fill: else put them into the slab. Returns 0, or a negative errno: -EBADMSG when this frame
	 * is damaged, and lost; else the device has failed. NULL: pixels are left as they are.
	 *
	 * Called by the queues' threads at once, each with its own slab; must not block. */
	const uint16_t *(*locate)(const void *priv, uint64_t seq);
	const char *uncopied;
	int (*fill)(void *priv, uint16_t queue, uint64_t seq, uint16_t *pixels);

	/* Of a source whose numbers have gaps, both or neither: how many frames have a number below
	 * seq; the number of the index-th frame, however often the source has to start over. */
	uint64_t (*index)(const void *priv, uint64_t seq);
	uint64_t (*number)(const void *priv, uint64_t index);

	/* Of a source that is timed: when frame seq is due, and below which number
	 * all are due by then, nanoseconds after the start. */
	double (*due_ns)(const void *priv, uint64_t seq);
	uint64_t (*due_by)(const void *priv, double ns);

	/* A frame's arrival in UTC nanoseconds, when it is known from before; 0, or NULL: now. */
	uint64_t (*timestamp)(const void *priv, uint64_t seq);

	/* Called last, whatever examine and open returned; NULL: nothing to do. */
	void (*close)(void *priv);
};

/* Whether frames are to be copied by a DMA engine: they must lie in EAL's memory then. priv: of a
 * source. From examine on. */
bool dip_source_dma_memory(const void *priv);

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
 * it. Returns as above, and *driver, its name. When none does, the error is of the last one for which
 * it is not of another kind altogether (-ENOTSUP). */
int dip_source_choose(
	const char *path, const char **driver, struct dip_dma_info *info, struct dip_error *err);

/* "path=...", encoded for devargs; on the heap, NULL when there is no memory. */
char *dip_source_path(const char *path);

int dip_source_probe(struct rte_vdev_device *vdev, const struct dip_source_ops *ops);
int dip_source_remove(struct rte_vdev_device *vdev);

/* rte_rawdev_selftest: deliver one pass into a small pool and compare every byte and counter. The
 * device must be stopped, and is left unconfigured. */
int dip_source_selftest(uint16_t dev_id);

/* For the selftest: forget the configuration; the number and the pixels of the index-th frame. */
void dip_source_unconfigure(uint16_t dev_id);
uint64_t dip_source_expected(uint16_t dev_id, uint64_t index, uint16_t *pixels, int *result);

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
