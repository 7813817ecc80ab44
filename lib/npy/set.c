/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy/set_impl.h"

#define HEAD_MAX (65536 + 12)

static int read_header(
	const char *name, char *head, struct dip_npy_header *header, struct dip_error *err)
{
	/* Nearly every header fits a page; only the rest is worth a second, longer read. */
	static const size_t lengths[] = {4096, HEAD_MAX};
	uint64_t size;
	ssize_t n;
	int fd, rc;

	rc = dip_npy_file_open(name, &fd, &size, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 2; i++) {
		n = dip_npy_read_at(fd, head, lengths[i], 0);
		if (n < 0) {
			rc = dip_fail(err, (int)-n, "%s: cannot read: %s", name, strerror((int)-n));
			break;
		}
		rc = dip_npy_parse(name, head, (size_t)n, size, header, err);
		if (rc == 0 || (size_t)n < lengths[i])
			break;
	}
	close(fd);
	return rc;
}

/* Append the file; its name is the set's from here on, also on failure. */
static int add_file(struct dip_npy_set *set, char *name, char *head, struct dip_error *err)
{
	struct npy_file *f = &set->files[set->count++];
	const struct npy_file *f0 = set->files;
	int rc;

	f->name = name;
	f->first = set->frames;
	rc = read_header(name, head, &f->header, err);
	if (rc < 0)
		return rc;
	if (f->header.height != f0->header.height || f->header.width != f0->header.width)
		return dip_fail(err, EINVAL,
			"%s: frames of %ux%u pixels (height x width), but %s has %ux%u; "
			"expected one shape; put each shape in a folder of its own",
			name, f->header.height, f->header.width, f0->name, f0->header.height,
			f0->header.width);
	if (__builtin_add_overflow(set->frames, f->header.frames, &set->frames))
		return dip_fail(
			err, EINVAL, "%s: more than 2^64 frames in all; use fewer files", name);
	return 0;
}

static int is_npy(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".npy") == 0;
}

/* alphasort() would follow the locale, and the order of frames must not. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct dip_npy_set *set, const char *path, char *head, struct dip_error *err)
{
	const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
	struct dirent **entries;
	char *name;
	int count, rc = 0;

	count = scandir(path, &entries, is_npy, by_name);
	if (count < 0)
		return dip_fail(err, errno, "%s: cannot read the folder: %s; check its permissions",
			path, strerror(errno));
	set->files = calloc((size_t)count + 1, sizeof(*set->files));
	if (set->files == NULL)
		rc = dip_fail(err, ENOMEM, "%s: no memory for %d file names", path, count);
	else if (count == 0)
		rc = dip_fail(err, ENOENT,
			"%s: no .npy file in this folder; expected at least one, "
			"written with numpy.save",
			path);
	for (int i = 0; i < count; i++) {
		if (rc == 0 && asprintf(&name, "%s%s%s", path, slash, entries[i]->d_name) < 0)
			rc = dip_fail(err, ENOMEM, "%s: no memory for a file name", path);
		else if (rc == 0)
			rc = add_file(set, name, head, err);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

static int add_single(struct dip_npy_set *set, const char *path, char *head, struct dip_error *err)
{
	char *name = strdup(path);

	set->files = calloc(1, sizeof(*set->files));
	if (name == NULL || set->files == NULL) {
		free(name);
		return dip_fail(err, ENOMEM, "%s: no memory for a file name", path);
	}
	return add_file(set, name, head, err);
}

int dip_npy_set_open(const char *path, struct dip_npy_set **out, struct dip_error *err)
{
	struct dip_npy_set *set = calloc(1, sizeof(*set));
	char *head = malloc(HEAD_MAX);
	struct stat st;
	int rc;

	if (set == NULL || head == NULL) {
		rc = dip_fail(err, ENOMEM, "%s: no memory to open it", path);
		goto fail;
	}
	set->fd = -1;
	set->fd_file = NONE;
	set->raw_file = NONE;
	if (stat(path, &st) < 0)
		rc = dip_fail(err, errno,
			"%s: %s; expected a folder of .npy files, or one .npy file", path,
			strerror(errno));
	else if (S_ISDIR(st.st_mode))
		rc = add_folder(set, path, head, err);
	else
		rc = add_single(set, path, head, err);
	if (rc < 0)
		goto fail;
	free(head);
	*out = set;
	return 0;
fail:
	free(head);
	dip_npy_set_close(set);
	return rc;
}

uint64_t dip_npy_set_frames(const struct dip_npy_set *set)
{
	return set->frames;
}

uint32_t dip_npy_set_width(const struct dip_npy_set *set)
{
	return set->files[0].header.width;
}

uint32_t dip_npy_set_height(const struct dip_npy_set *set)
{
	return set->files[0].header.height;
}

uint64_t dip_npy_set_whole_bytes(const struct dip_npy_set *set, const char **name)
{
	uint64_t most = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct npy_file *f = &set->files[i];

		if (f->header.fortran_order && f->header.frames > 1 &&
			f->header.data_bytes > most) {
			most = f->header.data_bytes;
			*name = f->name;
		}
	}
	return most;
}

void dip_npy_set_close(struct dip_npy_set *set)
{
	if (set == NULL)
		return;
	dip_npy_set_release(set);
	for (size_t i = 0; i < set->count; i++)
		free(set->files[i].name);
	free(set->files);
	free(set->raw);
	free(set);
}
