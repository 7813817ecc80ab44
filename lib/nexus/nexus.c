/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nexus/layout.h"
#include "util/file.h"

#define PATH_BYTES 4400
#define IMAGE_STEP 65536 /* bytes by which the image in memory grows */

/* The innermost of HDF5's errors says what was wrong. */
static herr_t take_innermost(unsigned int n, const H5E_error2_t *error, void *text)
{
	if (n == 0)
		snprintf(text, sizeof(((struct dip_error *)0)->text) / 2, "%s", error->desc);
	return 0;
}

static int fail(const char *path, struct dip_error *err)
{
	char why[sizeof(err->text) / 2] = "unknown error";

	H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, why);
	return dip_fail(err, EIO, "%s: HDF5: %s", path, why);
}

/* HDF5 works in memory only: it does not survive a disk that fails under it. */
static hid_t create_in_memory(void)
{
	hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;

	/* The oldest forms that will do, which are the defaults: an image of a later superblock has
	 * a checksum that is not right (1.10.8). */
	if (H5Pset_fapl_core(access, IMAGE_STEP, false) >= 0)
		file = H5Fcreate(DIP_NEXUS_NAME, H5F_ACC_TRUNC, H5P_DEFAULT, access);
	H5Pclose(access);
	return file;
}

/* The bytes of the file, to be freed by the caller. */
static int make_image(const struct dip_nexus_run *run, const char *path, void **image,
	size_t *bytes, struct dip_error *err)
{
	ssize_t size = -1;
	hid_t file;
	int ret = 0;

	*image = NULL;
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	file = create_in_memory();
	if (file < 0)
		return fail(path, err);
	if (dip_nexus_layout(file, run) >= 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0)
		size = H5Fget_file_image(file, NULL, 0);
	if (size > 0)
		*image = malloc(size);
	if (*image == NULL || H5Fget_file_image(file, *image, size) != size) {
		ret = fail(path, err);
		free(*image);
		*image = NULL;
	}
	*bytes = size;
	H5Fclose(file);
	/* What a long run took is not kept until the next writing. */
	H5garbage_collect();
	malloc_trim(0);
	return ret;
}

static bool holds(const char *path, const void *image, size_t bytes)
{
	FILE *f = fopen(path, "rb");
	const char *at = image, *end = at + bytes;
	char part[4096];
	size_t n;

	if (f == NULL)
		return false;
	while ((n = fread(part, 1, sizeof(part), f)) > 0 && n <= (size_t)(end - at) &&
		memcmp(part, at, n) == 0)
		at += n;
	fclose(f);
	return n == 0 && at == end;
}

static int write_file(const char *path, const void *image, size_t bytes)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, DIP_FILE_MODE), ret;

	if (fd < 0)
		return -errno;
	ret = dip_write_at(fd, image, bytes, 0);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int replace(
	const struct dip_nexus_run *run, const char *path, const void *image, size_t bytes)
{
	char working[PATH_BYTES + 8];
	int ret;

	snprintf(working, sizeof(working), "%s.new", path);
	ret = write_file(working, image, bytes);
	if (ret == 0 && rename(working, path) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(working);
	return ret < 0 ? ret : sync_folder(run->folder);
}

int dip_nexus_write(const struct dip_nexus_run *run, struct dip_error *err)
{
	char path[PATH_BYTES];
	size_t bytes = 0;
	void *image;
	int ret;

	if (dip_nexus_records(run) == 0)
		return 0;
	snprintf(path, sizeof(path), "%s/" DIP_NEXUS_NAME, run->folder);
	ret = make_image(run, path, &image, &bytes, err);
	if (ret < 0)
		return ret;
	if (!holds(path, image, bytes))
		ret = replace(run, path, image, bytes);
	free(image);
	return ret < 0 ? dip_fail(err, -ret, "%s: %s", path, strerror(-ret)) : 0;
}
