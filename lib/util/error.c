/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/error.h"

/* A long name must not push out what to do about it: both ends stay. */
static void keep_ends(struct dip_error *err, const char *fmt, va_list ap)
{
	const size_t end = (sizeof(err->text) - 2 * sizeof("...")) / 2;
	char *whole;
	int length = vasprintf(&whole, fmt, ap);

	if (length < 0)
		return;
	snprintf(err->text, sizeof(err->text), "%.*s...%s", (int)end, whole, whole + length - end);
	free(whole);
}

int dip_fail(struct dip_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		va_start(ap, fmt);
		/* Nor may a line fill the text to its end: who sees a full one takes it for cut. */
		if (vsnprintf(err->text, sizeof(err->text), fmt, ap) >=
			(int)sizeof(err->text) - 1) {
			va_end(ap);
			va_start(ap, fmt);
			keep_ends(err, fmt, ap);
		}
		va_end(ap);
		/* It stays one line whatever a file has in the string that is quoted. */
		for (unsigned char *p = (unsigned char *)err->text; *p != '\0'; p++)
			if (*p < ' ' || *p == 0x7f)
				*p = '?';
	}
	/* Others do not always say why: a failure is one all the same. */
	return code != 0 ? -code : -EIO;
}
