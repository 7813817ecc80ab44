/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"
#include "summary.h"

static uint64_t metric(const char *name)
{
	return dip_metric_value(name);
}

/* The original's two blocks, word for word. */
static void print_original(FILE *out)
{
	struct rates r;

	summary_rates(&r);
	fprintf(out,
		"=== Component Stats ===\n"
		"DMA:    produced=%" PRIu64 "  archived_offered=%" PRIu64 "  pool_exhaust=%" PRIu64
		"\n",
		metric("dma_frames"), metric("dma_arch_offered"), metric("dma_pool_exhaust"));
	fprintf(out,
		"PROC:   frames=%" PRIu64 "  stale_desc=%" PRIu64 "  empty_polls=%" PRIu64
		" dropped_proc_queue=%" PRIu64 "\n",
		metric("proc_frames"), metric("proc_stale_desc"), metric("proc_empty_polls"),
		metric("drops_proc_queue"));
	fprintf(out,
		"ARCH:   frames=%" PRIu64 "  bytes=%" PRIu64 "  rotations=%" PRIu64
		"  stale_desc=%" PRIu64 "  io_errors=%" PRIu64 " dropped_arch_queue=%" PRIu64 "\n",
		metric("arch_frames"), metric("arch_bytes"), metric("arch_rotations"),
		metric("arch_stale_desc"), metric("arch_io_errors"), metric("drops_arch_queue"));
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

void report_text(FILE *out)
{
	struct ledger_account accounts[LEDGER_ACCOUNTS];
	struct latencies l;

	print_original(out);
	summary_ledger(accounts);
	fprintf(out, "\n=== Ledger ===\n");
	for (int i = 0; i < LEDGER_ACCOUNTS; i++)
		print_account(out, &accounts[i]);
	summary_latencies(&l);
	fprintf(out, "\n=== Latency from arrival ===\n");
	print_latency(out, "to result:", &l.result);
	print_latency(out, "to archived:", &l.archived);
	fprintf(out, "\nArchive: %s\nResults: %s\n",
		summary.archive[0] != '\0' ? summary.archive : "none",
		summary.results[0] != '\0' ? summary.results : "none");
}

void report_progress(FILE *out)
{
	struct ledger_account a[LEDGER_ACCOUNTS];
	struct rates r;

	summary_rates(&r);
	summary_ledger(a);
	fprintf(out,
		"%8.1f s  dma %" PRIu64 " (%.0f/s) missed %" PRIu64 "  proc %" PRIu64
		" (%.0f/s) in flight %" PRIu64 "  arch %" PRIu64
		" (%.0f/s, %.3f GB/s) in flight %" PRIu64 " errors %" PRIu64 "\n",
		r.elapsed_sec, metric("dma_frames"), r.dma_fps, metric("dma_missed"),
		metric("proc_frames"), r.proc_fps, a[LEDGER_PROC].in_flight, metric("arch_frames"),
		r.arch_fps, r.arch_gbps, a[LEDGER_ARCH].in_flight, metric("arch_io_errors"));
}
