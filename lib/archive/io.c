/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
#include <string.h>

#include "archive/io.h"

static STAILQ_HEAD(, dip_io_ops) backends = STAILQ_HEAD_INITIALIZER(backends);

void dip_io_register(struct dip_io_ops *ops)
{
	STAILQ_INSERT_TAIL(&backends, ops, next);
}

const struct dip_io_ops *dip_io_find(const char *name)
{
	struct dip_io_ops *ops;

	STAILQ_FOREACH (ops, &backends, next)
		if (strcmp(ops->name, name) == 0)
			return ops;
	return NULL;
}

void dip_io_list(FILE *out)
{
	const struct dip_io_ops *ops;

	STAILQ_FOREACH (ops, &backends, next)
		fprintf(out, "  %s\n", ops->name);
}

bool dip_io_waits(const char *name, const struct dip_io_delay *delay)
{
	const struct dip_io_ops *ops = dip_io_find(name);
	struct dip_io_conf conf = {.depth = 1, .delay = *delay};
	struct dip_io_info info = {0};
	struct dip_error err;
	struct dip_io *io;

	if (ops == NULL || ops->open(&conf, &io, &info, &err) < 0)
		return true;
	ops->close(io);
	return info.waits;
}
