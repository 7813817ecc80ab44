/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "format/format.h"
#include "archive/segment.h"

#define WIDTH 30
#define HEIGHT 20
#define IMAGE (WIDTH * HEIGHT * 2)

static char folder[] = "/tmp/dip_segment_XXXXXX";
static struct dip_segment_conf conf;
static struct dip_segment segment = {
	.fd = -1, .idx_fd = -1, .folder_fd = {-1, -1}}; /* large: not on the stack */

static const char *path_of(const char *name)
{
	static char path[5000];

	snprintf(path, sizeof(path), "%s/run/%s", folder, name);
	return path;
}

static unsigned int entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned int n = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void remove_run(void)
{
	DIR *dir = opendir(path_of(""));
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		unlink(path_of(entry->d_name));
	closedir(dir);
	rmdir(path_of(""));
}

static int setup_group(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown_group(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int setup(void **state)
{
	(void)state;
	conf = (struct dip_segment_conf){.prefix = "frames",
		.npy = true,
		.width = WIDTH,
		.height = HEIGHT,
		.segment_bytes = DIP_HEADER_BYTES + 5 * 4096 + 4095,
		.block_bytes = 4096,
		.make_index = true,
		.files = &dip_files};
	snprintf(conf.dir, sizeof(conf.dir), "%s/run", folder);
	return mkdir(conf.dir, 0755);
}

static int teardown(void **state)
{
	struct rlimit limit;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	dip_segment_abandon(&segment);
	remove_run();
	return 0;
}

static void open_segment(unsigned int number)
{
	struct dip_error err = {""};

	if (dip_segment_open(&conf, number, &segment, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_segment(void)
{
	struct dip_error err = {""};

	if (dip_segment_close(&segment, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(segment.fd, -1);
	assert_int_equal(segment.idx_fd, -1);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) < 0 ? -1 : st.st_size;
}

/* A record of seq in its slot, as the archiver writes it. */
static void write_record(uint64_t slot, uint64_t seq)
{
	char *record = calloc(1, segment.stride);

	assert_non_null(record);
	memset(record, (int)seq, IMAGE);
	assert_int_equal(
		pwrite(segment.fd, record, segment.stride, dip_segment_offset(&segment, slot)),
		segment.stride);
	free(record);
}

static void text_is(const char *name, const char *want)
{
	char text[4096];
	FILE *f = fopen(path_of(name), "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_string_equal(text, want);
}

static void header_is(const char *name, uint64_t records)
{
	char found[DIP_HEADER_BYTES], want[DIP_HEADER_BYTES];
	FILE *f = fopen(path_of(name), "r");

	assert_non_null(f);
	assert_int_equal(fread(found, 1, sizeof(found), f), sizeof(found));
	fclose(f);
	assert_int_equal(dip_segment_header(want, WIDTH, HEIGHT, 4096, records), 0);
	assert_memory_equal(found, want, sizeof(want));
}

static void test_geometry(void **state)
{
	(void)state;
	assert_int_equal(dip_segment_stride(&conf), 4096);
	assert_int_equal(dip_segment_capacity(&conf), 5);
	conf.segment_bytes++;
	assert_int_equal(dip_segment_capacity(&conf), 6);
	conf.segment_bytes = 1; /* one record at least */
	assert_int_equal(dip_segment_capacity(&conf), 1);
	conf.block_bytes = 512;
	assert_int_equal(dip_segment_stride(&conf), 1536);
	conf.npy = false;
	assert_int_equal(dip_segment_stride(&conf), IMAGE);
	conf.segment_bytes = 3 * IMAGE;
	assert_int_equal(dip_segment_capacity(&conf), 3);
	conf.segment_bytes = 3 * IMAGE - 1;
	assert_int_equal(dip_segment_capacity(&conf), 2);
}

static unsigned int sync_now(void)
{
	struct dip_segment *segments[] = {&segment};

	return dip_segments_sync(segments, 1);
}

static void sync_and_index(int want)
{
	assert_int_equal(sync_now(), 0);
	assert_int_equal(dip_segment_write_index(&segment), want);
}

/* Open: the header promises all. Closed: header, size and index say what was committed. */
static void test_cut_to_truth(void **state)
{
	(void)state;
	open_segment(7);
	assert_int_equal(segment.capacity, 5);
	header_is("frames_000007.npy", 5);
	assert_int_equal(size_of("frames_000007.npy"), DIP_HEADER_BYTES + 5 * 4096);
	for (unsigned int i = 0; i < 4; i++)
		write_record(i, 100 + i);
	for (unsigned int i = 0; i < 3; i++) /* the fourth was never known to be written */
		dip_segment_commit(&segment, 100 + i * 5);
	close_segment();
	header_is("frames_000007.npy", 3);
	assert_int_equal(size_of("frames_000007.npy"), DIP_HEADER_BYTES + 3 * 4096);
	text_is("frames_000007.idx", "100 4096\n105 8192\n110 12288\n");
	assert_int_equal(entries(conf.dir), 2);
}

static void test_full_segment(void **state)
{
	(void)state;
	open_segment(0);
	for (unsigned int i = 0; i < 5; i++) {
		write_record(i, i);
		dip_segment_commit(&segment, UINT64_MAX - i);
		if (i == 2)
			sync_and_index(0);
	}
	close_segment();
	header_is("frames_000000.npy", 5);
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 5 * 4096);
	text_is("frames_000000.idx", "18446744073709551615 4096\n18446744073709551614 8192\n"
				     "18446744073709551613 12288\n18446744073709551612 16384\n"
				     "18446744073709551611 20480\n");
}

static void test_raw(void **state)
{
	struct stat st;

	(void)state;
	conf.npy = false;
	conf.segment_bytes = 1 << 20;
	open_segment(999999);
	assert_int_equal(size_of("frames_999999.bin"), 0);
	for (unsigned int i = 0; i < 3; i++) {
		write_record(i, i);
		dip_segment_commit(&segment, i);
	}
	write_record(3, 3);
	close_segment();
	assert_int_equal(stat(path_of("frames_999999.bin"), &st), 0);
	assert_int_equal(st.st_size, 3 * IMAGE);
	assert_true(st.st_blocks * 512 <= 16384); /* what was reserved beyond is given back */
	text_is("frames_999999.idx", "0 0\n1 1200\n2 2400\n");
}

static void test_no_index(void **state)
{
	(void)state;
	conf.make_index = false;
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	sync_and_index(0);
	close_segment();
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 4096);
	assert_int_equal(entries(conf.dir), 1);
}

/* Records through O_DIRECT where that works, and the same file in the end. */
static void test_direct(void **state)
{
	void *record = NULL;

	(void)state;
	conf.direct = true;
	open_segment(0);
	assert_int_equal(!!(fcntl(segment.fd, F_GETFL) & O_DIRECT), segment.direct);
	assert_int_equal(posix_memalign(&record, 4096, 4096), 0);
	memset(record, 0x5a, 4096);
	assert_int_equal(pwrite(segment.fd, record, 4096, dip_segment_offset(&segment, 0)), 4096);
	free(record);
	dip_segment_commit(&segment, 0);
	close_segment();
	header_is("frames_000000.npy", 1);
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 4096);
	/* A record that is no multiple of the block cannot be written that way. */
	conf.npy = false;
	open_segment(1);
	assert_false(segment.direct);
	assert_false(fcntl(segment.fd, F_GETFL) & O_DIRECT);
	close_segment();
}

static int write_unless_direct(int fd, const void *buf, size_t bytes, uint64_t offset)
{
	return fcntl(fd, F_GETFL) & O_DIRECT ? -EINVAL : dip_files.write(fd, buf, bytes, offset);
}

/* A file system that takes the flag, and refuses the first write with it. */
static void test_direct_refused(void **state)
{
	static struct dip_file_ops refusing;

	(void)state;
	refusing = dip_files;
	refusing.write = write_unless_direct;
	conf.files = &refusing;
	conf.direct = true;
	open_segment(0);
	assert_false(segment.direct);
	assert_int_equal(segment.align, 1);
	header_is("frames_000000.npy", 5);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	close_segment();
	header_is("frames_000000.npy", 1);
}

static void test_empty_is_removed(void **state)
{
	(void)state;
	for (int npy = 0; npy <= 1; npy++) {
		conf.npy = npy;
		open_segment(0);
		assert_int_equal(entries(conf.dir), 2);
		write_record(0, 0);
		close_segment();
		assert_int_equal(entries(conf.dir), 0);
	}
}

/* The run's folder is made when it is not there, its parent is not. */
static void test_folder(void **state)
{
	struct dip_error err = {""};

	(void)state;
	remove_run();
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	close_segment();
	assert_int_equal(entries(conf.dir), 2);
	snprintf(conf.dir, sizeof(conf.dir), "%s/no/run", folder);
	assert_int_equal(dip_segment_open(&conf, 0, &segment, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/no/run/frames_000000.npy: "));
	assert_non_null(strstr(err.text, "No such file or directory"));
	assert_int_equal(entries(folder), 1);
	snprintf(conf.dir, sizeof(conf.dir), "%s/run/frames_000000.npy", folder);
	assert_int_equal(dip_segment_open(&conf, 0, &segment, &err), -ENOTDIR);
	snprintf(conf.dir, sizeof(conf.dir), "%s/run", folder);
}

/* What is there already is never touched. */
static void test_files_in_the_way(void **state)
{
	static const char *const names[] = {"frames_000000.npy", "frames_000000.idx"};
	struct dip_error err = {""};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		FILE *f = fopen(path_of(names[i]), "w");

		assert_non_null(f);
		fputs("mine\n", f);
		fclose(f);
		assert_int_equal(dip_segment_open(&conf, 0, &segment, &err), -EEXIST);
		assert_non_null(strstr(err.text, "frames_000000.npy: "));
		assert_int_equal(entries(conf.dir), 1);
		text_is(names[i], "mine\n");
		unlink(path_of(names[i]));
	}
}

static void test_removed_folder(void **state)
{
	struct dip_error err = {""};

	(void)state;
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	assert_true(dip_segment_linked(&segment));
	remove_run();
	assert_false(dip_segment_linked(&segment));
	dip_segment_abandon(&segment);
	assert_int_equal(segment.fd, -1);
	assert_int_equal(entries(folder), 0);
	open_segment(1);
	assert_true(dip_segment_linked(&segment));
	dip_segment_commit(&segment, 1);
	remove_run();
	dip_segment_close(&segment, &err); /* whatever it says, it makes no file anew */
	assert_int_equal(segment.fd, -1);
	assert_int_equal(entries(folder), 0);
}

static void limit_file_size(off_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes < 0 ? limit.rlim_max : (rlim_t)bytes;
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* A segment that cannot be made leaves nothing behind: no file, nor a folder of its making. */
static void test_failed_open_leaves_nothing(void **state)
{
	struct dip_error err = {""};
	int ret;

	(void)state;
	for (int made = 0; made <= 1; made++) {
		limit_file_size(1000); /* not even a header */
		ret = dip_segment_open(&conf, 0, &segment, &err);
		limit_file_size(-1);
		assert_true(ret < 0);
		assert_non_null(strstr(err.text, "/run/frames_000000.npy: "));
		assert_int_equal(entries(conf.dir), 0);
		assert_int_equal(entries(folder), made == 0 ? 1 : 0);
		remove_run();
	}
}

/* Where files may not get as large as a segment, it grows with its records. */
static void test_large_segment(void **state)
{
	(void)state;
	limit_file_size(DIP_HEADER_BYTES + 2 * 4096);
	open_segment(0);
	for (unsigned int i = 0; i < 2; i++) {
		write_record(i, i);
		dip_segment_commit(&segment, i);
	}
	close_segment();
	limit_file_size(-1);
	header_is("frames_000000.npy", 2);
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 2 * 4096);
}

/* An index that cannot be written: whole lines only, and none is lost when it works again. */
static void test_index_cut_short(void **state)
{
	(void)state;
	for (off_t bytes = 0; bytes < 22; bytes++) {
		open_segment(bytes);
		write_record(0, 0);
		write_record(1, 1);
		dip_segment_commit(&segment, 10);
		dip_segment_commit(&segment, 11);
		limit_file_size(bytes);
		if (bytes < 16) {
			sync_and_index(-EFBIG);
			assert_int_equal(lseek(segment.idx_fd, 0, SEEK_END), 0);
		} else {
			sync_and_index(0);
		}
		limit_file_size(-1);
		write_record(2, 2);
		dip_segment_commit(&segment, 12);
		sync_and_index(0);
		close_segment();
		snprintf(segment.path, sizeof(segment.path), "frames_%06d.idx", (int)bytes);
		text_is(segment.path, "10 4096\n11 8192\n12 12288\n");
	}
}

/* An index that cannot be written at the close is an error of the close; the data is whole. */
static void test_index_fails_at_close(void **state)
{
	struct dip_error err = {""};
	int full;

	(void)state;
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	full = open("/dev/full", O_WRONLY);
	assert_true(full >= 0);
	dup2(full, segment.idx_fd);
	close(full);
	assert_true(dip_segment_close(&segment, &err) < 0);
	assert_non_null(strstr(err.text, "frames_000000.npy: its index: "));
	assert_int_equal(segment.fd, -1);
	header_is("frames_000000.npy", 1);
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 4096);
}

static int truncate_fails(int fd, uint64_t bytes)
{
	(void)fd;
	(void)bytes;
	return -EIO;
}

/* A segment that cannot be cut is an error of the close, and never called good. */
static void test_cut_fails(void **state)
{
	static struct dip_file_ops failing;
	struct dip_error err = {""};

	(void)state;
	failing = dip_files;
	conf.files = &failing;
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	failing.truncate = truncate_fails;
	assert_int_equal(dip_segment_close(&segment, &err), -EIO);
	assert_false(segment.cut);
	assert_non_null(strstr(err.text, "frames_000000.npy: closing: Input/output error"));
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 5 * 4096);
}

/* --- what is durable --- */

/* The file system's calls, in order, and a plan for sync: the n-th of a kind fails. */
static struct {
	char text[8192];
	const char *suffix; /* of the path whose sync fails */
	unsigned int fail_at, syncs;
} calls;

static void note(const char *call, int fd)
{
	char link[64], path[5000] = "";
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	snprintf(calls.text + strlen(calls.text), sizeof(calls.text) - strlen(calls.text),
		"%s %s\n", call, strrchr(path, '/') + 1);
}

static int noted_write(int fd, const void *buf, size_t bytes, uint64_t offset)
{
	note("write", fd);
	return dip_files.write(fd, buf, bytes, offset);
}

static int noted_truncate(int fd, uint64_t bytes)
{
	note("truncate", fd);
	return dip_files.truncate(fd, bytes);
}

static int planned_sync(int fd)
{
	char *before = calls.text + strlen(calls.text), *end;

	note("sync", fd);
	end = calls.text + strlen(calls.text) - 1;
	if (calls.suffix != NULL && end - before > (ptrdiff_t)strlen(calls.suffix) &&
		strncmp(end - strlen(calls.suffix), calls.suffix, strlen(calls.suffix)) == 0 &&
		++calls.syncs == calls.fail_at)
		return -EIO;
	return dip_files.sync(fd);
}

static int noted_rename(const char *from, const char *to)
{
	snprintf(calls.text + strlen(calls.text), sizeof(calls.text) - strlen(calls.text),
		"rename %s %s\n", strrchr(from, '/') + 1, strrchr(to, '/') + 1);
	return dip_files.rename(from, to);
}

static struct dip_file_ops noting;

static void take_notes(const char *suffix, unsigned int fail_at)
{
	memset(&calls, 0, sizeof(calls));
	calls.suffix = suffix;
	calls.fail_at = fail_at;
	noting = dip_files;
	noting.write = noted_write;
	noting.truncate = noted_truncate;
	noting.sync = planned_sync;
	noting.rename = noted_rename;
	noting.parallel = false;
	conf.files = &noting;
}

/* The order that holds after a loss of power: header, name and records before their lines; and no
 * sync at the opening, since a rotation would wait for it. */
static void test_order(void **state)
{
	(void)state;
	take_notes(NULL, 0);
	open_segment(0);
	assert_string_equal(calls.text, "write frames_000000.npy.new\n"
					"rename frames_000000.npy.new frames_000000.npy\n");
	calls.text[0] = '\0';
	write_record(0, 5);
	dip_segment_commit(&segment, 5);
	assert_int_equal(dip_segment_write_index(&segment), 0); /* 5 is not durable: no line */
	sync_and_index(0);
	assert_int_equal(segment.durable, 1);
	assert_int_equal(strncmp(calls.text, "sync frames_000000.npy\nsync run\nsync dip_segment_",
				 strlen("sync frames_000000.npy\nsync run\nsync dip_segment_")),
		0);
	assert_string_equal(
		strrchr(strrchr(calls.text, '_'), '\n') - strlen("write frames_000000.idx"),
		"write frames_000000.idx\n");
	text_is("frames_000000.idx", "5 4096\n");
	calls.text[0] = '\0';
	write_record(1, 6);
	dip_segment_commit(&segment, 6);
	assert_int_equal(dip_segment_write_index(&segment), 0);
	assert_string_equal(calls.text, "");
	close_segment();
	assert_string_equal(calls.text,
		"write frames_000000.npy\ntruncate frames_000000.npy\n"
		"sync frames_000000.npy\nsync frames_000000.idx\n"
		"write frames_000000.idx\nsync frames_000000.idx\ntruncate frames_000000.idx\n");
	text_is("frames_000000.idx", "5 4096\n6 8192\n");
}

/* Several segments in one round: each is judged by its own sync. */
static void test_one_round(void **state)
{
	struct dip_segment other, *both[] = {&segment, &other};
	struct dip_error err = {""};

	(void)state;
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	take_notes("_000000.npy", 1);
	assert_int_equal(dip_segment_open(&conf, 1, &other, &err), 0);
	segment.conf = &conf;
	assert_int_equal(pwrite(other.fd, "", 1, dip_segment_offset(&other, 0)), 1);
	dip_segment_commit(&other, 1);
	calls.text[0] = '\0';
	assert_int_equal(dip_segments_sync(both, 2), 1);
	assert_non_null(strstr(calls.text, "sync frames_000000.npy\nsync run\n"));
	assert_non_null(strstr(calls.text, "sync frames_000001.npy\nsync run\n"));
	assert_true(segment.condemned);
	assert_int_equal(segment.durable, 0);
	assert_false(other.condemned);
	assert_int_equal(other.durable, 1);
	assert_int_equal(other.folder_fd[0], -1);
	assert_int_equal(dip_segment_close(&segment, &err), -EIO);
	assert_int_equal(dip_segment_close(&other, &err), 0);
}

/* A failed sync is final: the segment is kept, marked, and never cut or called good, whatever a
 * second sync would say. Its index keeps what was durable before. */
static void test_condemned(void **state)
{
	struct dip_error err = {""};

	(void)state;
	take_notes(".npy", 2);
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	sync_and_index(0);
	write_record(1, 1);
	dip_segment_commit(&segment, 1);
	assert_false(segment.ended);
	assert_int_equal(sync_now(), 1);
	assert_int_equal(dip_segment_failure(&segment, &err), -EIO);
	assert_non_null(
		strstr(err.text, "/run/frames_000000.npy.condemned: sync: Input/output error; "
				 "condemned, 1 frames in it may be lost"));
	assert_true(segment.ended);
	assert_int_equal(segment.durable, 1);
	assert_int_equal(dip_segment_close(&segment, &err), -EIO);
	assert_int_equal(entries(conf.dir), 2);
	text_is("frames_000000.idx.condemned", "0 4096\n");
	header_is("frames_000000.npy.condemned", 5);
	open_segment(1);
	assert_int_equal(segment.durable, 0);
}

static void test_condemned_at_close(void **state)
{
	struct dip_error err = {""};

	(void)state;
	take_notes(".npy", 1);
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	assert_int_equal(dip_segment_close(&segment, &err), -EIO);
	assert_true(segment.condemned);
	text_is("frames_000000.idx.condemned", "");
	assert_int_equal(entries(conf.dir), 2);
}

/* A name that cannot be made durable: nothing in the segment can be promised. */
static void test_folder_sync_fails(void **state)
{
	(void)state;
	take_notes("run", 1);
	open_segment(0);
	write_record(0, 0);
	dip_segment_commit(&segment, 0);
	assert_int_equal(sync_now(), 1);
	assert_int_equal(segment.durable, 0);
	assert_int_equal(dip_segment_write_index(&segment), 0);
	text_is("frames_000000.idx.condemned", "");
}

/* An index that could not be made durable is written anew, all of it. */
static void test_index_sync_fails(void **state)
{
	(void)state;
	take_notes(".idx", 2);
	open_segment(0);
	for (unsigned int i = 0; i < 4; i++) {
		write_record(i, i);
		dip_segment_commit(&segment, i);
		assert_int_equal(sync_now(), 0);
		assert_int_equal(segment.indexed, i == 2 ? 0 : i);
		assert_int_equal(segment.idx_error, i == 2 ? EIO : 0);
		assert_int_equal(dip_segment_write_index(&segment), 0);
		assert_int_equal(segment.indexed, i + 1);
	}
	text_is("frames_000000.idx", "0 4096\n1 8192\n2 12288\n3 16384\n");
	close_segment();
}

/* --- a file system that is full --- */

static bool mount_small(size_t bytes)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%zu", bytes);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", conf.dir, "tmpfs", 0, options) < 0) {
		print_message("skipped: no right to mount a small file system (root has it)\n");
		return false;
	}
	return true;
}

