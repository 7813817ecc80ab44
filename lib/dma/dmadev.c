/* SPDX-License-Identifier: BSD-3-Clause */
/* rte_dma_* is stable since DPDK 23.11 and has not changed since 22.11. */
#define ALLOW_EXPERIMENTAL_API

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_common.h>
#include <rte_dmadev.h>
#include <rte_eal.h>

#include "dma/dma.h"
#include "dma/dmadev.h"

#define NEEDED (RTE_DMA_CAPA_MEM_TO_MEM | RTE_DMA_CAPA_OPS_COPY)

/* What of each dmadev sources have. */
static struct {
	unsigned int users; /* virtual channels taken */
	bool started;
	bool used[DIP_DMA_MAX_QUEUES];
} taken[RTE_DMADEV_DEFAULT_MAX];

/* --- which there are --- */

int16_t dip_dmadev_find(const char *name)
{
	int id = rte_dma_get_dev_id_by_name(name);

	return id >= 0 && id < RTE_DMADEV_DEFAULT_MAX ? id : -1;
}

void dip_dmadev_names(char *text, size_t size)
{
	size_t used = 0;
	int16_t id;

	snprintf(text, size, "none");
	RTE_DMA_FOREACH_DEV(id)
	{
		struct rte_dma_info info;

		if (used < size && rte_dma_info_get(id, &info) == 0)
			used += snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
				info.dev_name);
	}
}

int dip_dmadev_check(const struct rte_dma_info *info, unsigned int copies, struct dip_error *err)
{
	if ((info->dev_capa & NEEDED) != NEEDED)
		return dip_fail(err, EINVAL,
			"engine=%s: this dmadev does not copy from memory to memory; expected one "
			"that does, cached or streaming",
			info->dev_name);
	if (copies > info->max_desc)
		return dip_fail(err, EINVAL,
			"copies=%u: the ring of dmadev %s holds %u; expected at most that", copies,
			info->dev_name, info->max_desc);
	/* Where it knows no virtual addresses, the IOMMU must make them good. */
	if ((info->dev_capa & RTE_DMA_CAPA_SVA) == 0 && rte_eal_iova_mode() != RTE_IOVA_VA)
		return dip_fail(err, EINVAL,
			"engine=%s: this dmadev needs addresses as the program has them, found "
			"--iova-mode=pa; expected --iova-mode=va, which needs an IOMMU",
			info->dev_name);
	return 0;
}

static unsigned int channels_of(const struct rte_dma_info *info)
{
	return RTE_MIN(info->max_vchans, DIP_DMA_MAX_QUEUES);
}

unsigned int dip_dmadev_free_channels(int16_t id)
{
	struct rte_dma_info info;

	if (rte_dma_info_get(id, &info) < 0)
		return 0;
	return channels_of(&info) - taken[id].users;
}

/* --- its virtual channels --- */

static int set_up(int16_t id)
{
	struct rte_dma_vchan_conf channel = {.direction = RTE_DMA_DIR_MEM_TO_MEM};
	struct rte_dma_conf conf = {0};
	struct rte_dma_info info;
	int ret = rte_dma_info_get(id, &info);

	if (ret < 0)
		return ret;
	conf.nb_vchans = channels_of(&info);
	channel.nb_desc = RTE_MIN(RTE_MAX(DIP_DMADEV_RING, info.min_desc), info.max_desc);
	ret = rte_dma_configure(id, &conf);
	for (uint16_t i = 0; ret == 0 && i < conf.nb_vchans; i++)
		ret = rte_dma_vchan_setup(id, i, &channel);
	if (ret == 0)
		ret = rte_dma_start(id);
	taken[id].started = ret == 0;
	return ret;
}

int dip_dmadev_start(int16_t id)
{
	return taken[id].started ? 0 : set_up(id);
}

void dip_dmadev_stop(int16_t id)
{
	if (taken[id].started)
		rte_dma_stop(id);
	taken[id].started = false;
}

static int check_channels(
	int16_t id, const struct rte_dma_info *info, unsigned int n, struct dip_error *err)
{
	if (n <= dip_dmadev_free_channels(id))
		return 0;
	return dip_fail(err, EBUSY,
		"engine=%s: this dmadev has %u virtual channels, of which other sources have %u; "
		"%u are needed, one a queue; expected a dmadev of its own for each source, or "
		"fewer queues",
		info->dev_name, channels_of(info), taken[id].users, n);
}

int dip_dmadev_take(
	int16_t id, unsigned int copies, uint16_t *channels, unsigned int n, struct dip_error *err)
{
	struct rte_dma_info info;
	int ret = rte_dma_info_get(id, &info);
	unsigned int got = 0;

	if (ret < 0)
		return dip_fail(err, -ret, "a dmadev tells nothing: %s", strerror(-ret));
	ret = dip_dmadev_check(&info, copies, err);
	if (ret == 0)
		ret = check_channels(id, &info, n, err);
	if (ret < 0)
		return ret;
	ret = dip_dmadev_start(id);
	if (ret < 0)
		return dip_fail(err, -ret, "engine=%s: this dmadev does not start: %s",
			info.dev_name, strerror(-ret));
	for (uint16_t i = 0; got < n; i++) {
		if (taken[id].used[i])
			continue;
		taken[id].used[i] = true;
		channels[got++] = i;
	}
	taken[id].users += n;
	return 0;
}

void dip_dmadev_release(int16_t id, uint16_t channel)
{
	taken[id].used[channel] = false;
	if (--taken[id].users == 0)
		dip_dmadev_stop(id);
}
