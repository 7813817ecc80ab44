/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"
#include "summary.h"

static uint64_t metric(const struct summary *s, const char *name)
{
	return dip_metric_of(summary_source(s), name);
}

/* The original's two blocks, word for word. */
static void print_original(FILE *out, const struct summary *s)
{
	struct rates r;

	summary_rates(s, &r);
	fprintf(out,
		"=== Component Stats ===\n"
		"DMA:    produced=%" PRIu64 "  archived_offered=%" PRIu64 "  pool_exhaust=%" PRIu64
		"\n",
		metric(s, "dma_frames"), metric(s, "dma_arch_offered"),
		metric(s, "dma_pool_exhaust"));
	fprintf(out,
		"PROC:   frames=%" PRIu64 "  stale_desc=%" PRIu64 "  empty_polls=%" PRIu64
		" dropped_proc_queue=%" PRIu64 "\n",
		metric(s, "proc_frames"), metric(s, "proc_stale_desc"),
		metric(s, "proc_empty_polls"), metric(s, "drops_proc_queue"));
	fprintf(out,
		"ARCH:   frames=%" PRIu64 "  bytes=%" PRIu64 "  rotations=%" PRIu64
		"  stale_desc=%" PRIu64 "  io_errors=%" PRIu64 " dropped_arch_queue=%" PRIu64 "\n",
		metric(s, "arch_frames"), metric(s, "arch_bytes"), metric(s, "arch_rotations"),
		metric(s, "arch_stale_desc"), metric(s, "arch_io_errors"),
		metric(s, "drops_arch_queue"));
	fprintf(out,
		"\n=== End-to-end Throughput ===\n"
		"Elapsed: %.3f s\n"
		"DMA:     %.1f fps\n"
		"PROC:    %.1f fps\n"
		"ARCH:    %.1f fps | %.3f GB/s (%.3f GiB/s)\n",
		r.elapsed_sec, r.dma_fps, r.proc_fps, r.arch_fps, r.arch_gbps, r.arch_gibps);
}

static void print_account(FILE *out, const struct ledger_account *a)
{
	fprintf(out, "%-8s %s=%" PRIu64 " = %s=%" PRIu64, a->name, a->offered.name,
		a->offered.value, a->done.name, a->done.value);
	for (unsigned int i = 0; i < a->losses; i++)
		fprintf(out, " + %s=%" PRIu64, a->lost[i].name, a->lost[i].value);
	fprintf(out, " + in_flight=%" PRIu64 "  %s", a->in_flight,
		a->imbalance == 0 ? "balanced" : "IMBALANCE");
	if (a->imbalance != 0)
		fprintf(out, "=%" PRId64, a->imbalance);
	fprintf(out, "\n");
}

static void print_latency(FILE *out, const char *name, const struct dip_histogram_summary *h)
{
	fprintf(out, "%-18s count=%" PRIu64 " p50=%.1f p90=%.1f p99=%.1f p99.9=%.1f max=%.1f us\n",
		name, h->count, h->p50 / 1e3, h->p90 / 1e3, h->p99 / 1e3, h->p999 / 1e3,
		h->max / 1e3);
}

static void print_body(FILE *out, const struct summary *s)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	struct latencies l;

	print_original(out, s);
	summary_ledger(s, accounts);
	fprintf(out, "\n=== Ledger ===\n");
	for (int i = 0; i < LEDGER_ACCOUNTS; i++)
		print_account(out, &accounts[i]);
	summary_latencies(s, &l);
	fprintf(out, "\n=== Latency from arrival ===\n");
	print_latency(out, "to result:", &l.result);
	print_latency(out, "to archived:", &l.archived);
}

static void print_outputs(FILE *out, const struct summary *s)
{
	const char *archive = summary_archive(s);

	fprintf(out, "\nArchive: %s\nResults: %s\n", archive[0] != '\0' ? archive : "none",
		s->results[0] != '\0' ? s->results : "none");
}

void report_text(FILE *out)
{
	for (unsigned int i = 0; i < summary_count; i++) {
		const struct summary *s = &summaries[i];

		if (summary_count > 1)
			fprintf(out, "%s=== Source %s, exit status %d ===\n\n", i > 0 ? "\n" : "",
				s->device, s->exit_status);
		print_body(out, s);
		print_outputs(out, s);
	}
	if (summary_count == 1)
		return;
	fprintf(out, "\n=== All %u sources ===\n\n", summary_count);
	print_body(out, NULL);
}

void report_progress(FILE *out, const struct summary *s)
{
	struct ledger_account a[LEDGER_ACCOUNTS];
	struct rates r;

	summary_rates(s, &r);
	summary_ledger(s, a);
	if (summary_count > 1)
		fprintf(out, "%s: ", s->device);
	fprintf(out,
		"%8.1f s  dma %" PRIu64 " (%.0f/s) missed %" PRIu64 "  proc %" PRIu64
		" (%.0f/s) in flight %" PRIu64 "  arch %" PRIu64
		" (%.0f/s, %.3f GB/s) in flight %" PRIu64 " errors %" PRIu64 "\n",
		r.elapsed_sec, metric(s, "dma_frames"), r.dma_fps, metric(s, "dma_missed"),
		metric(s, "proc_frames"), r.proc_fps, a[LEDGER_PROC].in_flight,
		metric(s, "arch_frames"), r.arch_fps, r.arch_gbps, a[LEDGER_ARCH].in_flight,
		metric(s, "arch_io_errors"));
}
