/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reader/run.h"

#define DIGITS_MIN 6
#define DECODED_DIGITS 12 /* of a decoded frame, frame_000000000005.npy */

/* Take <prefix>_<digits>.<suffix> apart; false when the name is not like that. */
static bool parse_name(const char *name, size_t *prefix, uint64_t *number)
{
	const char *dot = strrchr(name, '.'), *p = dot;

	if (dot == NULL || (strcmp(dot, ".npy") != 0 && strcmp(dot, ".bin") != 0))
		return false;
	while (p > name && p[-1] >= '0' && p[-1] <= '9')
		p--;
	if (dot - p < DIGITS_MIN || dot - p > 18 || p - name < 2 || p[-1] != '_')
		return false;
	*prefix = p - 1 - name;
	*number = strtoull(p, NULL, 10);
	return !(dot - p == DECODED_DIGITS && strcmp(dot, ".npy") == 0 && *prefix == 5 &&
		 strncmp(name, "frame", 5) == 0);
}

/* <segment>.condemned, but not the like of its index. */
static bool is_condemned(const char *name)
{
	const char *end = name + strlen(name) - strlen(".npy.condemned");

	return end > name &&
	       (strcmp(end, ".npy.condemned") == 0 || strcmp(end, ".bin.condemned") == 0);
}

static int by_number(const void *a, const void *b)
{
	const struct dip_run_segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int add(struct dip_run *run, const char *folder, const char *name, uint64_t number)
{
	struct dip_run_segment *more =
		realloc(run->segments, (run->count + 1) * sizeof(*run->segments));
	const char *slash = folder[0] != '\0' && folder[strlen(folder) - 1] != '/' ? "/" : "";
	char *path;

	if (more == NULL)
		return -ENOMEM;
	run->segments = more;
	if (asprintf(&path, "%s%s%s", folder, slash, name) < 0)
		return -ENOMEM;
	run->segments[run->count++] = (struct dip_run_segment){.path = path, .number = number};
	return 0;
}

/* One kind: the same prefix and the same suffix. */
static int check_kind(
	const char *first, const char *name, const char *folder, struct dip_error *err)
{
	const char *base = strrchr(first, '/') + 1;
	size_t x, y;
	uint64_t number;

	if (parse_name(base, &x, &number) && parse_name(name, &y, &number) && x == y &&
		strncmp(base, name, x) == 0 && strcmp(strrchr(base, '.'), strrchr(name, '.')) == 0)
		return 0;
	return dip_fail(err, EINVAL,
		"%s: found segments of several kinds, as %s and %s; expected one run; name one "
		"segment",
		folder, base, name);
}

static int list(DIR *dir, const char *folder, struct dip_run *run, struct dip_error *err)
{
	struct dirent *entry;
	uint64_t number;
	size_t prefix;
	int ret = 0;

	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		run->condemned += is_condemned(entry->d_name);
		if (!parse_name(entry->d_name, &prefix, &number))
			continue;
		if (run->count > 0)
			ret = check_kind(run->segments[0].path, entry->d_name, folder, err);
		if (ret == 0 && add(run, folder, entry->d_name, number) < 0)
			ret = dip_fail(err, ENOMEM, "%s: out of memory", folder);
	}
	if (ret == 0 && run->count > 1)
		qsort(run->segments, run->count, sizeof(*run->segments), by_number);
	return ret;
}

int dip_run_list(const char *path, struct dip_run *run, struct dip_error *err)
{
	struct stat st;
	DIR *dir;
	int ret;

	*run = (struct dip_run){0};
	if (stat(path, &st) < 0)
		return dip_fail(err, errno, "%s: %s; expected a segment or the folder of a run",
			path, strerror(errno));
	if (!S_ISDIR(st.st_mode)) {
		ret = add(run, "", path, 0);
		return ret < 0 ? dip_fail(err, -ret, "%s: out of memory", path) : 0;
	}
	dir = opendir(path);
	if (dir == NULL)
		return dip_fail(err, errno, "%s: cannot be read: %s", path, strerror(errno));
	ret = list(dir, path, run, err);
	closedir(dir);
	if (ret < 0)
		dip_run_free(run);
	return ret;
}

void dip_run_free(struct dip_run *run)
{
	for (size_t i = 0; i < run->count; i++)
		free(run->segments[i].path);
	free(run->segments);
	*run = (struct dip_run){0};
}
