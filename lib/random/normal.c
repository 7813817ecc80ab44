/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "random/random.h"

/* The area under exp(-x^2 / 2), x >= 0, is covered by STRIPS horizontal strips of the same area:
 * strip i reaches from 0 to edge[i]; strip 0 is the lowest and holds the tail beyond TAIL. What lies
 * left of edge[i + 1] lies under the curve for sure. Names and constants are the papers'. */
#define STRIPS 128
#define TAIL 3.442619855899
#define AREA 9.91256303526217e-3

static double edge[STRIPS + 1], sure[STRIPS];

static void __attribute__((constructor)) make_strips(void)
{
	double f = exp(-0.5 * TAIL * TAIL);

	edge[0] = AREA / f;
	edge[1] = TAIL;
	edge[STRIPS] = 0;
	for (int i = 2; i < STRIPS; i++) {
		edge[i] = sqrt(-2 * log(AREA / edge[i - 1] + f));
		f = exp(-0.5 * edge[i] * edge[i]);
	}
	for (int i = 0; i < STRIPS; i++)
		sure[i] = edge[i + 1] / edge[i];
}

static double beyond(struct dip_random *r)
{
	double x, y;

	do {
		x = -log(dip_random_uniform(r)) / TAIL;
		y = -log(dip_random_uniform(r));
	} while (2 * y < x * x);
	return TAIL + x;
}

double dip_random_normal(struct dip_random *r)
{
	for (;;) {
		uint32_t word = dip_random_word(r), i = word % STRIPS;
		/* From -1 to 1, from the bits that did not choose the strip. */
		double u = ((word >> 7) + 0.5) * 0x1p-24 - 1, x = u * edge[i], low, high;

		if (fabs(u) < sure[i])
			return x;
		if (i == 0)
			return u < 0 ? -beyond(r) : beyond(r);
		low = exp(-0.5 * (edge[i] * edge[i] - x * x));
		high = exp(-0.5 * (edge[i + 1] * edge[i + 1] - x * x));
		if (high + dip_random_uniform(r) * (low - high) < 1)
			return x;
	}
}
