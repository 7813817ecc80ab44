# SPDX-License-Identifier: BSD-3-Clause
"""scripts/exporter.py, the alerts and the dashboard: against the program, and against Debian's
Prometheus."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import harness
from telemetry_client import Client, runtime_folder

CONFIG, SCRIPTS = harness.ROOT / "config", harness.ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
import dipmetrics  # noqa: E402

pytest.importorskip("prometheus_client", reason="apt-get install python3-prometheus-client")
from prometheus_client import openmetrics, parser  # noqa: E402
from prometheus_client.openmetrics import parser as openmetrics_parser  # noqa: E402,F401

pytestmark = pytest.mark.tool

OWN = {"dip_up": "gauge", "dip_process_info": "gauge"}
STAGES = ["dequeued", "decision", "result", "archived"]


def needs(tool):
    """The path of a program of Debian's package prometheus."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed; apt-get install prometheus")
    return path


def exporter(*args, **kwargs):
    """The finished exporter; never a traceback."""
    done = subprocess.run([sys.executable, SCRIPTS / "exporter.py", *map(str, args)], text=True,
                          capture_output=True, check=False, timeout=30, **kwargs)
    assert "Traceback" not in done.stderr
    return done


def fetch(url, accept="text/plain"):
    """The body of an HTTP answer."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def wait(condition, timeout=20):
    """Until it is true."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


class Scraped:
    """What the exporter serves, parsed."""

    def __init__(self, text):
        self.families = {family.name: family for family in
                         parser.text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name, **labels):
        """The value of the one sample with these labels, or None."""
        found = [s.value for s in self.samples if s.name == name
                 and labels.items() <= s.labels.items()]
        assert len(found) <= 1, f"{name} {labels}: several"
        return found[0] if found else None


@contextlib.contextmanager
def serving(*args):
    """An exporter that serves; yields (url, lines that it said)."""
    process = subprocess.Popen([sys.executable, SCRIPTS / "exporter.py", "-l", "0", *args],
                               stderr=subprocess.PIPE, text=True)
    first = process.stderr.readline()
    said = []
    reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")))
    reader.start()
    try:
        yield re.fullmatch(r"exporter: (http://127\.0\.0\.1:\d+/metrics)\n", first)[1], said
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()
    assert "Traceback" not in "".join(said)


@pytest.fixture(name="prefix")
def own_prefix():
    """A file prefix of this test's own; folders are removed at the end."""
    prefix = f"dipexp{os.getpid()}"
    yield prefix
    for end in ("", "b"):
        shutil.rmtree(runtime_folder(prefix + end), ignore_errors=True)


@pytest.fixture(name="start")
def starter(dip, tiny):
    """Starts a program with a file prefix, at 1,000 frames a second; waits for it."""
    def start(prefix, **sets):
        run = dip.start(tiny.folder, 0, eal_args=harness.eal(1, prefix=prefix), sets=tiny.sets(**{
            "main.fps": 1000, "main.nth_archive": 2, **sets}))
        client = Client(prefix, run.pid)
        dip.wait_for(run, lambda: client.ask("/dip/stats").get("arch_frames", 0) > 0)
        client.close()
        return run

    return start


# --- the command line ---

@pytest.mark.parametrize("args, message", [
    (["-l", "http"], '"http": expected [ADDRESS:]PORT'),
    (["-l", "127.0.0.1:70000"], "expected [ADDRESS:]PORT"),
    (["-l", "192.0.2.1:9877"], "--listen 192.0.2.1:9877: Cannot assign requested address; "),
    (["-f", "a/b"], '"a/b": expected a file prefix'),
    (["-t", "0"], '"0": expected seconds, more than 0'),
    (["camera"], "unrecognized arguments: camera"),
])
def test_bad_arguments(args, message):
    done = exporter(*args)
    assert done.returncode == 2 and message in done.stderr and done.stdout == ""


