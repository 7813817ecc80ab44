/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "npy/npy.h"

/* A file starts with the magic, the version (major, minor) and the length of the header text,
 * little-endian: 16 bits in version 1, 32 bits since version 2. */
static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
#define VERSION_AT 6
#define LENGTH_AT 8
#define TEXT_AT_V1 10
#define TEXT_AT_V2 12
#define TEXT_MAX 65536

#define MAX_NDIM 3
#define MAX_SIDE 65535
#define DTYPES "<u2 >u2 <i2 >i2 |u1"
#define CONVERT "; convert with numpy: a.astype('<u2')"
#define AGAIN "; write the file again with numpy.save"

/* Say what is wrong with the file that t reads; the value is -EINVAL, visibly to the compiler. */
#define REFUSE(t, fmt, ...)                                                                        \
	(dip_fail((t)->err, EINVAL, "%s: " fmt, (t)->name, ##__VA_ARGS__), -EINVAL)

/* The header text while it is read: p moves towards end. */
struct text {
	const char *name;
	const char *head; /* the first byte of the file, so that messages can say where */
	const char *p, *end;
	bool numbers; /* any numbers, not frames */
	struct dip_error *err;
};

/* What the dict said. */
struct dict {
	enum dip_npy_type type;
	char kind;          /* of any numbers: b, i, u or f */
	unsigned int bytes; /* of each */
	bool big;           /* in big-endian order */
	bool fortran_order;
	unsigned int ndim;
	uint64_t dim[MAX_NDIM]; /* of more dimensions the first ones are kept */
	char shape[64];         /* as found, for messages */
};

/* Make bytes of the file fit for a message: unprintable ones as '?', cut at size. */
static void printable(char *buf, size_t size, const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len && i + 1 < size; i++)
		buf[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
	buf[i] = '\0';
}

static int unexpected(const struct text *t, const char *expected)
{
	char found[24];

	printable(found, sizeof(found), t->p, (size_t)(t->end - t->p));
	return REFUSE(t, "header, byte %zu: found %s; expected %s" AGAIN, (size_t)(t->p - t->head),
		t->p == t->end ? "the end of the header" : found, expected);
}

/* The next byte that is not white space to Python, '\0' at the end. */
static char peek(struct text *t)
{
	while (t->p < t->end && *t->p != '\0' && strchr(" \t\n\r\f", *t->p) != NULL)
		t->p++;
	return t->p < t->end ? *t->p : '\0';
}

static bool accept(struct text *t, const char *token)
{
	size_t len = strlen(token);

	peek(t);
	if ((size_t)(t->end - t->p) < len || memcmp(t->p, token, len) != 0)
		return false;
	t->p += len;
	return true;
}

/* A quoted string. Escapes are left as they are: no word that is accepted contains one. */
static int parse_string(struct text *t, const char **s, size_t *len, const char *expected)
{
	char quote = peek(t);
	const char *close;

	if (quote != '\'' && quote != '"')
		return unexpected(t, expected);
	close = memchr(t->p + 1, quote, (size_t)(t->end - t->p - 1));
	if (close == NULL)
		return unexpected(t, "a closing quote");
	*s = t->p + 1;
	*len = (size_t)(close - *s);
	t->p = close + 1;
	return 0;
}

/* Any type of numbers: '<f8', '|b1', ... */
static int parse_number_type(struct text *t, struct dict *dict)
{
	char found[40];
	const char *s;
	size_t len;
	int rc = parse_string(t, &s, &len, "a dtype of numbers in quotes");

	if (rc < 0)
		return rc;
	printable(found, sizeof(found), s, len);
	if (len != 3 || strchr("<>|", s[0]) == NULL || strchr("biuf", s[1]) == NULL ||
		strchr("1248", s[2]) == NULL || (s[1] == 'b' && s[2] != '1') ||
		(s[1] == 'f' && s[2] < '4'))
		return REFUSE(t,
			"dtype '%s'; expected whole or floating-point numbers of up to 8 bytes; "
			"convert with numpy: a.astype('<f8')",
			found);
	dict->kind = s[1];
	dict->bytes = (unsigned int)(s[2] - '0');
	dict->big = s[0] == '>';
	return 0;
}

static int parse_descr(struct text *t, struct dict *dict)
{
	static const struct {
		const char *descr;
		enum dip_npy_type type;
	} known[] = {{"<u2", DIP_NPY_U2LE}, {">u2", DIP_NPY_U2BE}, {"<i2", DIP_NPY_I2LE},
		{">i2", DIP_NPY_I2BE}, {"|u1", DIP_NPY_U1}, {"u1", DIP_NPY_U1}};
	const char *s;
	char found[40];
	size_t len;
	int rc;

	if (t->numbers)
		return parse_number_type(t, dict);
	if (peek(t) == '[')
		return REFUSE(t, "structured dtype; expected one of " DTYPES
				 "; if an archive segment, unpack it with scripts/decode.py");
	rc = parse_string(t, &s, &len, "a dtype in quotes, one of " DTYPES);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (len == strlen(known[i].descr) && memcmp(s, known[i].descr, len) == 0) {
			dict->type = known[i].type;
			return 0;
		}
	}
	printable(found, sizeof(found), s, len);
	return REFUSE(t, "dtype '%s'; expected one of " DTYPES CONVERT, found);
}

static int parse_fortran_order(struct text *t, struct dict *dict)
{
	dict->fortran_order = accept(t, "True");
	if (!dict->fortran_order && !accept(t, "False"))
		return unexpected(t, "True or False for 'fortran_order'");
	return 0;
}

static int parse_number(struct text *t, uint64_t *value)
{
	const char *first = t->p;
	uint64_t v = 0;

	for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
		/* To Python, 010 is no number. */
		if (t->p > first && *first == '0')
			return unexpected(t, "a number without leading zeros");
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*t->p - '0'), &v)) {
			t->p = first;
			return unexpected(t, "a dimension below 2^64");
		}
	}
	if (t->p == first)
		return unexpected(t, "a number, a dimension of 'shape'");
	*value = v;
	return 0;
}

