# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of dma-image-processor as Prometheus wants them: names with units, types, help, and
how to read them from DPDK telemetry.

exporter.py serves them with the prefix dip_. The same file, installed as dip.py among the telemetry
endpoints of DPDK, is one for the dpdk-telemetry-exporter.py of DPDK 24.11 and others, which puts
dpdk_dip_ before the names and asks for info() and metrics(). It uses nothing but Python itself."""

# Name, unit and help of every counter, from the rows in the code.
COUNTERS = (
    # metrics: begin (made by scripts/gen-docs; do not edit)
    ("ledger_checks", "checks",
     "times the ledger was looked at"),
    ("ledger_imbalances", "checks",
     "of these, with an account that did not balance"),
    ("stats_errors", "episodes",
     "times from which on the file of figures could not be written"),
    ("arch_frames", "frames",
     "frames of which every byte is written"),
    ("arch_bytes", "bytes",
     "bytes of pixels of these frames"),
    ("arch_rotations", "segments",
     "changes to a next segment"),
    ("arch_stale_desc", "frames",
     "descriptors refused: their frame was overwritten while it was queued (overwrite)"),
    ("arch_io_errors", "frames",
     "frames not archived because of an error of the disk"),
    ("arch_discarded", "frames",
     "frames queued for archiving and discarded at a stop"),
    ("arch_segments", "segments",
     "segments with at least one frame in them"),
    ("arch_short_writes", "writes",
     "writes that the system cut short, completed by another"),
    ("arch_segment_errors", "segments",
     "segments removed behind our back, or whose close or index failed"),
    ("arch_durable", "frames",
     "frames of arch_frames that the disk has confirmed to keep"),
    ("arch_condemned", "segments",
     "segments condemned because the disk could not be made to keep them"),
    ("arch_sidecar_errors", "episodes",
     "times from which on run.h5 could not be written"),
    ("dma_frames", "frames",
     "frames delivered by the source"),
    ("dma_missed", "frames",
     "frames due and lost at the source"),
    ("dma_pool_exhaust", "frames",
     "of these, lost because no slab was free"),
    ("dma_overwritten", "frames",
     "frames that lost their slab, still queued, to a newer one (overwrite)"),
    ("dma_pool_waits", "polls",
     "polls without a free slab that lost nothing"),
    ("dma_bytes", "bytes",
     "bytes of pixels delivered"),
    ("dma_errors", "polls",
     "dequeues that failed"),
    ("dma_gaps", "frames",
     "numbers that the run replayed does not have"),
    ("dma_damaged", "frames",
     "of those missed, damaged in what is played"),
    ("dma_copy_errors", "frames",
     "of those missed, a DMA engine failed to copy them"),
    ("dma_faults", "faults",
     "faults on demand that were played"),
    ("frame_checks", "checks",
     "times the pixels of a frame were compared with those published; 0 but in a build with -Dcheck_frames=true"),
    ("frame_changes", "checks",
     "of these, with pixels that had changed"),
    ("proc_offered", "frames",
     "frames offered to the processors"),
    ("drops_proc_queue", "frames",
     "frames not processed: the processors' queue was full"),
    ("drops_results_queue", "frames",
     "frames not processed: too many results not yet written"),
    ("proc_offer_discarded", "frames",
     "frames not processed: still to be queued at a stop"),
    ("dma_arch_offered", "frames",
     "frames offered to the archive"),
    ("drops_arch_queue", "frames",
     "frames not archived: the archiver's queue was full"),
    ("arch_offer_discarded", "frames",
     "frames not archived: still to be queued at a stop"),
    ("proc_stale_desc", "frames",
     "descriptors refused: their frame was overwritten while it was queued (overwrite)"),
    ("queue_overwritten", "frames",
     "places in a full queue that a newer frame took from the oldest one (overwrite)"),
    ("ingest_waits", "polls",
     "polls that waited for a full queue (block)"),
    ("dma_duplicates", "frames",
     "frames refused: one with their number, or a higher one, had come before"),
    ("proc_frames", "frames",
     "frames decided"),
    ("results_offered", "frames",
     "results handed on to be written"),
    ("proc_occupied", "sites",
     "sites found occupied, over all frames"),
    ("proc_discarded", "frames",
     "frames queued for processing and discarded at a stop"),
    ("proc_late", "frames",
     "frames decided later than proc.deadline_us after their arrival"),
    ("proc_empty_polls", "polls",
     "polls that found no frame"),
    ("results_holes", "frames",
     "queued frames that have no result: stale or discarded"),
    ("results_frames", "frames",
     "frames whose result is written"),
    ("results_bytes", "bytes",
     "bytes of results written"),
    ("results_io_errors", "frames",
     "frames whose result could not be written"),
    ("results_removed", "files",
     "results files removed or cut behind our back: what was in them is gone"),
    # metrics: end
)

# What is not a counter of /dip/stats: name, type, labels, help.
OTHERS = (
    ("device_due_frames_total", "counter", (), "frames due at the source, delivered or not"),
    ("device_info", "gauge", ("device", "width", "height"), "1; its labels tell of the source"),
    ("ledger_in_flight_frames", "gauge", ("account",),
     "frames that came into an account and are neither done nor lost yet"),
    ("ledger_imbalance_frames", "gauge", ("account",),
     "frames of an account that nobody can account for; must be 0"),
    ("pool_slabs", "gauge", (), "frame buffers"),
    ("pool_available_slabs", "gauge", (), "frame buffers that are free"),
    ("run_elapsed_seconds", "gauge", (), "since the start of the source, up to its end"),
    ("proc_deadline_seconds", "gauge", (), "proc.deadline_us; 0: none"),
    ("lcore_busy_seconds_total", "counter", ("lcore", "role"), "time in turns that brought work"),
    ("lcore_idle_seconds_total", "counter", ("lcore", "role"),
     "time in turns that brought none, sleeps included"),
    ("lcore_longest_turn_seconds", "gauge", ("lcore", "role"),
     "longest time between two polls in the present window, sleeps left out"),
    ("lcore_longest_idle_seconds", "gauge", ("lcore", "role"),
     "the same of turns that brought no work"),
    ("latency_seconds", "histogram", ("stage",),
     "time of a frame to a stage: dequeued, decision, result or archived"),
)

STAGES = ("dequeued", "decision", "result", "archived")


def counter_name(name, unit):
    """A counter of /dip/stats as Prometheus has it: with its unit, unless that is in its name."""
    return "_".join([name] if unit in name.split("_") else [name, unit]) + "_total"


def families():
    """(name, type, labels, help) of everything."""
    return [(counter_name(name, unit), "counter", (), text) for name, unit, text in COUNTERS] + \
        list(OTHERS)


def _counters(ask, source):
    """/dip/stats. A counter that the running program has not is left out."""
    stats = ask("/dip/stats", source)
    for name, unit, _ in COUNTERS:
        if name in stats:
            yield counter_name(name, unit), {}, stats[name]
    yield "run_elapsed_seconds", {}, float(stats["elapsed_sec"])


def _ledger(ask, source):
    for account, terms in ask("/dip/ledger", source).items():
        yield "ledger_in_flight_frames", {"account": account}, terms["in_flight"]
        yield "ledger_imbalance_frames", {"account": account}, terms["imbalance"]


def _device(ask, source):
    device = ask("/dip/device", source)
    yield "device_due_frames_total", {}, device["due"]
    yield "device_info", {"device": device["name"], "width": str(device["width"]),
                          "height": str(device["height"])}, 1


def _pool(ask, source):
    pool = ask("/dip/pool", source)
    yield "pool_slabs", {}, pool["slabs"]
    yield "pool_available_slabs", {}, pool["available"]


def _lcores(ask):
    for lcore, entry in ask("/dip/lcores").items():
        labels = {"lcore": lcore, "role": entry["role"]}
        yield "lcore_busy_seconds_total", labels, entry["busy_ns"] / 1e9
        yield "lcore_idle_seconds_total", labels, entry["idle_ns"] / 1e9
        yield "lcore_longest_turn_seconds", labels, float(entry["longest_turn_us"]) / 1e6
        yield "lcore_longest_idle_seconds", labels, float(entry["longest_idle_us"]) / 1e6


def _config(ask):
    yield "proc_deadline_seconds", {}, int(ask("/dip/config")["proc"]["deadline_us"]) / 1e6


def sources(ask):
    """[(name, labels)] to ask for and to tell: of one source, neither has a name of it."""
    names = [entry["name"] for entry in ask("/dip/sources").values()]
    return [(name, {"source": name}) for name in names] if len(names) > 1 else [(None, {})]


def samples(ask):
    """[(name, labels, value)] of all but the histograms. ask: a function that takes a telemetry
    command and its parameter, or None, and returns the answer. Of several sources each has the label
    source."""
    whole = list(_counters(ask, None))
    found = []
    for source, labels in sources(ask):
        if source:
            whole = _counters(ask, source)
        for part in (whole, _ledger(ask, source), _device(ask, source), _pool(ask, source)):
            found += [(name, {**labels, **more}, value) for name, more, value in part]
    return [*found, *_lcores(ask), *_config(ask)]


def _latencies(ask, source):
    answer = ask("/dip/latency", f"{source},buckets" if source else "buckets")
    bounds = [f"{bound / 1e9:.12g}" for bound in answer["bounds_ns"]] + ["+Inf"]
    for stage in STAGES:
        values = answer[stage]["at_most"] + [answer[stage]["count"]]
        yield {"stage": stage}, list(zip(bounds, values)), answer[stage]["sum_ns"] / 1e9


def latencies(ask):
    """[(labels, [(bound in seconds as text, values up to it)], sum in seconds)], the stage among the
    labels; the last bound is +Inf and has all values."""
    return [({**labels, **stage}, buckets, total) for source, labels in sources(ask)
            for stage, buckets, total in _latencies(ask, source)]


def info():
    """{name: (help, type)}, for DPDK's exporter. It knows no histograms: their parts are counters,
    which is all that histogram_quantile() needs."""
    known = {}
    for name, kind, _, text in families():
        if kind == "histogram":
            known.update({name + part: (text, "counter") for part in ("_bucket", "_sum", "_count")})
        else:
            known[name] = (text, kind)
    return known


def metrics(sock):
    """[(name, value, labels)], for DPDK's exporter."""
    found = [(name, value, labels) for name, labels, value in samples(sock.cmd)]
    for labels, buckets, total in latencies(sock.cmd):
        found += [("latency_seconds_bucket", count, {**labels, "le": bound})
                  for bound, count in buckets]
        found += [("latency_seconds_sum", total, labels),
                  ("latency_seconds_count", buckets[-1][1], labels)]
    return found