def test_the_manual_has_every_option():
    manual = (harness.ROOT / "docs/man/dip-exporter.1").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", exporter("--help").stdout.split("options:")[1]))
    assert len(options) == 6
    for option in options:
        assert re.search(rf"^\.It .*Fl Fl {option[2:]}\b", manual, re.MULTILINE), option


def test_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = exporter("-l", port)
    assert done.returncode == 2
    assert done.stderr == (f"exporter: --listen 127.0.0.1:{port}: Address already in use; expected "
                           "an address of this machine and a port that is free\n")


def test_nothing_runs(tmp_path):
    done = exporter("--once", "--runtime-dir", tmp_path / "none")
    assert done.returncode == 1 and "no dma-image-processor runs here" in done.stderr
    done = exporter("--once", "--runtime-dir", tmp_path, "-f", "camera")
    assert done.returncode == 1 and Scraped(done.stdout).value("dip_up", process="camera") == 0
    assert "nobody is there; expected a running program" in done.stderr


def test_other_pages():
    with serving("-f", "nobody") as (url, _):
        assert "/metrics" in fetch(url.removesuffix("metrics"))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(url + "s")


# --- sockets that are not what they should be ---

@contextlib.contextmanager
def fake_program(folder, talk):
    """A telemetry socket served by talk(connection)."""
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / "dpdk_telemetry.v2"))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


GREETING = b'{"version": "DPDK 22.11.11", "pid": 1, "max_output_len": 16384}'


def answering(answers):
    """Greets, then says this, message after message."""
    def talk(connection):
        connection.send(GREETING)
        for answer in answers:
            connection.recv(1000)
            connection.send(answer)
    return talk


JUNK = {
    "silent": (lambda c: None, "it hung up; DPDK serves ten clients at a time"),
    "text": (lambda c: c.send(b"hello"), "expected answers of dma-image-processor"),
    "list": (lambda c: c.send(b"[]"), "expected answers of dma-image-processor"),
    "rude": (answering([]), "it hung up"),
    "other": (answering([b'{"/": ["/info"]}']), "another DPDK program, or not ready yet; "),
    "null": (answering([b'{"/": ["/dip/stats"]}', b'{"/dip/stats": null}']),
             "it does not know /dip/stats; expected a dma-image-processor of the exporter's"),
    "empty": (answering([b'{"/": ["/dip/stats"]}', b'{"/dip/stats": {}}']),
              "KeyError('elapsed_sec')"),
    "stuck": (lambda c: c.recv(1), "no answer within 0.5 s"),
}


def test_junk(tmp_path):
    """Whoever is at the other end: dip_up is 0, one line says why, and the others are served."""
    with contextlib.ExitStack() as stack:
        for name, (talk, _) in JUNK.items():
            stack.enter_context(fake_program(tmp_path / name, talk))
        named = exporter("--once", "--runtime-dir", tmp_path, "-t", "0.5",
                         *(word for name in JUNK for word in ("-f", name)))
        every = exporter("--once", "--runtime-dir", tmp_path, "-t", "0.5")
    assert named.returncode == every.returncode == 1
    scraped = Scraped(named.stdout)
    for name, (_, message) in JUNK.items():
        lines = [line for line in named.stderr.splitlines()
                 if line.startswith(f"exporter: {name}: ")]
        assert len(lines) == 1 and message in lines[0]
        assert scraped.value("dip_up", process=name) == 0
        # Asked for nobody by name, a program of somebody else's is none of ours.
        assert (f'process="{name}"' in every.stdout) == (name != "other")


# --- a program ---

