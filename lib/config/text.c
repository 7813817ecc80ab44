/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/text.h"

#define MAX_BYTES ((size_t)1 << 20)
#define MAX_LINES ((size_t)65535)
#define MAX_DEPTH 10
#define MAX_FILES 1000
#define READ_BYTES ((size_t)16384)

struct scan {
	struct dip_config_text *out;
	const char *p;     /* the next character, NUL-terminated */
	const char *where; /* of a string; NULL for a file */
	unsigned int file, line, depth;
	struct dip_error *err;
};

static int include(struct scan *s, const char *path);

/* "FILE:LINE", or what stands for it. */
static const char *scan_where(const struct scan *s, char *buf, size_t size)
{
	if (s->where)
		return s->where;
	snprintf(buf, size, "%s:%u", s->out->files[s->file], s->line);
	return buf;
}

static int grow(void **array, size_t need, size_t *size, size_t item)
{
	if (need <= *size)
		return 0;
	size_t larger = need * 2 + 256;
	void *p = realloc(*array, larger * item);
	if (!p)
		return -ENOMEM;
	*array = p;
	*size = larger;
	return 0;
}

static size_t max_bytes(const struct dip_config_text *t)
{
	return t->max_bytes ? t->max_bytes : MAX_BYTES;
}

static const char *kind(const struct dip_config_text *t)
{
	return t->kind ? t->kind : "configuration file";
}

static size_t max_lines(const struct dip_config_text *t)
{
	return t->max_lines ? t->max_lines : MAX_LINES;
}

static int too_much(const struct scan *s, int rc)
{
	char where[512];
	if (rc == -ENOMEM)
		return dip_fail(
			s->err, ENOMEM, "%s: out of memory", scan_where(s, where, sizeof(where)));
	return dip_fail(s->err, EFBIG,
		"%s: the configuration is too long; expected at most %zu bytes and %zu lines",
		scan_where(s, where, sizeof(where)), max_bytes(s->out), max_lines(s->out));
}

/* The output's last line, empty so far, comes from where the scan is now. */
static void mark_line(struct scan *s)
{
	s->out->lines[s->out->line_count - 1] = (struct dip_config_line){s->file, s->line};
}

static int add_line(struct scan *s)
{
	struct dip_config_text *t = s->out;
	int rc = t->line_count < max_lines(t) ? 0 : -EFBIG;
	if (!rc)
		rc = grow((void **)&t->lines, t->line_count + 1, &t->line_size, sizeof(*t->lines));
	if (rc)
		return too_much(s, rc);
	t->line_count++;
	mark_line(s);
	return 0;
}

static int put(struct scan *s, char c)
{
	struct dip_config_text *t = s->out;
	int rc = t->len < max_bytes(t) ? 0 : -EFBIG;
	if (!rc)
		rc = grow((void **)&t->text, t->len + 2, &t->size, 1);
	if (rc)
		return too_much(s, rc);
	t->text[t->len++] = c;
	t->text[t->len] = '\0';
	if (c != '\n')
		return 0;
	s->line++;
	return add_line(s);
}

static int copy_to(struct scan *s, const char *end)
{
	int rc = 0;
	while (!rc && s->p < end)
		rc = put(s, *s->p++);
	return rc;
}

/* The end of the string, comment or name that starts at p; NULL if none of them does. */
static const char *token_end(const char *p)
{
	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			if (*p == '\\' && p[1])
				p++;
		return *p ? p + 1 : p;
	}
	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		const char *end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (!isalpha((unsigned char)*p) && *p != '*')
		return NULL;
	while (isalnum((unsigned char)*p) || (*p && strchr("*_-", *p)))
		p++;
	return p;
}

static bool number_starts(const char *p)
{
	if (*p == '+' || *p == '-')
		p++;
	if (*p == '.')
		p++;
	return isdigit((unsigned char)*p);
}

