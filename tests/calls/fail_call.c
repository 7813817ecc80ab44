/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Makes the n-th call of a function fail, in a program that is started with this in LD_PRELOAD:
 *
 *   FAIL_CALL   the function
 *   FAIL_NTH    which call of it fails, from 1; 0: none
 *   FAIL_EVER   1: that one and all after it
 *   FAIL_OF     "program": calls from the program itself count; "dpdk": those from DPDK's libraries
 *   FAIL_SAID   a file: gets "N" calls that counted at the end, or "-" when one failed
 *
 * A call counts by where it returns to. Calls of libraries that neither belong to are never touched.
 */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <liburing.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <rte_ring.h>
#include <rte_telemetry.h>

#define OBJECTS 256

static struct range {
	uintptr_t first, last;
} counted[OBJECTS];
static unsigned int objects;
static const char *wanted;
static unsigned long nth, calls;
static bool ever, failed;

static int note_object(struct dl_phdr_info *info, size_t size, void *of)
{
	bool program = info->dlpi_name[0] == '\0';

	(void)size;
	if (strcmp(of, "program") == 0 ? !program : strstr(info->dlpi_name, "/librte_") == NULL)
		return 0;
	for (int i = 0; i < info->dlpi_phnum && objects < OBJECTS; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0)
			counted[objects++] = (struct range){info->dlpi_addr + segment->p_vaddr,
				info->dlpi_addr + segment->p_vaddr + segment->p_memsz};
	}
	return 0;
}

static bool counts(void *caller)
{
	for (unsigned int i = 0; i < objects; i++)
		if ((uintptr_t)caller >= counted[i].first && (uintptr_t)caller < counted[i].last)
			return true;
	return false;
}

static bool fails(const char *function, void *caller)
{
	unsigned long call;

	if (wanted == NULL || strcmp(function, wanted) != 0 || !counts(caller))
		return false;
	call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (nth == 0 || call < nth || (call > nth && !ever))
		return false;
	failed = true;
	return true;
}

static void __attribute__((constructor)) begin(void)
{
	const char *of = getenv("FAIL_OF");

	dl_iterate_phdr(note_object, (void *)(of != NULL ? of : "program"));
	nth = getenv("FAIL_NTH") != NULL ? strtoul(getenv("FAIL_NTH"), NULL, 10) : 0;
	ever = getenv("FAIL_EVER") != NULL && getenv("FAIL_EVER")[0] == '1';
	wanted = getenv("FAIL_CALL");
	unsetenv("LD_PRELOAD");
}

static void __attribute__((destructor)) end(void)
{
	const char *path = getenv("FAIL_SAID");
	FILE *f;

	wanted = NULL;
	f = path != NULL ? fopen(path, "w") : NULL;
	if (f == NULL)
		return;
	if (failed)
		fputs("-", f);
	else
		fprintf(f, "%lu", calls);
	fclose(f);
}

/* A function that fails with a value, after a statement that says why. */
#define FAILING(type, name, parameters, arguments, why, value)                                     \
	type name parameters                                                                       \
	{                                                                                          \
		static type(*real) parameters;                                                     \
                                                                                                   \
		if (fails(#name, __builtin_return_address(0))) {                                   \
			why;                                                                       \
			return value;                                                              \
		}                                                                                  \
		if (real == NULL)                                                                  \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		return real arguments;                                                             \
	}

#define NO_MEMORY (errno = ENOMEM)
#define NO_RTE_MEMORY (rte_errno = ENOMEM)
#define FAULT (errno = EIO)

FAILING(void *, malloc, (size_t size), (size), NO_MEMORY, NULL)
FAILING(void *, calloc, (size_t n, size_t size), (n, size), NO_MEMORY, NULL)
FAILING(void *, realloc, (void *old, size_t size), (old, size), NO_MEMORY, NULL)
FAILING(char *, strdup, (const char *text), (text), NO_MEMORY, NULL)
FAILING(int, posix_memalign, (void **at, size_t align, size_t size), (at, align, size), , ENOMEM)
FAILING(void *, aligned_alloc, (size_t align, size_t size), (align, size), NO_MEMORY, NULL)
FAILING(void *, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
	(at, size, prot, flags, fd, offset), NO_MEMORY, MAP_FAILED)
FAILING(void *, mmap64, (void *at, size_t size, int prot, int flags, int fd, off64_t offset),
	(at, size, prot, flags, fd, offset), NO_MEMORY, MAP_FAILED)
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode), errno = ENOSPC, -1)
FAILING(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), FAULT, -1)
FAILING(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
	FAULT, -1)
FAILING(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at),
	FAULT, -1)