def check_dictionary(scraped, process):
    """Every metric is there, with its type, help and labels."""
    types = {f"dip_{name}": kind for name, kind, _, _ in dipmetrics.families()} | OWN
    assert {name + ("_total" if family.type == "counter" else ""): family.type
            for name, family in scraped.families.items()} == types
    for name, kind, labels, text in dipmetrics.families():
        family = scraped.families["dip_" + (name[:-6] if kind == "counter" else name)]
        assert family.documentation == text and family.samples
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {"process", *labels}
            assert sample.labels["process"] == process
    accounts = {s.labels["account"] for s in
                scraped.families["dip_ledger_in_flight_frames"].samples}
    assert accounts == {"device", "proc", "arch", "results"}


def check_histogram(scraped, stage):
    """As Prometheus has them: cumulative, +Inf is the count. Returns the buckets' values."""
    buckets = [(float(s.labels["le"]), s.value) for s in
               scraped.families["dip_latency_seconds"].samples
               if s.name.endswith("_bucket") and s.labels["stage"] == stage]
    values = [value for _, value in buckets]
    assert buckets == sorted(buckets) and values == sorted(values) and len(buckets) == 62
    assert buckets[0][0] == 127e-9 and buckets[-1][0] == float("inf")
    total = scraped.value("dip_latency_seconds_sum", stage=stage)
    assert values[-1] == scraped.value("dip_latency_seconds_count", stage=stage) > 0
    # Each value is above the bound before its own, and not above its own.
    parts = [(low, high, n - m) for (low, m), (high, n) in zip([(0, 0)] + buckets, buckets)
             if n > m]
    assert sum(low * n for low, _, n in parts) <= total <= sum(high * n for _, high, n in parts)
    return values


def check_endpoint(client, url):
    """The same from a file called dip.py, loaded as DPDK's exporter does it."""
    spec = importlib.util.spec_from_file_location("dip", SCRIPTS / "dipmetrics.py")
    endpoint = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(endpoint)

    class Sock:
        """What it hands to metrics()."""

        def cmd(self, uri, arg=None):
            """The answer, without its name."""
            return client.ask(uri if arg is None else f"{uri},{arg}")

    info, found = endpoint.info(), endpoint.metrics(Sock())
    served = Scraped(fetch(url))
    assert {name for name, _, _ in found} == set(info)
    assert all(kind in ("counter", "gauge") and text for text, kind in info.values())
    for name, value, labels in found:
        now = served.value("dip_" + name, **labels)
        assert now >= value if info[name][1] == "counter" else now is not None, name


def test_everything_is_served(dip, prefix, start):
    """Every metric of the dictionary, and the values of telemetry."""
    run = start(prefix, **{"proc.deadline_us": 1})
    client = Client(prefix, run.pid)
    before = client.ask("/dip/stats")
    with serving("-f", prefix) as (url, said):
        scraped = Scraped(fetch(url))
        after = client.ask("/dip/stats")
        check_endpoint(client, url)
        other = fetch(url, "application/openmetrics-text; version=1.0.0")
        last = Scraped(fetch(url))
    assert said == [f"exporter: {prefix}: answers, pid {run.pid}\n"]
    pool = client.ask("/dip/pool")
    client.close()
    run = dip.stop(run)
    # The dictionary is that of the program.
    assert {name for name, _, _ in dipmetrics.COUNTERS} == {
        name for name, value in before.items() if isinstance(value, int)}
    check_dictionary(scraped, prefix)
    for name, unit, _ in dipmetrics.COUNTERS:
        served = "dip_" + dipmetrics.counter_name(name, unit)
        assert unit in served.split("_")
        assert before[name] <= scraped.value(served) <= after[name], name
    for stage in STAGES:
        values = [check_histogram(one, stage) for one in (scraped, last)]
        assert all(a <= b for a, b in zip(*values)) and values[0][-1] < values[1][-1]
        assert values[1][-1] <= run.report["latency"][stage]["count"]
    assert scraped.value("dip_up") == 1 and scraped.value("dip_process_info", pid=str(run.pid)) == 1
    assert scraped.value("dip_proc_deadline_seconds") == 1e-6
    assert scraped.value("dip_pool_slabs") == pool["slabs"]
    assert scraped.value("dip_lcore_busy_seconds_total", lcore="1") > 0
    # The stricter format that Prometheus asks for.
    assert {family.name for family in openmetrics.parser.text_string_to_metric_families(other)} \
        == set(scraped.families)


