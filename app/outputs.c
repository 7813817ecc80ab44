/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "outputs.h"

#define TRIES 1000

/* mkdir -p */
static int make_folders(const char *path)
{
	char part[4096];

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (mkdir(part, 0755) < 0 && errno != EEXIST)
		return -errno;
	/* What is there may be a file; a missing right shows when the first file is made. */
	return access(part, W_OK | X_OK) < 0 ? -errno : 0;
}

static int fail_folder(const char *key, const char *path, int ret, struct dip_error *err)
{
	return dip_fail(err, -ret,
		"%s = \"%s\": %s; expected a folder that can be made and written to", key, path,
		strerror(-ret));
}

static int make_base(const char *key, const char *path, bool wanted, struct dip_error *err)
{
	int ret = wanted ? make_folders(path) : 0;

	return ret < 0 ? fail_folder(key, path, ret, err) : 0;
}

/* Make both under one stamp; -EEXIST when one of them is there already. */
static int make_stamped(const struct settings *s, const char *stamp, bool archive, bool results,
	struct outputs *o, struct dip_error *err)
{
	*o = (struct outputs){.results_fd = -1};
	if (archive) {
		snprintf(o->archive, sizeof(o->archive), "%s/%s", s->arch.arch_output_dir, stamp);
		if (mkdir(o->archive, 0755) < 0)
			return fail_folder("arch.arch_output_dir", o->archive, -errno, err);
	}
	if (results) {
		snprintf(o->results, sizeof(o->results), "%s/results_%s.txt",
			s->proc.proc_output_dir, stamp);
		o->results_fd = open(o->results, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (o->results_fd < 0) {
			int ret = fail_folder("proc.proc_output_dir", o->results, -errno, err);

			if (archive)
				rmdir(o->archive);
			return ret;
		}
	}
	return 0;
}

int outputs_create(const struct settings *s, struct outputs *o, struct dip_error *err)
{
	bool archive = s->main.nth_archive > 0, results = strcmp(s->proc.results, "none") != 0;
	char second[32], stamp[48];
	time_t now = time(NULL);
	struct tm tm;
	int ret;

	ret = make_base("arch.arch_output_dir", s->arch.arch_output_dir, archive, err);
	if (ret == 0)
		ret = make_base("proc.proc_output_dir", s->proc.proc_output_dir, results, err);
	if (ret < 0)
		return ret;
	strftime(second, sizeof(second), "%Y%m%d_%H%M%S", localtime_r(&now, &tm));
	snprintf(stamp, sizeof(stamp), "%s", second);
	for (int i = 2; i < TRIES; i++) {
		ret = make_stamped(s, stamp, archive, results, o, err);
		if (ret != -EEXIST)
			return ret;
		snprintf(stamp, sizeof(stamp), "%s_%d", second, i);
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
}

void outputs_remove(struct outputs *o)
{
	outputs_close(o);
	if (o->results[0] != '\0')
		unlink(o->results);
}
