/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "placement.h"

/* Lists of lcores, as the configuration has them. */

struct lcore_list {
	unsigned int id[PLACEMENT_MAX];
	unsigned int n;
};

bool lcore_list_has(const struct lcore_list *list, unsigned int id);

/* "1,3-5" -> 1 3 4 5. key: of the group lcores, for *err. Returns 0, or -EINVAL: no such list, an lcore
 * that is not there, or one that is named twice. */
int lcore_list_parse(const struct placement_request *request, const char *key, const char *text,
	struct lcore_list *out, struct dip_error *err);

/* The same of one lcore at most. */
int lcore_list_parse_single(const struct placement_request *request, const char *key,
	const char *text, struct lcore_list *out, struct dip_error *err);

/* Part i of n, each a run of the list; of too short a list each gets one lcore, in turn. */
struct lcore_list lcore_list_deal(const struct lcore_list *list, unsigned int n, unsigned int i);
