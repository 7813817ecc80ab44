/* SPDX-License-Identifier: BSD-3-Clause */
#include <Random123/philox.h>

#include "random/random.h"

void dip_random_init(struct dip_random *r, uint64_t seed, uint64_t frame, uint32_t stream)
{
	r->seed[0] = seed;
	r->seed[1] = seed >> 32;
	r->frame[0] = frame;
	r->frame[1] = frame >> 32;
	r->stream = stream;
	r->block = 0;
	r->next = DIP_RANDOM_BATCH;
}

/* Many blocks at once: each is a chain of multiplications, but they do not wait for each other. */
void dip_random_refill(struct dip_random *r)
{
	philox4x32_key_t key = {{r->seed[0], r->seed[1]}};

	for (unsigned int i = 0; i < DIP_RANDOM_BATCH / 4; i++) {
		philox4x32_ctr_t at = {{r->block + i, r->stream, r->frame[0], r->frame[1]}},
				 block = philox4x32(at, key);

		for (unsigned int j = 0; j < 4; j++)
			r->word[4 * i + j] = block.v[j];
	}
	r->block += DIP_RANDOM_BATCH / 4;
	r->next = 0;
}

void dip_random_words(
	uint64_t seed, uint64_t frame, uint32_t stream, uint32_t block, uint32_t words[4])
{
	philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
	philox4x32_ctr_t at = {{block, stream, (uint32_t)frame, (uint32_t)(frame >> 32)}},
			 out = philox4x32(at, key);

	for (unsigned int j = 0; j < 4; j++)
		words[j] = out.v[j];
}
