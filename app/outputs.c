/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "outputs.h"
#include "util/file.h"

#define TRIES 1000

/* mkdir, remembered, so that a failure before the run can take it back. */
static int make_folder(struct outputs *o, const char *path)
{
	if (mkdir(path, DIP_FOLDER_MODE) < 0)
		return -errno;
	if (o->made_count < OUTPUTS_MADE)
		o->made[o->made_count] = strdup(path);
	if (o->made_count < OUTPUTS_MADE && o->made[o->made_count] != NULL)
		o->made_count++;
	return 0;
}

/* mkdir -p */
static int make_folders(struct outputs *o, const char *path)
{
	size_t length = strlen(path);
	char part[4096];
	struct stat st;
	int ret;

	if (length >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, length + 1);
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		part[i] = '\0';
		ret = make_folder(o, part);
		if (ret < 0 && ret != -EEXIST)
			return ret;
		part[i] = path[i];
	}
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return access(path, W_OK | X_OK) < 0 ? -errno : 0;
}

static int fail_folder(const char *key, const char *path, int ret, struct dip_error *err)
{
	return dip_fail(err, -ret,
		"%s = \"%s\": %s; expected a folder that can be made and written to", key, path,
		strerror(-ret));
}

static int make_base(
	struct outputs *o, const char *key, const char *path, bool wanted, struct dip_error *err)
{
	int ret = wanted ? make_folders(o, path) : 0;

	return ret < 0 ? fail_folder(key, path, ret, err) : 0;
}

static int make_stats(const struct settings *s, const char *stamp, struct outputs *o)
{
	if (!s->proc.stats)
		return 0;
	snprintf(o->stats, sizeof(o->stats), "%s/results_%s.stats.jsonl", s->proc.proc_output_dir,
		stamp);
	o->stats_fd = open(o->stats, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, DIP_FILE_MODE);
	if (o->stats_fd < 0)
		o->stats[0] = '\0'; /* not ours */
	return o->stats_fd < 0 ? -errno : 0;
}

static void remove_stats(struct outputs *o)
{
	if (o->stats_fd >= 0)
		close(o->stats_fd);
	if (o->stats[0] != '\0')
		unlink(o->stats);
	o->stats_fd = -1;
	o->stats[0] = '\0';
}

/* The results file, and before it, so that it is never without, what stands beside it. */
static int make_results(const struct settings *s, const char *stamp,
	const struct outputs_results *results, struct outputs *o)
{
	int ret;

	if (results->format->table) {
		snprintf(o->table, sizeof(o->table), "%s/results_%s.sites.npy",
			s->proc.proc_output_dir, stamp);
		ret = dip_results_table_create(o->table, results->sites, results->detector);
		if (ret < 0) {
			o->table[0] = '\0'; /* not ours */
			return ret;
		}
	}
	ret = make_stats(s, stamp, o);
	if (ret < 0)
		return ret;
	snprintf(o->results, sizeof(o->results), "%s/results_%s%s", s->proc.proc_output_dir, stamp,
		results->format->suffix);
	ret = dip_results_file_create(o->results, results->format, &results->shape);
	if (ret < 0)
		o->results[0] = '\0';
	else
		o->results_fd = ret;
	return ret < 0 ? ret : 0;
}

/* Make all under one stamp; -EEXIST when one of them is there already, and nothing is left. */
static int make_stamped(const struct settings *s, const char *stamp, bool archive,
	const struct outputs_results *results, struct outputs *o, struct dip_error *err)
{
	int ret;

	if (archive) {
		snprintf(o->archive, sizeof(o->archive), "%s/%s", s->arch.arch_output_dir, stamp);
		if (mkdir(o->archive, DIP_FOLDER_MODE) < 0)
			return fail_folder("arch.arch_output_dir", o->archive, -errno, err);
	}
	if (results->format == NULL)
		return 0;
	ret = make_results(s, stamp, results, o);
	if (ret == 0)
		return 0;
	if (o->table[0] != '\0')
		unlink(o->table);
	remove_stats(o);
	if (archive)
		rmdir(o->archive);
	o->table[0] = '\0';
	return fail_folder("proc.proc_output_dir", s->proc.proc_output_dir, ret, err);
}

/* A stamp: the second, a number where that second's is taken, the suffix. */
static void make_stamp(const char *second, int number, const char *suffix, char *stamp, size_t size)
{
	size_t used = snprintf(stamp, size, "%s", second);

	if (number > 1)
		used += snprintf(stamp + used, size - used, "_%d", number);
	if (suffix == NULL)
		return;
	snprintf(stamp + used, size - used, "_%s", suffix);
	for (char *at = stamp + used; *at != '\0'; at++)
		if (!isalnum((unsigned char)*at) && strchr("-_", *at) == NULL)
			*at = '_';
}

static int make_all(const struct settings *s, const struct outputs_results *results,
	struct outputs *o, struct dip_error *err)
{
	bool archive = s->main.nth_archive > 0;
	char second[32], stamp[128];
	time_t now = time(NULL);
	struct tm tm;
	int ret;

	ret = make_base(o, "arch.arch_output_dir", s->arch.arch_output_dir, archive, err);
	if (ret == 0)
		ret = make_base(o, "proc.proc_output_dir", s->proc.proc_output_dir,
			results->format != NULL, err);
	if (ret < 0)
		return ret;
	strftime(second, sizeof(second), "%Y%m%d_%H%M%S", localtime_r(&now, &tm));
	for (int i = 1; i < TRIES; i++) {
		make_stamp(second, i, results->suffix, stamp, sizeof(stamp));
		ret = make_stamped(s, stamp, archive, results, o, err);
		if (ret != -EEXIST)
			return ret;
	}
	return ret;
}

int outputs_create(const struct settings *s, const struct outputs_results *results,
	struct outputs *o, struct dip_error *err)
{
	int ret;

	*o = (struct outputs){.results_fd = -1, .stats_fd = -1};
	ret = make_all(s, results, o, err);
	if (ret < 0) {
		o->archive[0] = '\0';
		outputs_remove(o);
	}
	return ret;
}

void outputs_close(struct outputs *o)
{
	if (o->results_fd >= 0)
		close(o->results_fd);
	o->results_fd = -1;
	if (o->archive[0] != '\0' && rmdir(o->archive) == 0)
		o->archive[0] = '\0';
	while (o->made_count > 0)
		free(o->made[--o->made_count]);
}

void outputs_remove(struct outputs *o)
{
	remove_stats(o);
	if (o->results[0] != '\0')
		unlink(o->results);
	if (o->table[0] != '\0')
		unlink(o->table);
	if (o->archive[0] != '\0')
		rmdir(o->archive);
	for (unsigned int i = o->made_count; i > 0; i--)
		rmdir(o->made[i - 1]);
	outputs_close(o);
	o->archive[0] = o->results[0] = o->table[0] = '\0';
}
