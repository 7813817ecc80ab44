/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include <sched.h>

#include <rte_eal.h>

#include "../../app/telemetry_impl.h"
#include "detect/sites_file.h"
#include "process/site_stats.h"

/* The parameters of telemetry's commands: "/dip/site,3" behind a digit that says how many sources there
 * are. Every answer is taken by DPDK as it is, and an error is one that may stand in a string of
 * JSON. */

#define WIDTH 16
#define HEIGHT 8
#define SOURCES 3

static const char sites_text[] = "version = 1;\ndefaults = { h = 2; w = 2; };\n"
				 "sites = ( { row = 0; col = 0; name = \"A1\"; },\n"
				 "{ row = 2; col = 0; name = \"quo\\\"te\"; },\n"
				 "{ row = 4; col = 4; name = \"0\"; }, { row = 4; col = 8; } );\n";

/* --- what DPDK is given --- */

static struct rte_tel_data *given[256];
static unsigned int givens;

struct rte_tel_data *__real_rte_tel_data_alloc(void);
int __real_rte_tel_data_add_dict_u64(struct rte_tel_data *d, const char *name, uint64_t value);
int __real_rte_tel_data_add_dict_container(
	struct rte_tel_data *d, const char *name, struct rte_tel_data *value, int keep);
int __real_rte_tel_data_add_dict_string(
	struct rte_tel_data *d, const char *name, const char *value);
struct rte_tel_data *__wrap_rte_tel_data_alloc(void);
int __wrap_rte_tel_data_add_dict_u64(struct rte_tel_data *d, const char *name, uint64_t value);
int __wrap_rte_tel_data_add_dict_container(
	struct rte_tel_data *d, const char *name, struct rte_tel_data *value, int keep);
int __wrap_rte_tel_data_add_dict_string(
	struct rte_tel_data *d, const char *name, const char *value);

/* DPDK frees what is in an answer when it has sent it; here it is sent nowhere. */
struct rte_tel_data *__wrap_rte_tel_data_alloc(void)
{
	HOLDS(givens < sizeof(given) / sizeof(given[0]));
	given[givens] = __real_rte_tel_data_alloc();
	return given[givens++];
}

int __wrap_rte_tel_data_add_dict_u64(struct rte_tel_data *d, const char *name, uint64_t value)
{
	int rc = __real_rte_tel_data_add_dict_u64(d, name, value);

	HOLDS(rc == 0);
	return rc;
}

int __wrap_rte_tel_data_add_dict_container(
	struct rte_tel_data *d, const char *name, struct rte_tel_data *value, int keep)
{
	int rc = __real_rte_tel_data_add_dict_container(d, name, value, keep);

	HOLDS(rc == 0);
	return rc;
}

int __wrap_rte_tel_data_add_dict_string(struct rte_tel_data *d, const char *name, const char *value)
{
	int rc = __real_rte_tel_data_add_dict_string(d, name, value);

	HOLDS(rc == 0);
	for (const char *at = value; strcmp(name, "error") == 0 && *at != '\0'; at++)
		HOLDS(*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\');
	return rc;
}

/* --- what is asked --- */

/* On whatever CPU there is. */
static void start_eal(void)
{
	static char lcore[8 * CPU_SETSIZE];
	char *argv[] = {"fuzz", "--lcores", lcore, "--no-huge", "-m", "16", "--no-pci",
		"--no-shconf", "--no-telemetry", "--iova-mode=va", "--log-level=error",
		"--file-prefix", "dip_fuzz"};
	char *at = stpcpy(lcore, "0@(");
	cpu_set_t set;

	HOLDS(sched_getaffinity(0, sizeof(set), &set) == 0);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			at += sprintf(at, "%s%u", at[-1] == '(' ? "" : ",", cpu);
	strcpy(at, ")");
	HOLDS(rte_eal_init(sizeof(argv) / sizeof(argv[0]), argv) >= 0);
}

static const struct dip_sites *load_sites(void)
{
	static const struct dip_prior prior = {.lambda_empty = 0.5,
		.lambda_occ = 10,
		.fill = 0.5,
		.fp_target = 1e-3,
		.max_k = 1000};
	const struct dip_sites_conf conf = {
		.file = memory_file((const uint8_t *)sites_text, strlen(sites_text)),
		.width = WIDTH,
		.height = HEIGHT,
		.prior = &prior};
	static struct dip_sites sites;
	struct dip_error err = {""};
	int rc = dip_sites_load(&conf, &sites, &err);

	if (rc < 0)
		fprintf(stderr, "%s\n", err.text);
	HOLDS(rc == 0);
	return &sites;
}

/* As if each processor had decided one frame. */
static void count(const struct dip_sites *sites)
{
	static const int64_t limit[] = {5, 5, 5, 5}, sums[] = {79, 0, 4, 5};
	const struct dip_detector detector = {
		.sites = sites->count, .wide = true, .scale = 1, .limit = limit};

	HOLDS(sites->count == sizeof(limit) / sizeof(limit[0]));
	for (unsigned int i = 0; i < SOURCES; i++) {
		struct dip_site_stats *stats = dip_site_stats_create(i, &detector, 1);

		HOLDS(stats != NULL);
		dip_site_stats_note(stats, &detector, sums, i, 2, 1000 * i);
	}
}

static void set_up(void)
{
	static const char *const names[SOURCES] = {"dma_sim0", "dma_sim01", "5"};
	static struct settings settings;
	const struct dip_sites *sites;

	if (summaries[0].sites != NULL)
		return;
	start_eal();
	HOLDS(dip_config_defaults(&option_table, &settings) == 0);
	telemetry_register(&settings);
	sites = load_sites();
	count(sites);
	for (unsigned int i = 0; i < SOURCES; i++) {
		struct summary *s = &summaries[i];

		snprintf(s->device, sizeof(s->device), "%s", names[i]);
		s->books = (struct ledger_source){.source = i, .dev_id = i};
		s->sites = sites;
		s->first_processor = i;
		s->processors = 1;
		s->scale = 1;
	}
}

static void ask(const char *command, const char *params)
{
	struct rte_tel_data *d = rte_tel_data_alloc();
	int rc;

	HOLDS(d != NULL);
	rc = telemetry_answer(command, params, d);
	HOLDS(rc == 0 || strncmp(command, "/dip/", 5) != 0 || rc == -22);
	while (givens > 0)
		rte_tel_data_free(given[--givens]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *command, *comma;

	set_up();
	if (size == 0)
		return 0;
	summary_count = data[0] % (SOURCES + 1);
	command = strndup((const char *)data + 1, size - 1);
	HOLDS(command != NULL);
	comma = strchr(command, ',');
	if (comma != NULL)
		*comma++ = '\0';
	/* An empty parameter is none to DPDK. */
	ask(command, comma != NULL && *comma != '\0' ? comma : NULL);
	free(command);
	return 0;
}
