/* SPDX-License-Identifier: BSD-3-Clause */
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
#include "source.h"

/* NPY_DIR: the driver is the one that plays such files. */
static int examine_path(
	const char *path, struct source *source, struct dip_dma_info *info, struct dip_error *err)
{
	const char *driver;
	int ret = dip_source_choose(path, &driver, info, err);

	if (ret < 0)
		return ret;
	snprintf(source->name, sizeof(source->name), "%s", driver);
	source->arguments = dip_source_path(path);
	return source->arguments != NULL ? 0 : dip_fail(err, ENOMEM, "out of memory");
}

/* --device NAME[,ARGUMENTS] without EAL arguments, where there can be no --vdev. */
static int examine_device(
	const char *text, struct source *source, struct dip_dma_info *info, struct dip_error *err)
{
	size_t length = strcspn(text, ",");

	if (length >= sizeof(source->name))
		return dip_fail(err, ENODEV,
			"--device %s: expected the name of a device and its arguments", text);
	memcpy(source->name, text, length);
	source->arguments = strdup(text[length] == ',' ? text + length + 1 : "");
	if (source->arguments == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	return dip_source_examine(source->name, source->arguments, info, err);
}

static int examine(const struct command *command, const struct settings *settings, unsigned int i,
	struct source *source, size_t *bytes, struct dip_error *err)
{
	struct dip_dma_info info;
	struct dip_error why;
	int ret;

	*bytes = (size_t)settings->main.image_w * settings->main.image_h * sizeof(uint16_t);
	if (command->devices > 0 && command->eal_argc > 0)
		return 0;
	ret = command->npy_dir != NULL ? examine_path(command->npy_dir, source, &info, err)
				       : examine_device(command->device[i], source, &info, err);
	if (ret < 0)
		return ret;
	*bytes = (size_t)info.width * info.height * sizeof(uint16_t);
	ret = check_geometry(settings, info.width, info.height, &why);
	if (ret < 0 && command->devices > 1)
		return dip_fail(err, -ret, "%s: %s", source->name, why.text);
	if (ret < 0)
		*err = why;
	return ret;
}

int sources_examine(const struct command *command, const struct settings *settings,
	struct sources *sources, size_t bytes[DIP_SOURCES], struct dip_error *err)
{
	int ret = 0;

	*sources = (struct sources){.count = command->npy_dir != NULL ? 1 : command->devices};
	for (unsigned int i = 0; ret == 0 && i < sources->count; i++)
		ret = examine(command, settings, i, &sources->of[i], &bytes[i], err);
	return ret;
}

static bool device_exists(const char *name)
{
	for (uint16_t id = 0; id < RTE_RAWDEV_MAX_DEVS; id++)
		if (rte_rawdevs[id].attached && strcmp(rte_rawdevs[id].name, name) == 0)
			return true;
	return false;
}

/* The first free number behind the driver's name. */
static void number_device(struct source *source)
{
	char driver[sizeof(source->name)];

	strcpy(driver, source->name);
	for (unsigned int i = 0; i < RTE_RAWDEV_MAX_DEVS; i++) {
		snprintf(source->name, sizeof(source->name), "%.*s%u", (int)strlen(driver), driver,
			i);
		if (!device_exists(source->name))
			return;
	}
}

static int make_device(struct source *source, struct dip_error *err)
{
	int ret;

	/* The driver says what is wrong with its input; the bus would only repeat that it failed. */
	rte_log_set_level_pattern("bus.vdev", RTE_LOG_CRIT);
	ret = rte_vdev_init(source->name, source->arguments);
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

static int open_source(
	const struct command *command, unsigned int i, struct source *source, struct dip_error *err)
{
	int ret = 0;

	if (command->npy_dir != NULL)
		number_device(source);
	else if (source->arguments == NULL)
		snprintf(source->name, sizeof(source->name), "%s", command->device[i]);
	if (source->arguments != NULL)
		ret = make_device(source, err);
	if (ret < 0)
		return ret;
	ret = find_device(source->name, err);
	if (ret < 0)
		return ret;
	source->dev_id = ret;
	return 0;
}

int sources_open(const struct command *command, struct sources *sources, struct dip_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < sources->count; i++)
		ret = open_source(command, i, &sources->of[i], err);
	return ret;
}

void sources_close(struct sources *sources)
{
	for (unsigned int i = sources->count; i > 0; i--) {
		struct source *source = &sources->of[i - 1];

		if (source->ours)
			rte_vdev_uninit(source->name);
		free(source->arguments);
		*source = (struct source){0};
	}
}

void source_print(
	const struct command *command, unsigned int i, const struct settings *s, FILE *out)
{
	const char *name = command->device[i];
	int length = strcspn(name, ",");

	fprintf(out, "# source %.*s:", length, name);
	if (s->main.nth_archive > 0)
		fprintf(out, " %s/<YYYYmmdd_HHMMSS>_%.*s", s->arch.arch_output_dir, length, name);
	if (strcmp(s->proc.results, "none") != 0)
		fprintf(out, " %s/results_<YYYYmmdd_HHMMSS>_%.*s.*", s->proc.proc_output_dir,
			length, name);
	fprintf(out, "\n");
}

void source_list_drivers(void)
{
	printf("sources (DPDK devices, --vdev=<name>0,...):\n");
	dip_source_list(stdout);
	printf("detectors (proc.detector):\n  %s\n", dip_detector_names());
	printf("archive back ends (arch.use_io_uring):\n");
	dip_io_list(stdout);
}
