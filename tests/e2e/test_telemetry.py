# SPDX-License-Identifier: BSD-3-Clause
"""/dip/... and /rawdev/... while the pipeline runs at full speed."""

import json
import shutil
import subprocess
import time

import pytest

import harness
from harness import check_ledger
from telemetry_client import Client

FULL = {"main.nth_archive": 3, "dma.pace_frames": False, "arch.segment_bytes": 100 << 20}
RATES = ["elapsed_sec", "dma_fps", "proc_fps", "arch_fps", "arch_gbps", "arch_gibps"]
ORIGINAL = ["dma_frames", "dma_arch_offered", "dma_pool_exhaust", "proc_frames", "proc_stale_desc",
            "proc_empty_polls", "drops_proc_queue", "arch_frames", "arch_bytes", "arch_rotations",
            "arch_stale_desc", "arch_io_errors", "drops_arch_queue"]


def _flat(config):
    """group.key: telemetry knows no point in a name, so groups are containers, or a / is there."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": text for key, text in value.items()})
        else:
            flat[name.replace("/", ".")] = value
    return flat


@pytest.fixture(name="live")
def full_flight(dip, scene, prefix, request):
    """(run, client) in full flight; overrun = the test's parameter."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(3, prefix=prefix), sets=scene.sets(
        **FULL, **{"main.overrun": getattr(request, "param", "drop")}))
    client = Client(prefix, run.pid)
    dip.wait_for_results(run)
    dip.wait_for(run, lambda: client.ask("/dip/stats")["arch_frames"] > 0)
    yield run, client
    client.close()


@pytest.mark.parametrize("live", ["drop", "block"], indirect=True)
def test_ledger_balances_at_every_read(dip, live):
    """Under full load: nothing is ever counted twice or out of the books, and counts only grow."""
    run, client = live
    before, reads, end = {}, 0, time.monotonic() + 0.7
    while time.monotonic() < end or reads < 200:
        ledger = client.ask("/dip/ledger")
        check_ledger(ledger, drained=False)
        for name, account in ledger.items():
            for term, value in account.items():
                if term not in ("in_flight", "imbalance"):
                    assert value >= before.get((name, term), 0), f"{term} went down"
                    before[name, term] = value
        reads += 1
    run = dip.stop(run)
    for (name, term), value in before.items():
        assert run.report["ledger"][name][term] >= value


def test_stats_are_those_of_the_final_report(dip, live):
    """The same names, with numbers that only grew; rates as decimal strings."""
    run, client = live
    stats = client.ask("/dip/stats")
    run = dip.stop(run)
    assert set(stats) == set(run.stats)
    assert set(ORIGINAL + RATES) <= set(stats)
    for name, value in stats.items():
        if name in RATES or isinstance(run.stats[name], float):
            assert isinstance(value, str) and float(value) >= 0
        else:
            assert isinstance(value, int) and 0 <= value <= run.stats[name], name
    for name in ("dma_frames", "proc_frames", "arch_frames", *RATES):
        assert float(stats[name]) > 0, name


def test_rates_are_counts_over_time(live):
    run, client = live
    assert run.running()
    stats = client.ask("/dip/stats")
    elapsed = float(stats["elapsed_sec"])
    for rate, name in (("dma_fps", "dma_frames"), ("proc_fps", "proc_frames")):
        assert float(stats[rate]) == pytest.approx(stats[name] / elapsed, rel=0.2)


def test_config_is_that_of_check_config(dip, live):
    """Every effective setting, as the report and --check-config have it."""
    run, client = live
    config = _flat(client.ask("/dip/config"))
    run = dip.stop(run)
    assert set(config) == set(run.report["config"])
    assert config["main.nth_archive"] == "3" and config["dma.pace_frames"] == "false"
    for key, value in run.report["config"].items():
        if isinstance(value, float):
            assert float(config[key]) == pytest.approx(value)
        else:
            assert config[key] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_device(dip, live):
    run, client = live
    device = client.ask("/dip/device")
    run = dip.stop(run)
    assert {name: device[name] for name in ("name", "width", "height", "frames")} == {
        "name": "dma_file0", "width": 64, "height": 64, "frames": 203}
    assert 0 < device["due"] <= run.due()


def test_lcores(dip, live):
    run, client = live
    lcores = client.ask("/dip/lcores")
    run = dip.stop(run)
    assert {lcore: entry["role"] for lcore, entry in lcores.items()} == {
        str(entry["lcore"]): entry["role"] for entry in run.report["lcores"]}
    for entry in lcores.values():
        assert float(entry["busy"]) + float(entry["idle"]) == pytest.approx(1, abs=1e-3)
        assert entry["turns"] > 0


def test_lcore_time(dip, live):
    """Busy and idle time make up the time, also over windows; the shares are of it."""
    run, client = live
    begin = time.monotonic()
    first = client.ask("/dip/lcores")
    client.ask("/dip/latency,reset")
    time.sleep(0.5)
    last = client.ask("/dip/lcores")
    passed = time.monotonic() - begin
    for lcore, entry in last.items():
        busy, idle = (entry[key] - first[lcore][key] for key in ("busy_ns", "idle_ns"))
        assert busy >= 0 and idle >= 0 and busy + idle > 0
        assert (busy + idle) / 1e9 == pytest.approx(passed, abs=0.2)
        assert busy / (busy + idle) == pytest.approx(float(entry["busy"]), abs=0.1)
    dip.stop(run)


