/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "telemetry_group.h"

#define KEY "main.telemetry_group"
#define SOCKET_NAME "/dpdk_telemetry.v2"
#define COMMANDS_NAME "/mp_socket"
#define WAY_THROUGH (S_IXGRP | S_IXOTH)

static int find_group(const char *group, gid_t *gid)
{
	const struct group *entry = getgrnam(group);
	unsigned long number;
	char *end;

	if (entry != NULL) {
		*gid = entry->gr_gid;
		return 0;
	}
	errno = 0;
	number = strtoul(group, &end, 10);
	if (group[0] < '0' || group[0] > '9' || *end != '\0' || errno != 0 || number >= UINT32_MAX)
		return -EINVAL;
	*gid = number;
	return 0;
}

int telemetry_group_check(const char *group, struct dip_error *err)
{
	gid_t gid;

	if (group[0] == '\0' || find_group(group, &gid) == 0)
		return 0;
	return dip_fail(err, EINVAL,
		KEY " = \"%s\": there is no such group; expected one that `getent group` shows, "
		    "or a number",
		group);
}

/* Others of the same prefix have sockets of other names: ours is the one that this process holds. */
static bool find_socket(struct sockaddr_un *found)
{
	DIR *open_files = opendir("/proc/self/fd");
	const struct dirent *entry;
	bool there = false;

	if (open_files == NULL)
		return false;
	while (!there && (entry = readdir(open_files)) != NULL) {
		struct sockaddr_un name = {0};
		socklen_t bytes = sizeof(name) - 1;

		there = getsockname(atoi(entry->d_name), (struct sockaddr *)&name, &bytes) == 0 &&
			name.sun_family == AF_UNIX && strstr(name.sun_path, SOCKET_NAME) != NULL;
		*found = name;
	}
	closedir(open_files);
	return there;
}

static int admit(const char *path, gid_t gid, mode_t mode)
{
	return chown(path, -1, gid) == 0 && chmod(path, mode) == 0 ? 0 : -errno;
}

/* The folder above is that of all prefixes: others may pass it, and read nothing there. */
static int open_way(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if ((st.st_mode & WAY_THROUGH) == WAY_THROUGH)
		return 0;
	return chmod(path, (st.st_mode & ALLPERMS) | WAY_THROUGH) == 0 ? 0 : -errno;
}

/* The socket of EAL's own commands stays this user's, whatever the umask gave to others. */
static int close_commands(const char *folder)
{
	char path[PATH_MAX + sizeof(COMMANDS_NAME)];

	snprintf(path, sizeof(path), "%s" COMMANDS_NAME, folder);
	return chmod(path, S_IRWXU) == 0 || errno == ENOENT ? 0 : -errno;
}

static int fail(const char *group, const char *path, int ret, struct dip_error *err)
{
	return dip_fail(err, -ret,
		KEY " = \"%s\": cannot let it into %s: %s; expected a group that this user is in, "
		    "or root",
		group, path, strerror(-ret));
}

int telemetry_group_admit(const char *group, struct dip_error *err)
{
	struct sockaddr_un name;
	char folder[PATH_MAX];
	gid_t gid;
	int ret;

	if (group[0] == '\0')
		return 0;
	if (find_group(group, &gid) < 0 || !find_socket(&name))
		return dip_fail(err, EINVAL,
			KEY " = \"%s\": EAL has no telemetry socket; expected a start without "
			    "--no-telemetry, or no such key",
			group);
	/* The socket first: who gets into the folder finds it as it is to be. */
	ret = admit(name.sun_path, gid, S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP);
	if (ret < 0)
		return fail(group, name.sun_path, ret, err);
	snprintf(folder, sizeof(folder), "%s", rte_eal_get_runtime_dir());
	if (folder[0] == '\0')
		return 0; /* in /tmp, which everybody may pass */
	ret = close_commands(folder);
	if (ret == 0)
		ret = admit(folder, gid, S_IRWXU | S_IXGRP);
	if (ret < 0)
		return fail(group, folder, ret, err);
	ret = open_way(dirname(folder));
	return ret < 0 ? fail(group, folder, ret, err) : 0;
}
