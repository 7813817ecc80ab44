/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* One clear line about what went wrong: "what: found ..., expected ...; remedy". The library
 * fills it in, the program prints it once. */
struct dip_error {
	char text[1024];
};

/* Write the line and return -code, so that a caller can say: return dip_fail(err, EINVAL, ...).
 * err may be NULL. A line that does not fit loses its middle. Any thread (err is the caller's). */
int dip_fail(struct dip_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