static int parse_shape(struct text *t, struct dict *dict)
{
	const char *first;
	uint64_t value;
	int rc;

	peek(t);
	first = t->p;
	if (!accept(t, "("))
		return unexpected(t, "a tuple, '(', for 'shape'");
	dict->ndim = 0;
	while (peek(t) != ')') {
		rc = parse_number(t, &value);
		if (rc < 0)
			return rc;
		if (dict->ndim < MAX_NDIM)
			dict->dim[dict->ndim] = value;
		dict->ndim++;
		if (!accept(t, ",") && peek(t) != ')')
			return unexpected(t, "',' or ')' in 'shape'");
	}
	t->p++;
	printable(dict->shape, sizeof(dict->shape), first, (size_t)(t->p - first));
	return 0;
}

static const struct key {
	const char *name;
	int (*parse)(struct text *t, struct dict *dict);
} keys[] = {{"descr", parse_descr}, {"fortran_order", parse_fortran_order}, {"shape", parse_shape}};
#define KEYS (sizeof(keys) / sizeof(keys[0]))
#define KEY_NAMES "'descr', 'fortran_order' and 'shape', once each"

/* One "key: value" of the dict; seen tells which keys came before. */
static int parse_item(struct text *t, struct dict *dict, unsigned int *seen)
{
	const char *s, *at;
	size_t len, k;
	int rc;

	peek(t);
	at = t->p;
	rc = parse_string(t, &s, &len, "a key in quotes, or '}'");
	if (rc < 0)
		return rc;
	for (k = 0; k < KEYS; k++) {
		if (len == strlen(keys[k].name) && memcmp(s, keys[k].name, len) == 0)
			break;
	}
	if (k == KEYS || (*seen & 1u << k) != 0) {
		t->p = at;
		return unexpected(t, "the keys " KEY_NAMES);
	}
	*seen |= 1u << k;
	if (!accept(t, ":"))
		return unexpected(t, "':' after the key");
	return keys[k].parse(t, dict);
}