def test_pool(dip, scene, prefix):
    """All slabs are free at rest, and none but for a few when a disk holds back the source."""
    def ask(sets):
        run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix),
                        sets=scene.sets(**{"main.slabs": 64, "main.nth_archive": 1, **sets}))
        client = Client(prefix, run.pid)
        return run, lambda: client.ask("/dip/pool")

    run, pool = ask({"main.fps": 2})
    dip.wait_for(run, lambda: pool() == {"slabs": 64, "available": 64})
    dip.stop(run)
    run, pool = ask({"main.overrun": "block", "dma.pace_frames": False, "arch.max_rate": 1e6,
                     "main.drain_queues": False})
    dip.wait_for(run, lambda: pool().get("available", 64) < 8)
    dip.stop(run)


def test_latency(dip, live):
    run, client = live
    latency = client.ask("/dip/latency")
    run = dip.stop(run)
    for kind, count in (("result", "proc_frames"), ("archived", "arch_frames")):
        h = latency[kind]
        assert 0 < h["count"] <= run.stats[count]
        assert 0 < h["p50_ns"] <= h["p90_ns"] <= h["p99_ns"] <= h["p999_ns"] <= h["max_ns"]
        assert set(run.report["latency"][kind]) == set(h)


def test_archive(dip, live):
    run, client = live
    archive = client.ask("/dip/archive")
    run = dip.stop(run)
    assert archive["folder"] == run.report["outputs"]["archive"]
    assert 0 < archive["frames"] <= run.stats["arch_frames"]
    assert 1 <= archive["segments"] <= run.stats["arch_segments"]
    assert archive["io_errors"] == 0


def test_rawdev_commands_of_dpdk(dip, live):
    """An ordinary DPDK device: listed, and its xstats."""
    run, client = live
    assert client.ask("/rawdev/list") == [0]
    xstats = client.ask("/rawdev/xstats,0")
    run = dip.stop(run)
    assert 0 < xstats["frames"] <= run.stats["dma_frames"]
    assert xstats["missed"] <= run.stats["dma_missed"]


def test_last_read_is_the_final_report(dip, scene, prefix):
    """When nothing moves any more, both say the same."""
    run = dip.start(scene.folder, 2, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(**{
        "main.fps": 2, "main.nth_archive": 1}))
    client = Client(prefix, run.pid)
    dip.wait_for_results(run)
    while client.ask("/dip/ledger")["results"]["results_frames"] < 4:
        assert run.running()
        time.sleep(0.01)
    ledger, stats = client.ask("/dip/ledger"), client.ask("/dip/stats")
    client.close()
    run = dip.end(run)
    assert ledger == run.report["ledger"]
    for name in ORIGINAL:
        if name != "proc_empty_polls":
            assert stats[name] == run.stats[name]


@pytest.mark.parametrize("command", ["stats", "ledger", "latency", "lcores", "device", "pool",
                                     "archive", "config"])
def test_junk_parameters_do_no_harm(dip, live, command):
    """Whatever stands behind the comma: an answer, and the program goes on."""
    run, client = live
    for junk in ("0", "-1", ",,,,", "a" * 900, "%s%n", "\x01\x7f", "18446744073709551616"):
        client.ask(f"/dip/{command},{junk}")
    assert client.ask("/dip/nothing") is None
    check_ledger(client.ask("/dip/ledger"), drained=False)
    dip.stop(run)


def test_rude_clients(dip, live, prefix):
    """Clients that hang up at once or never read cost nothing; the end comes all the same."""
    run, client = live
    idle = [Client(prefix, run.pid) for _ in range(5)]
    for _ in range(20):
        rude = Client(prefix, run.pid)
        rude.socket.send(b"/dip/stats")
        rude.close()
    check_ledger(client.ask("/dip/ledger"), drained=False)
    dip.stop(run)
    for other in idle:
        other.close()


def test_reading_until_the_very_end(dip, scene, prefix):
    """A client that asks without a pause while the program ends: no crash at exit."""
    for _ in range(5):
        run = dip.start(scene.folder, 0.2, eal_args=harness.eal(2, prefix=prefix),
                        sets=scene.sets(**FULL))
        client = Client(prefix, run.pid)
        try:
            while True:
                client.ask("/dip/ledger")
                client.ask("/dip/lcores")
        except (OSError, ValueError):
            client.close()
        dip.end(run)


def test_dpdks_own_client(dip, live, prefix):
    """dpdk-telemetry.py, as the README tells its use."""
    tool = shutil.which("dpdk-telemetry.py")
    if tool is None:
        pytest.skip("dpdk-telemetry.py is not installed (Debian package dpdk-dev)")
    run, _ = live
    out = subprocess.run([tool, "-f", prefix], input="/dip/ledger\n/dip/stats\nquit\n", text=True,
                         capture_output=True, timeout=30, check=True).stdout
    answers = [json.loads(line) for line in out.splitlines() if line.startswith('{"/dip')]
    if not answers:  # it prints them indented to a terminal only, in some versions always
        decoder, at = json.JSONDecoder(), 0
        while (at := out.find('{\n  "/dip', at)) >= 0:
            answer, at = decoder.raw_decode(out, at)
            answers.append(answer)
    check_ledger(answers[0]["/dip/ledger"], drained=False)
    assert answers[1]["/dip/stats"]["dma_frames"] > 0
    dip.stop(run)


def test_long_paths_are_whole(dip, scene, prefix):
    """A folder deeper than one telemetry string is long is told in full or not at all."""
    folder = "/".join(["x" * 60] * 4)
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(
        **{"main.nth_archive": 1, "arch.arch_output_dir": folder}))
    client = Client(prefix, run.pid)
    dip.wait_for_results(run)
    archive = client.ask("/dip/archive")
    client.close()
    run = dip.stop(run)
    assert run.report["outputs"]["archive"].startswith(folder + "/")
    assert archive.get("folder", "") in ("", run.report["outputs"]["archive"])