static void fill_up(size_t leave)
{
	static char page[4096];
	int fd = open(path_of("filler"), O_CREAT | O_WRONLY, 0600);
	off_t end = 0;

	assert_true(fd >= 0);
	while (write(fd, page, sizeof(page)) == sizeof(page))
		end += sizeof(page);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(ftruncate(fd, end - leave), 0);
	close(fd);
}

static void test_full_file_system(void **state)
{
	struct dip_error err = {""};
	char record[4096] = {1};

	(void)state;
	if (!mount_small(1 << 20))
		skip();
	fill_up(0);
	assert_int_equal(dip_segment_open(&conf, 0, &segment, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "frames_000000.npy: No space left on device"));
	assert_int_equal(entries(conf.dir), 1);
	/* Room for the header, two records of five and their lines: used to the last block. */
	fill_up(4 * 4096);
	open_segment(0);
	header_is("frames_000000.npy", 5);
	for (unsigned int i = 0; i < 2; i++) {
		write_record(i, i);
		dip_segment_commit(&segment, i);
	}
	assert_int_equal(pwrite(segment.fd, record, 4096, dip_segment_offset(&segment, 2)), -1);
	assert_int_equal(errno, ENOSPC);
	close_segment();
	header_is("frames_000000.npy", 2);
	assert_int_equal(size_of("frames_000000.npy"), DIP_HEADER_BYTES + 2 * 4096);
	text_is("frames_000000.idx", "0 4096\n1 8192\n");
}

static int teardown_mount(void **state)
{
	dip_segment_abandon(&segment);
	umount2(conf.dir, MNT_DETACH);
	return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_geometry),
		TEST(test_cut_to_truth),
		TEST(test_full_segment),
		TEST(test_raw),
		TEST(test_no_index),
		TEST(test_direct),
		TEST(test_direct_refused),
		TEST(test_empty_is_removed),
		TEST(test_folder),
		TEST(test_files_in_the_way),
		TEST(test_removed_folder),
		TEST(test_failed_open_leaves_nothing),
		TEST(test_large_segment),
		TEST(test_index_cut_short),
		TEST(test_index_fails_at_close),
		TEST(test_cut_fails),
		TEST(test_order),
		TEST(test_condemned),
		TEST(test_condemned_at_close),
		TEST(test_one_round),
		TEST(test_folder_sync_fails),
		TEST(test_index_sync_fails),
		cmocka_unit_test_setup_teardown(test_full_file_system, setup, teardown_mount),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