static int parse_dict(struct text *t, struct dict *dict)
{
	unsigned int seen = 0;
	int rc;

	if (!accept(t, "{"))
		return unexpected(t, "a dict, '{'");
	while (peek(t) != '}') {
		rc = parse_item(t, dict, &seen);
		if (rc < 0)
			return rc;
		if (!accept(t, ",") && peek(t) != '}')
			return unexpected(t, "',' or '}' after a value");
	}
	t->p++;
	for (size_t k = 0; k < KEYS; k++) {
		if ((seen & 1u << k) == 0)
			return REFUSE(t, "no key '%s'; expected " KEY_NAMES AGAIN, keys[k].name);
	}
	peek(t);
	if (t->p < t->end)
		return unexpected(t, "nothing but white space after the dict");
	return 0;
}

/* Find the header text of a file of which the first len bytes are at hand. */
static int find_text(struct text *t, size_t len, uint64_t file_size)
{
	const unsigned char *u = (const unsigned char *)t->head;
	size_t at = TEXT_AT_V1, have = len < sizeof(magic) ? len : sizeof(magic);
	uint64_t text_len;

	if (len == 0 || memcmp(u, magic, have) != 0)
		return REFUSE(t, "%s; expected an .npy file, which starts with \\x93NUMPY" AGAIN,
			file_size == 0 ? "empty file" : "not an .npy file");
	if (len > VERSION_AT + 1) {
		if (u[VERSION_AT] < 1 || u[VERSION_AT] > 3 || u[VERSION_AT + 1] != 0)
			return REFUSE(t, "format version %u.%u; expected 1.0, 2.0 or 3.0" AGAIN,
				u[VERSION_AT], u[VERSION_AT + 1]);
		at = u[VERSION_AT] == 1 ? TEXT_AT_V1 : TEXT_AT_V2;
	}
	if (len < at)
		return REFUSE(t, "ends in its header: found %zu bytes, expected %zu or more" AGAIN,
			len, at);
	text_len = u[LENGTH_AT] | (uint64_t)u[LENGTH_AT + 1] << 8;
	if (at == TEXT_AT_V2)
		text_len |= (uint64_t)u[LENGTH_AT + 2] << 16 | (uint64_t)u[LENGTH_AT + 3] << 24;
	if (text_len > TEXT_MAX)
		return REFUSE(t, "header of %" PRIu64 " bytes; expected at most %d" AGAIN, text_len,
			TEXT_MAX);
	if (at + text_len > len)
		return REFUSE(t, "ends in its header: found %zu bytes, expected %zu or more" AGAIN,
			len, at + (size_t)text_len);
	t->p = t->head + at;
	t->end = t->p + text_len;
	return 0;
}

/* Turn the dict into frames and bytes, refusing what is no set of frames. */
static int check_shape(const struct text *t, const struct dict *dict, struct dip_npy_header *out)
{
	const uint64_t *side = &dict->dim[dict->ndim == 3];
	uint64_t item = dict->type == DIP_NPY_U1 ? 1 : 2;

	if (dict->ndim != 2 && dict->ndim != 3)
		return REFUSE(t,
			"shape %s is %u-D; expected (H, W) or (N, H, W); use a.reshape(n, h, w)",
			dict->shape, dict->ndim);
	out->frames = dict->ndim == 3 ? dict->dim[0] : 1;
	if (out->frames == 0 || side[0] < 1 || side[0] > MAX_SIDE || side[1] < 1 ||
		side[1] > MAX_SIDE)
		return REFUSE(t,
			"shape %s; expected N of 1 or more, H and W of 1..%d; cut it with numpy",
			dict->shape, MAX_SIDE);
	out->type = dict->type;
	out->fortran_order = dict->fortran_order;
	out->ndim = dict->ndim;
	out->height = (uint32_t)side[0];
	out->width = (uint32_t)side[1];
	out->data_offset = (uint64_t)(t->end - t->head);
	/* Two sides and the item size cannot overflow: below 2^33. */
	if (__builtin_mul_overflow(out->frames, side[0] * side[1] * item, &out->data_bytes) ||
		out->data_bytes > UINT64_MAX - out->data_offset)
		return REFUSE(
			t, "shape %s overflows; expected less than 2^64 bytes" AGAIN, dict->shape);
	return 0;
}

