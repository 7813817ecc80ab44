/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "util/error.h"

int dip_fail(struct dip_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		/* It stays one line whatever a file has in the string that is quoted. */
		for (unsigned char *p = (unsigned char *)err->text; *p != '\0'; p++)
			if (*p < ' ' || *p == 0x7f)
				*p = '?';
	}
	/* Others do not always say why: a failure is one all the same. */
	return code != 0 ? -code : -EIO;
}
