/* SPDX-License-Identifier: BSD-3-Clause */

/* A slow disk, or one that stalls, for tests: the writes are another back end's, only their ends
 * come later. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/io.h"

/* A request that has ended below, and may be told of from then on. */
struct held {
	struct dip_io_request *request;
	uint64_t ready_ns;
};

struct dip_io {
	const struct dip_io_ops *ops; /* of the other one */
	struct dip_io *over;
	struct dip_io_delay conf;
	uint64_t submitted;       /* requests, so far */
	uint64_t stalled_till_ns; /* 0: no stall so far */
	unsigned int depth, count;
	struct held held[]; /* count of them, in order of ready_ns; room for depth */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* The one that is asked for, else the one that works everywhere. */
static int open_over(struct dip_io *d, const struct dip_io_conf *conf, struct dip_io_info *info,
	struct dip_error *err)
{
	int ret;

	d->ops = conf->delay.over != NULL ? dip_io_find(conf->delay.over) : NULL;
	ret = d->ops != NULL ? d->ops->open(conf, &d->over, info, err) : -ENOENT;
	if (ret == 0)
		return 0;
	d->ops = dip_io_find("pwrite");
	snprintf(info->note, sizeof(info->note), "delaying pwrite instead: %s", strerror(-ret));
	return d->ops->open(conf, &d->over, info, err);
}

static int delay_open(const struct dip_io_conf *conf, struct dip_io **io, struct dip_io_info *info,
	struct dip_error *err)
{
	struct dip_io *d = calloc(1, sizeof(*d) + conf->depth * sizeof(d->held[0]));
	int ret;

	if (d == NULL)
		return dip_fail(err, ENOMEM, "out of memory");
	d->conf = conf->delay;
	d->depth = conf->depth;
	ret = open_over(d, conf, info, err);
	if (ret < 0) {
		free(d);
		return ret;
	}
	*io = d;
	return 0;
}

static void delay_attach(struct dip_io *d, int fd)
{
	if (d->ops->attach != NULL)
		d->ops->attach(d->over, fd);
}

static void delay_detach(struct dip_io *d, int fd)
{
	if (d->ops->detach != NULL)
		d->ops->detach(d->over, fd);
}

static void delay_submit(struct dip_io *d, struct dip_io_request **requests, unsigned int n)
{
	d->ops->submit(d->over, requests, n);
	d->submitted += n;
	if (d->stalled_till_ns == 0 && d->conf.stall_ns > 0 && d->submitted > d->conf.stall_write)
		d->stalled_till_ns = now_ns() + d->conf.stall_ns;
}

/* Take over what has ended below. */
static void hold(struct dip_io *d, uint64_t now)
{
	struct dip_io_request *ended[d->depth];
	unsigned int n = d->ops->reap(d->over, ended, d->depth);

	for (unsigned int i = 0; i < n; i++)
		d->held[d->count++] = (struct held){ended[i], now + d->conf.delay_ns};
}

static unsigned int delay_reap(struct dip_io *d, struct dip_io_request **ended, unsigned int max)
{
	uint64_t now = now_ns();
	unsigned int n = 0;

	hold(d, now);
	if (now < d->stalled_till_ns)
		return 0;
	while (n < max && n < d->count && d->held[n].ready_ns <= now) {
		ended[n] = d->held[n].request;
		n++;
	}
	d->count -= n;
	memmove(d->held, d->held + n, d->count * sizeof(d->held[0]));
	return n;
}

static void delay_close(struct dip_io *d)
{
	if (d == NULL)
		return;
	d->ops->close(d->over);
	free(d);
}

static struct dip_io_ops delay_ops = {
	.name = "delay",
	.open = delay_open,
	.attach = delay_attach,
	.detach = delay_detach,
	.submit = delay_submit,
	.reap = delay_reap,
	.close = delay_close,
};

DIP_IO_REGISTER(delay_ops)