int dip_npy_parse(const char *name, const void *head, size_t len, uint64_t file_size,
	struct dip_npy_header *out, struct dip_error *err)
{
	struct text t = {.name = name, .head = head, .err = err};
	struct dip_npy_header header = {0};
	struct dict dict = {0};
	uint64_t found;
	int rc;

	rc = find_text(&t, len, file_size);
	if (rc == 0)
		rc = parse_dict(&t, &dict);
	if (rc == 0)
		rc = check_shape(&t, &dict, &header);
	if (rc < 0)
		return rc;
	found = file_size < header.data_offset ? 0 : file_size - header.data_offset;
	if (found != header.data_bytes)
		return REFUSE(&t,
			"%s: found %" PRIu64 " bytes of data, expected %" PRIu64 " for %s" AGAIN,
			found < header.data_bytes ? "cut short" : "more data than its header says",
			found, header.data_bytes, dict.shape);
	*out = header;
	return 0;
}

int dip_npy_parse_array(const char *name, const void *head, size_t len, uint64_t file_size,
	struct dip_npy_array_header *out, struct dip_error *err)
{
	struct text t = {.name = name, .head = head, .numbers = true, .err = err};
	struct dip_npy_array_header header;
	struct dict dict = {0};
	uint64_t expected;
	int rc;

	rc = find_text(&t, len, file_size);
	if (rc == 0)
		rc = parse_dict(&t, &dict);
	if (rc < 0)
		return rc;
	if (dict.ndim != 2 || dict.dim[0] < 1 || dict.dim[0] > UINT32_MAX || dict.dim[1] < 1 ||
		dict.dim[1] > MAX_SIDE)
		return REFUSE(&t, "shape %s; expected two dimensions, (H, W)", dict.shape);
	header = (struct dip_npy_array_header){.kind = dict.kind,
		.bytes = dict.bytes,
		.big_endian = dict.big,
		.fortran_order = dict.fortran_order,
		.rows = dict.dim[0],
		.columns = dict.dim[1],
		.data_offset = (uint64_t)(t.end - t.head)};
	expected = header.rows * header.columns * header.bytes; /* below 2^51 */
	if (file_size - header.data_offset != expected)
		return REFUSE(&t,
			"found %" PRIu64 " bytes of data, expected %" PRIu64 " for %s" AGAIN,
			file_size - header.data_offset, expected, dict.shape);
	*out = header;
	return 0;
}

int dip_npy_header_write(void *buf, size_t size, const char *descr, const char *shape)
{
	static const char format[] = "{'descr': %s, 'fortran_order': False, 'shape': %s, }";
	int len = snprintf(NULL, 0, format, descr, shape);
	char *p = buf;

	if (size % 64 != 0 || size > 65536)
		return -EINVAL;
	/* After the text comes a newline, where snprintf puts its final '\0'. */
	if (len < 0 || size < TEXT_AT_V1 + (size_t)len + 1)
		return -ENOSPC;
	memset(p, ' ', size);
	memcpy(p, magic, sizeof(magic));
	p[VERSION_AT] = 1;
	p[VERSION_AT + 1] = 0;
	p[LENGTH_AT] = (char)((size - TEXT_AT_V1) & 0xff);
	p[LENGTH_AT + 1] = (char)((size - TEXT_AT_V1) >> 8);
	snprintf(p + TEXT_AT_V1, size - TEXT_AT_V1, format, descr, shape);
	p[TEXT_AT_V1 + (size_t)len] = ' ';
	p[size - 1] = '\n';
	return 0;
}