/* Copy a number, with an L behind a whole one that needs 64 bits. */
static int copy_number(struct scan *s)
{
	const char *start = s->p;
	char *end, where[512];
	errno = 0;
	long long value = strtoll(start, &end, start[0] == '0' && (start[1] | 32) == 'x' ? 16 : 10);
	bool too_large = errno == ERANGE;
	/* strtoll takes no ".5", and what it leaves behind tells "5" from "5.0" and "5e3". */
	if (end == start || *end == '.' || (*end | 32) == 'e') {
		end = (char *)start + 1;
		while (isalnum((unsigned char)*end) || *end == '.' ||
			((*end == '-' || *end == '+') && (end[-1] | 32) == 'e'))
			end++;
		return copy_to(s, end);
	}
	if (too_large)
		return dip_fail(s->err, EINVAL,
			"%s: %.*s: beyond 64 bits; expected a whole number from %lld to %lld",
			scan_where(s, where, sizeof(where)),
			(int)(end - start > 40 ? 40 : end - start), start, (long long)INT64_MIN,
			(long long)INT64_MAX);
	int rc = copy_to(s, end);
	if (!rc && *end != 'L' && (value > INT32_MAX || value < INT32_MIN))
		rc = put(s, 'L');
	return rc;
}

/* At the start of a line: @include "path"? Then put the file in its place. Returns 1 if it was
 * one, 0 if not, or a negative errno. */
static int try_include(struct scan *s)
{
	char path[4096], where[4200];
	size_t n = 0;
	const char *p = s->p + strspn(s->p, " \t");
	if (strncmp(p, "@include", 8) || !strchr(" \t", p[8]))
		return 0;
	p += 8 + strspn(p + 8, " \t");
	if (*p != '"')
		return 0;
	for (p++; *p && *p != '"' && *p != '\n' && n < sizeof(path) - 1; p++) {
		if (*p == '\\' && (p[1] == '\\' || p[1] == '"'))
			p++;
		path[n++] = *p;
	}
	path[n] = '\0';
	if (*p != '"' || !n)
		return dip_fail(s->err, EINVAL, "%s: bad @include; expected @include \"FILE\"",
			scan_where(s, where, sizeof(where)));
	if (s->depth >= MAX_DEPTH)
		return dip_fail(s->err, EINVAL,
			"%s: @include \"%s\": nested more than %d deep; does a file include "
			"itself?",
			scan_where(s, where, sizeof(where)), path, MAX_DEPTH);
	/* Empty files add nothing that max_bytes would end. */
	if (s->out->file_count >= MAX_FILES)
		return dip_fail(s->err, EINVAL,
			"%s: @include \"%s\": more than %d files in all; does one include another "
			"again and again?",
			scan_where(s, where, sizeof(where)), path, MAX_FILES);
	s->p = p + 1;
	int rc = include(s, path);
	/* What follows on the same line becomes a line of its own, from the same place. */
	mark_line(s);
	return rc ? rc : 1;
}

static int scan(struct scan *s)
{
	bool line_start = true;
	int rc = 0;
	if (s->out->line_count)
		mark_line(s);
	else
		rc = add_line(s);
	while (!rc && *s->p) {
		if (line_start && !s->where) {
			rc = try_include(s);
			if (rc > 0) {
				rc = 0;
				continue;
			}
			if (rc)
				break;
		}
		const char *end = token_end(s->p);
		line_start = *s->p == '\n';
		if (end)
			rc = copy_to(s, end);
		else if (number_starts(s->p))
			rc = copy_number(s);
		else
			rc = put(s, *s->p++);
	}
	/* libconfig wants a line break behind a last line that ends in a comment. */
	if (rc || (s->out->len && s->out->text[s->out->len - 1] == '\n'))
		return rc;
	return put(s, '\n');
}