def test_several_programs_that_come_and_go(dip, prefix, start):
    """Each under its prefix; one that is stopped does not hold up the others; both may restart."""
    other = prefix + "b"
    with serving("-t", "0.5", "-f", prefix, "-f", other) as (url, said):
        def ups():
            scraped = Scraped(fetch(url))
            return scraped.value("dip_up", process=prefix), scraped.value("dip_up", process=other)

        assert ups() == (0, 0)
        run, second = start(prefix), start(other)
        assert ups() == (1, 1)
        frames = Scraped(fetch(url)).value("dip_dma_frames_total", process=prefix)
        os.kill(run.pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert ups() == (0, 1) and time.monotonic() - begin < 5
        os.kill(run.pid, signal.SIGCONT)
        wait(lambda: ups() == (1, 1))
        assert Scraped(fetch(url)).value("dip_dma_frames_total", process=prefix) > frames
        dip.stop(run)
        assert ups() == (0, 1)
        second.process.kill()  # leaves its socket behind
        second.finish()
        dip.runs.remove(second)
        assert ups() == (0, 0)
        run = start(prefix)
        assert ups() == (1, 0)
        assert f'pid="{run.pid}"' in fetch(url)
        # Without names: who runs, and nothing of who does not.
        every = exporter("--once").stdout
        assert f'dip_up{{process="{prefix}"}} 1.0' in every and f'"{other}"' not in every
        # A second one with the same prefix is told apart by the end of its socket's name.
        second = start(prefix)
        scraped = Scraped(fetch(url))
        for process, pid in ((prefix, run.pid), (prefix + ":1", second.pid)):
            assert scraped.value("dip_up", process=process) == 1
            assert scraped.value("dip_process_info", process=process, pid=str(pid)) == 1
        dip.stop(second)
        dip.stop(run)
    assert any(f"{prefix}: {runtime_folder(prefix)}" in line and "no answer within 0.5 s" in line
               for line in said)
    assert len(said) < 15  # a line for a change, not for a scrape


# --- alerts and dashboard ---

RULES = CONFIG / "prometheus-rules.yml"


def dashboard_queries():
    """The queries of the dashboard, as Grafana would send them."""
    board = json.loads((CONFIG / "grafana-dashboard.json").read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(found) > 20 and len({panel["id"] for panel in board["panels"]}) == len(
        board["panels"])
    return [query.replace("$process", ".*").replace("$__rate_interval", "5s").replace(
        "$__range", "30s") for query in found]


def test_rules_and_dashboard_name_what_there_is():
    known = {f"dip_{name}" for name in dipmetrics.info()} | set(OWN)
    for text in [RULES.read_text(encoding="utf-8"), *dashboard_queries()]:
        for name in re.findall(r"\bdip_\w+", text):
            assert name in known, name


def test_promtool_takes_rules_and_example():
    for kind, name in (("rules", "prometheus-rules.yml"), ("config", "prometheus.yml")):
        done = subprocess.run([needs("promtool"), "check", kind, CONFIG / name], text=True,
                              capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr


# What each alert is for: series that are well otherwise, and how they go on, every five
# seconds.
TROUBLE = {
    "DipNotRunning": ("critical", {"dip_up": "1x6 0x18"}, {}),
    "DipLedgerImbalance": ("critical", {'dip_ledger_imbalance_frames{account="arch"}':
                                        "0x6 3x18"}, {"account": "arch"}),
    "DipFramesMissed": ("warning", {"dip_dma_missed_frames_total": "7x18 8x6"}, {}),
    "DipFramesDropped": ("warning", {"dip_drops_arch_queue_frames_total": "0x18 1+1x6"}, {}),
    "DipSourceErrors": ("critical", {"dip_dma_errors_polls_total": "0x18 1x6"}, {}),
    "DipPoolNearlyEmpty": ("warning", {"dip_pool_available_slabs": "128x18 12x6"}, {}),
    "DipDiskErrors": ("critical", {"dip_results_io_errors_frames_total": "0x18 2x6"}, {}),
    "DipFiguresNotWritten": ("warning", {"dip_stats_errors_episodes_total": "0x18 1x6"}, {}),
    "DipFramesOverwritten": ("warning", {"dip_dma_overwritten_frames_total": "0x18 1+1x6",
                                         "dip_proc_stale_desc_frames_total": "0x18 1+1x6"}, {}),
    "DipStaleDescriptors": ("critical", {"dip_arch_stale_desc_frames_total": "0x18 1x6"}, {}),
    "DipLatencyOverDeadline": ("warning", {"dip_proc_late_frames_total": "5x18 6x6"}, {}),
}


def well():
    """Every series of a program that is well, for two minutes."""
    series = {f"dip_{dipmetrics.counter_name(name, unit)}": "5x24"
              for name, unit, _ in dipmetrics.COUNTERS}
    series |= {"dip_up": "1x24", "dip_pool_slabs": "128x24", "dip_pool_available_slabs": "13x24",
               "dip_dma_frames_total": "0+5000x24"}
    series |= {f'dip_ledger_imbalance_frames{{account="{account}"}}': "0x24"
               for account in ("device", "proc", "arch", "results")}
    return series


def rule_test(series, expected):
    """One test for promtool."""
    def labelled(name):
        return name.replace("}", ',process="camera"}') if "{" in name else name + \
            '{process="camera"}'

    return {"interval": "5s", "input_series": [
        {"series": labelled(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": "2m",
                              "exp_samples": [{"labels": text, "value": 1} for text in expected]}]}


def test_each_alert_fires_for_its_trouble_and_no_other(tmp_path):
    names = re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert sorted(names) == sorted(TROUBLE)
    tests = [rule_test(well(), [])]
    for name, (severity, series, labels) in TROUBLE.items():
        labels = {"alertname": name, "alertstate": "firing", "process": "camera",
                  "severity": severity, **labels}
        told = ",".join(f'{key}="{value}"' for key, value in labels.items())
        tests.append(rule_test({**well(), **series}, [f"ALERTS{{{told}}}"]))
    for series, name in (({"dip_ledger_imbalances_checks_total": "0x18 1+1x6"},
                          "DipLedgerImbalance"),
                         ({"dip_proc_stale_desc_frames_total": "0x18 1x6"},
                          "DipStaleDescriptors")):
        tests.append(rule_test({**well(), **series}, [
            f'ALERTS{{alertname="{name}",alertstate="firing",process="camera",'
            'severity="critical"}']))
    for name in ("proc_queue", "results_queue"):
        tests.append(rule_test({**well(), f"dip_drops_{name}_frames_total": "0x18 1x6"}, [
            'ALERTS{alertname="DipFramesDropped",alertstate="firing",process="camera",'
            'severity="warning"}']))
    tests.append(rule_test({**well(), "dip_queue_overwritten_frames_total": "0x18 1x6",
                            "dip_arch_stale_desc_frames_total": "0x18 1x6"}, [
        'ALERTS{alertname="DipFramesOverwritten",alertstate="firing",process="camera",'
        'severity="warning"}']))
    for name in ("arch_io_errors_frames", "arch_segment_errors_segments",
                 "arch_condemned_segments", "arch_sidecar_errors_episodes",
                 "results_removed_files"):
        tests.append(rule_test({**well(), f"dip_{name}_total": "0x18 1x6"}, [
            'ALERTS{alertname="DipDiskErrors",alertstate="firing",process="camera",'
            'severity="critical"}']))
    # A restart sets counters back to less, which is no loss.
    tests.append(rule_test({**well(), "dip_dma_missed_frames_total": "9x18 0x6"}, []))
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "5s",
                                "tests": tests}), encoding="utf-8")
    done = subprocess.run([needs("promtool"), "test", "rules", file], text=True,
                          capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """A real one, that scrapes an exporter four times a second."""

    def __init__(self, folder, target):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = folder / "prometheus.yml"
        config.write_text((CONFIG / "prometheus.yml").read_text(encoding="utf-8").replace(
            "5s", "250ms").replace("127.0.0.1:9877", target).replace(
            "prometheus-rules.yml", str(RULES)), encoding="utf-8")
        self.log = open(folder / "prometheus.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [needs("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdout=self.log, stderr=subprocess.STDOUT, cwd=folder)

    def get(self, path, **parameters):
        """What its API says."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            answer = json.loads(fetch(url))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, text):
        """[(labels, value)]."""
        return [(row["metric"], float(row["value"][1]))
                for row in self.get("query", query=text)["result"]]

    def ready(self):
        """Whether it answers."""
        assert self.process.poll() is None, (self.log.seek(0), self.log.read())[1]
        try:
            fetch(f"http://127.0.0.1:{self.port}/-/ready")
        except OSError:  # among them, that it is not ready
            return False
        return [target["health"] for target in self.get("targets")["activeTargets"]] == ["up"]

    def alerts(self):
        """{name: state} of all rules; their health is checked."""
        rules = self.get("rules")["groups"][0]["rules"]
        assert {rule["name"] for rule in rules} == set(TROUBLE)
        assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules
        return {rule["name"]: rule["state"] for rule in rules}

    def close(self):
        """Stop it."""
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()


def test_prometheus(dip, prefix, start, tmp_path):
    """Scrapes, evaluates the rules, draws the dashboard; the program restarts meanwhile."""
    needs("prometheus")
    run = start(prefix, **{"proc.deadline_us": 1})
    with serving("-f", prefix) as (url, _):
        prometheus = Prometheus(tmp_path, urllib.parse.urlparse(url).netloc)
        try:
            watch(dip, prometheus, run, lambda: start(prefix))
        finally:
            prometheus.close()


def watch(dip, prometheus, run, again):
    """The course of that test."""
    wait(prometheus.ready)
    # Every frame is later than 1 us.
    wait(lambda: prometheus.alerts()["DipLatencyOverDeadline"] == "firing")
    told = prometheus.get("alerts")["alerts"][0]["annotations"]["summary"]
    assert re.fullmatch(r"\S+ decided [1-9]\d* frames after their deadline within a minute", told)
    assert {name for name, state in prometheus.alerts().items() if state != "inactive"} <= {
        "DipLatencyOverDeadline", "DipPoolNearlyEmpty", "DipFramesMissed"}  # a slow machine
    types = {name: rows[0]["type"] for name, rows in prometheus.get("metadata").items()}
    assert types["dip_latency_seconds"] == "histogram" and types["dip_pool_slabs"] == "gauge"
    wait(lambda: (rate := prometheus.query("rate(dip_dma_frames_total[3s])"))
         and 700 < rate[0][1] < 1300)
    median = prometheus.query("histogram_quantile(0.5, rate(dip_latency_seconds_bucket{"
                              'stage="result"}[3s]))')
    assert 1e-7 < median[0][1] < 1
    for query in dashboard_queries():
        assert prometheus.query(query), query
    dip.stop(run)
    wait(lambda: prometheus.alerts()["DipNotRunning"] == "pending")
    run = again()
    wait(lambda: prometheus.alerts()["DipNotRunning"] == "inactive")
    # As many as this one has, though its predecessor had more.
    wait(lambda: prometheus.query("dip_up")[0][1] == 1)
    assert prometheus.query("resets(dip_dma_frames_total[30s])")[0][1] == 1
    dip.stop(run)