FAILING(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), FAULT, -1)
FAILING(int, fstat64, (int fd, struct stat64 *st), (fd, st), FAULT, -1)
FAILING(int, stat64, (const char *path, struct stat64 *st), (path, st), FAULT, -1)
FAILING(DIR *, opendir, (const char *path), (path), errno = EMFILE, NULL)
FAILING(int, rename, (const char *old, const char *new), (old, new), FAULT, -1)
FAILING(int, fsync, (int fd), (fd), FAULT, -1)
FAILING(int, fdatasync, (int fd), (fd), FAULT, -1)
FAILING(int, ftruncate, (int fd, off_t size), (fd, size), FAULT, -1)
FAILING(int, ftruncate64, (int fd, off64_t size), (fd, size), FAULT, -1)
FAILING(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), FAULT, -1)
FAILING(int, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size), FAULT, -1)
FAILING(int, renameat2, (int from, const char *old, int to, const char *new, unsigned int flags),
	(from, old, to, new, flags), FAULT, -1)
FAILING(int, linkat, (int from, const char *old, int to, const char *new, int flags),
	(from, old, to, new, flags), FAULT, -1)
FAILING(ssize_t, pwritev64, (int fd, const struct iovec *data, int n, off64_t at),
	(fd, data, n, at), FAULT, -1)
FAILING(int, pthread_create,
	(pthread_t * thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
	(thread, attr, start, arg), , EAGAIN)
FAILING(FILE *, fopen, (const char *path, const char *mode), (path, mode), errno = EMFILE, NULL)
FAILING(FILE *, fopen64, (const char *path, const char *mode), (path, mode), errno = EMFILE, NULL)

FAILING(int, io_uring_queue_init_params,
	(unsigned int entries, struct io_uring *ring, struct io_uring_params *p),
	(entries, ring, p), , -ENOMEM)
FAILING(int, io_uring_queue_init, (unsigned int entries, struct io_uring *ring, unsigned int flags),
	(entries, ring, flags), , -ENOMEM)
FAILING(int, io_uring_register_buffers,
	(struct io_uring * ring, const struct iovec *buffers, unsigned int n), (ring, buffers, n), ,
	-ENOMEM)
FAILING(int, io_uring_register_files, (struct io_uring * ring, const int *files, unsigned int n),
	(ring, files, n), , -EMFILE)
FAILING(int, io_uring_register_files_sparse, (struct io_uring * ring, unsigned int n), (ring, n), ,
	-EMFILE)
FAILING(int, io_uring_register_files_update,
	(struct io_uring * ring, unsigned int at, const int *files, unsigned int n),
	(ring, at, files, n), , -EMFILE)
FAILING(int, io_uring_submit, (struct io_uring * ring), (ring), , -EAGAIN)

FAILING(struct rte_mempool *, rte_mempool_create_empty,
	(const char *name, unsigned int n, unsigned int size, unsigned int cache,
		unsigned int private, int socket, unsigned int flags),
	(name, n, size, cache, private, socket, flags), NO_RTE_MEMORY, NULL)
FAILING(int, rte_mempool_set_ops_byname, (struct rte_mempool * mp, const char *name, void *conf),
	(mp, name, conf), , -EINVAL)
FAILING(int, rte_mempool_populate_default, (struct rte_mempool * mp), (mp), , -ENOMEM)
FAILING(struct rte_ring *, rte_ring_create_elem,
	(const char *name, unsigned int element, unsigned int n, int socket, unsigned int flags),
	(name, element, n, socket, flags), NO_RTE_MEMORY, NULL)
FAILING(const struct rte_memzone *, rte_memzone_reserve,
	(const char *name, size_t size, int socket, unsigned int flags),
	(name, size, socket, flags), NO_RTE_MEMORY, NULL)
FAILING(const struct rte_memzone *, rte_memzone_reserve_aligned,
	(const char *name, size_t size, int socket, unsigned int flags, unsigned int align),
	(name, size, socket, flags, align), NO_RTE_MEMORY, NULL)
FAILING(void *, rte_malloc_socket,
	(const char *name, size_t size, unsigned int align, int socket),
	(name, size, align, socket), NO_RTE_MEMORY, NULL)
FAILING(void *, rte_zmalloc_socket,
	(const char *name, size_t size, unsigned int align, int socket),
	(name, size, align, socket), NO_RTE_MEMORY, NULL)
FAILING(int, rte_telemetry_register_cmd, (const char *command, telemetry_cb fn, const char *help),
	(command, fn, help), , -ENOMEM)

/* Those that take a mode when they make a file. */
static mode_t mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
}

#define FAILING_OPEN(name)                                                                         \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		static int (*real)(const char *, int, ...);                                        \
		mode_t mode;                                                                       \
		va_list ap;                                                                        \
                                                                                                   \
		if (fails(#name, __builtin_return_address(0))) {                                   \
			errno = EMFILE;                                                            \
			return -1;                                                                 \
		}                                                                                  \
		va_start(ap, flags);                                                               \
		mode = mode_of(flags, ap);                                                         \
		va_end(ap);                                                                        \
		if (real == NULL)                                                                  \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
		return real(path, flags, mode);                                                    \
	}

FAILING_OPEN(open)
FAILING_OPEN(open64)
