/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

/* Random numbers that are a function of where they are used: of a seed, a frame, what they are for
 * (the stream) and their place in it, and of nothing else. Whoever renders frame k, in whatever
 * order and on whatever thread, gets the same numbers. The generator is Philox4x32-10 (Salmon,
 * Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011), from Random123.
 *
 * The distributions are our own. GSL has them, too, but under the GPL, and for the background of a
 * camera's pixels its Poisson took 2.5 (mean 0.005) to 28 (mean 20) times as long as the table below.
 *
 * Nothing here has a state of its own: any thread, each with its struct dip_random. */

#define DIP_RANDOM_BATCH 64

struct dip_random {
	uint32_t seed[2], frame[2], stream;
	uint32_t block; /* of four words, the next to be made */
	unsigned int next;
	uint32_t word[DIP_RANDOM_BATCH];
};

/* The beginning of a stream. A stream has 2^34 words. */
void dip_random_init(struct dip_random *r, uint64_t seed, uint64_t frame, uint32_t stream);

/* Words 4 block to 4 block + 3 of a stream, for who needs no more, or not in order. */
void dip_random_words(
	uint64_t seed, uint64_t frame, uint32_t stream, uint32_t block, uint32_t words[4]);

void dip_random_refill(struct dip_random *r);

static inline uint32_t dip_random_word(struct dip_random *r)
{
	if (r->next == DIP_RANDOM_BATCH)
		dip_random_refill(r);
	return r->word[r->next++];
}

/* Between 0 and 1, neither included: of 2^32 values. */
static inline double dip_uniform_of(uint32_t word)
{
	return (word + 0.5) * 0x1p-32;
}

/* The same of 2^53 values. */
static inline double dip_random_uniform(struct dip_random *r)
{
	uint64_t high = dip_random_word(r), low = dip_random_word(r);

	return (((high << 32 | low) >> 11) + 0.5) * 0x1p-53;
}

/* Standard normal, by the ziggurat method (Marsaglia, Tsang: The ziggurat method for generating random
 * variables; J. Stat. Software 5, 2000; in the form of Doornik: An improved ziggurat method to
 * generate normal random samples, 2005). Values lie on a grid of about 2e-7. */
double dip_random_normal(struct dip_random *r);

/* Gamma of shape >= 1 and scale 1 (Marsaglia, Tsang: A simple method for generating gamma variables;
 * ACM TOMS 26, 2000). */
double dip_random_gamma(struct dip_random *r, double shape);

/* Poisson of mean 0 to 1e9: by inversion below 10, else by transformed rejection (Hormann: The
 * transformed rejection method for generating Poisson random variables; Insurance: Mathematics and
 * Economics 12, 1993, algorithm PTRS). */
uint64_t dip_random_poisson(struct dip_random *r, double mean);

/* Poisson of one mean, 0 to DIP_POISSON_TABLE_MAX, over and over: a table, exact to 2^-64. */
#define DIP_POISSON_TABLE_MAX 256
#define DIP_POISSON_TABLE_SIZE 512

struct dip_poisson_table {
	uint32_t guide[256]; /* the least value possible for the highest 8 bits of a word */
	uint32_t size;
	/* P(N <= k) * 2^64; the last is 2^64 - 1 */
	uint64_t cumulative[DIP_POISSON_TABLE_SIZE];
};

void dip_poisson_table_init(struct dip_poisson_table *table, double mean);

/* A word that falls beside a step of the table needs a second one: else 32 bits decide. */
static inline uint32_t dip_random_poisson_table(
	struct dip_random *r, const struct dip_poisson_table *table)
{
	uint64_t high = dip_random_word(r);
	uint32_t k = table->guide[high >> 24];

	while (high > table->cumulative[k] >> 32)
		k++;
	if (high == table->cumulative[k] >> 32) {
		uint64_t exact = high << 32 | dip_random_word(r);

		while (exact > table->cumulative[k])
			k++;
	}
	return k;
}
