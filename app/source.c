/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_log.h>
#include <rte_rawdev.h>

#include "archive/io.h"
#include "check.h"
#include "detect/detector.h"
#include "dma/source.h"
#include "npy/npy.h"
#include "source.h"

#define FILE_DRIVER "dma_file"

int source_examine(const struct command *command, const struct settings *settings, size_t *bytes,
	struct dip_error *err)
{
	struct dip_npy_set *set;
	uint32_t width, height;
	int ret;

	*bytes = (size_t)settings->main.image_w * settings->main.image_h * sizeof(uint16_t);
	if (command->npy_dir == NULL)
		return 0;
	ret = dip_npy_set_open(command->npy_dir, &set, err);
	if (ret < 0)
		return ret;
	width = dip_npy_set_width(set);
	height = dip_npy_set_height(set);
	dip_npy_set_close(set);
	*bytes = (size_t)width * height * sizeof(uint16_t);
	return check_geometry(settings, width, height, err);
}

/* Devargs know neither commas nor much else: all but plain characters become %XX. */
static char *encode(char *at, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	if (isalnum(c) || strchr("/._-", c) != NULL) {
		*at++ = c;
		return at;
	}
	*at++ = '%';
	*at++ = digits[c >> 4];
	*at++ = digits[c & 15];
	return at;
}

static char *encode_path(const char *path)
{
	char *text = malloc(sizeof("path=") + 3 * strlen(path)), *at;

	if (text == NULL)
		return NULL;
	at = stpcpy(text, "path=");
	for (const unsigned char *c = (const unsigned char *)path; *c != '\0'; c++)
		at = encode(at, *c);
	*at = '\0';
	return text;
}

static bool device_exists(const char *name)
{
	for (uint16_t id = 0; id < RTE_RAWDEV_MAX_DEVS; id++)
		if (rte_rawdevs[id].attached && strcmp(rte_rawdevs[id].name, name) == 0)
			return true;
	return false;
}

static int make_file_device(const char *path, struct source *source, struct dip_error *err)
{
	char *args = encode_path(path);
	int ret;

	if (args == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < RTE_RAWDEV_MAX_DEVS; i++) {
		snprintf(source->name, sizeof(source->name), FILE_DRIVER "%u", i);
		if (!device_exists(source->name))
			break;
	}
	/* The driver says what is wrong with its input; the bus would only repeat that it failed. */
	rte_log_set_level_pattern("bus.vdev", RTE_LOG_CRIT);
	ret = rte_vdev_init(source->name, args);
	free(args);
	source->ours = ret == 0;
	if (err != NULL)
		err->text[0] = '\0';
	return ret;
}

static int find_device(const char *name, struct dip_error *err)
{
	char known[512] = "";
	size_t used = 0;

	for (uint16_t id = 0; id < RTE_RAWDEV_MAX_DEVS; id++) {
		if (!rte_rawdevs[id].attached)
			continue;
		if (strcmp(rte_rawdevs[id].name, name) == 0)
			return id;
		if (used < sizeof(known))
			used += snprintf(
				known + used, sizeof(known) - used, " %s", rte_rawdevs[id].name);
	}
	return dip_fail(err, ENODEV,
		"--device %s: there is no such device; found%s; expected one made with the EAL "
		"option "
		"--vdev=%s,... before \"--\"",
		name, used > 0 ? known : " none", name);
}

int source_open(const struct command *command, struct source *source, struct dip_error *err)
{
	int ret = 0;

	*source = (struct source){0};
	if (command->device != NULL)
		snprintf(source->name, sizeof(source->name), "%s", command->device);
	else
		ret = make_file_device(command->npy_dir, source, err);
	if (ret < 0)
		return ret;
	ret = find_device(source->name, err);
	if (ret < 0)
		return ret;
	source->dev_id = ret;
	return 0;
}

void source_close(struct source *source)
{
	if (source->ours)
		rte_vdev_uninit(source->name);
	source->ours = false;
}

void source_list_drivers(void)
{
	printf("sources (DPDK devices, --vdev=<name>0,...):\n");
	dip_source_list(stdout);
	printf("detectors (proc.detector):\n  %s\n", dip_detector_names());
	printf("archive back ends (arch.use_io_uring):\n");
	dip_io_list(stdout);
}