/* All of a file, NUL-terminated; the caller frees it. A pipe will do, a folder will not. */
static int read_whole(const char *name, size_t most, char **text, size_t *len)
{
	struct stat st;
	int rc = 0;
	FILE *f = fopen(name, "re");
	if (!f)
		return -errno;
	char *all = NULL;
	size_t size = 0, got = 1;
	*len = 0;
	if (!fstat(fileno(f), &st) && S_ISDIR(st.st_mode))
		rc = -EISDIR;
	/* One more than is allowed shows that there is too much; room for the zero behind it. */
	while (!rc && got > 0 && *len <= most) {
		rc = grow((void **)&all, *len + READ_BYTES + 1, &size, 1);
		if (rc)
			break;
		got = fread(all + *len, 1, READ_BYTES, f);
		*len += got;
	}
	if (!rc && *len > most)
		rc = -EFBIG;
	else if (!rc && ferror(f))
		rc = -EIO;
	fclose(f);
	if (rc) {
		free(all);
		return rc;
	}
	all[*len] = '\0';
	*text = all;
	return 0;
}

/* Scan a file into the output. from: what names it, for the message. Takes name over. */
static int scan_file(struct scan *s, char *name, const char *from)
{
	struct dip_config_text *t = s->out;
	size_t files = t->file_count, len = 0;
	char *text = NULL;
	char **larger = name ? realloc(t->files, (files + 1) * sizeof(*t->files)) : NULL;
	if (!larger) {
		free(name);
		return dip_fail(s->err, ENOMEM, "%sout of memory", from);
	}
	t->files = larger;
	t->files[t->file_count++] = name;
	s->file = (unsigned int)files;
	s->line = 1;
	int rc = read_whole(name, max_bytes(t), &text, &len);
	if (!text)
		return dip_fail(s->err, -rc, "%s%s: cannot be read: %s; expected a %s", from, name,
			strerror(-rc), kind(t));
	s->p = text;
	if (strlen(text) != len)
		rc = dip_fail(s->err, EINVAL, "%s%s: has a zero byte at offset %zu; expected text",
			from, name, strlen(text));
	else
		rc = scan(s);
	free(text);
	return rc;
}

/* A pipe, say, whose writer may never end; folders are told apart when they are read. */
static bool is_no_file(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int include(struct scan *s, const char *path)
{
	struct scan sub = {.out = s->out, .depth = s->depth + 1, .err = s->err};
	const char *parent = s->out->files[s->file];
	const char *slash = *path == '/' ? NULL : strrchr(parent, '/');
	char where[4200], from[4300], *name;
	if (asprintf(&name, "%.*s%s", slash ? (int)(slash - parent + 1) : 0, parent, path) < 0)
		name = NULL;
	snprintf(from, sizeof(from), "%s: @include: ", scan_where(s, where, sizeof(where)));
	if (name && is_no_file(name)) {
		free(name);
		return dip_fail(s->err, EINVAL, "%s%s: is no regular file; expected a %s", from, path,
			kind(s->out));
	}
	return scan_file(&sub, name, from);
}

int dip_config_text_load(struct dip_config_text *text, const char *file, struct dip_error *err)
{
	struct scan s = {.out = text, .err = err};
	return scan_file(&s, strdup(file), "");
}

int dip_config_text_string(
	struct dip_config_text *text, const char *string, const char *where, struct dip_error *err)
{
	struct scan s = {.out = text, .p = string, .where = where, .line = 1, .err = err};
	return scan(&s);
}

const char *dip_config_text_where(
	const struct dip_config_text *text, unsigned int line, unsigned int *file_line)
{
	size_t last = text->line_count - 1;
	const struct dip_config_line *from = &text->lines[line && line <= last ? line - 1 : last];
	*file_line = from->line;
	return text->files[from->file];
}

void dip_config_text_free(struct dip_config_text *text)
{
	for (unsigned int i = 0; i < text->file_count; i++)
		free(text->files[i]);
	free(text->files);
	free(text->lines);
	free(text->text);
	memset(text, 0, sizeof(*text));
}
