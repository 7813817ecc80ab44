/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "random/random.h"

void dip_poisson_table_init(struct dip_poisson_table *t, double mean)
{
	long double sum = 0, log_mean = logl(mean);
	int sign;

	/* Up to where what is left is below 2^-64. */
	for (t->size = 0; t->size < DIP_POISSON_TABLE_SIZE; t->size++) {
		unsigned int k = t->size;

		sum += k == 0 ? expl(-mean)
			      : expl(k * log_mean - mean - lgammal_r(k + 1.0L, &sign));
		t->cumulative[k] = sum < 1 ? (uint64_t)(sum * 0x1p63L) * 2 : UINT64_MAX;
		if (k > mean && 1 - sum < 0x1p-63L)
			break;
	}
	if (t->size == DIP_POISSON_TABLE_SIZE)
		t->size--;
	t->cumulative[t->size++] = UINT64_MAX;
	for (uint32_t i = 0, k = 0; i < 256; i++) {
		while (t->cumulative[k] >> 56 < i)
			k++;
		t->guide[i] = k;
	}
}
