# SPDX-License-Identifier: BSD-3-Clause
"""docs/operations.md and the systemd unit: what they say is so."""

import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import harness

pytestmark = pytest.mark.tool

UNIT = harness.ROOT / "config/dma-image-processor.service"
GUIDE = harness.ROOT / "docs/operations.md"


def unit(program, folder):
    """The unit as it is installed, for a program and a folder; {directive: value}, and the text."""
    text = UNIT.read_text(encoding="utf-8").replace("@BINDIR@/dma-image-processor", str(program))
    text = text.replace("@DATADIR@", str(harness.ROOT / "config"))
    text = text.replace("/srv/dma-image-processor", str(folder))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line)), text


def test_systemd_takes_the_unit(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed; apt-get install systemd")
    _, text = unit("/bin/true", tmp_path)
    file = tmp_path / UNIT.name
    for old, new, said in (("", "", ""), ("Restart=on-failure", "Restart=sometimes", "sometimes"),
                           ("ProtectHome=", "ProtectHouse=", "ProtectHouse")):
        file.write_text(text.replace(old, new) if old else text, encoding="utf-8")
        done = subprocess.run([tool, "verify", "--man=no", file], capture_output=True, text=True,
                              check=False, timeout=60)
        assert said in done.stdout + done.stderr
        assert said or (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_runs_the_program(dip, samples):
    """Its command line, with the capabilities that it leaves, drained by its signal."""
    said, _ = unit(harness.program(), dip.folder)
    assert said["RestartPreventExitStatus"] == "2" and said["Restart"] == "on-failure"
    argv = shlex.split(said["ExecStart"])
    assert argv[-1] == "0"
    (dip.folder / "images").symlink_to(samples)
    at = argv.index("--in-memory")
    # As DIP_MEMORY says, on the CPUs of this machine, with a report that can be read.
    argv[at:at + 1] = harness.memory(256)
    cores = argv.index("-l")
    argv[cores:cores + 4] = harness.eal(2)[:4]
    argv[argv.index("--file-prefix") + 1] = f"dip{os.getpid()}nunit"
    at = argv.index("--") + 1
    argv[at:at] = ["--report", "json", "-s", "lcores.idle=sleep"]
    if os.geteuid() == 0 and shutil.which("setpriv"):
        kept = said["CapabilityBoundingSet"].lower().replace("cap_", "+").replace(" ", ",")
        argv = ["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs", *argv]
    run = dip.start(argv=argv)
    dip.wait_for_results(run)
    dip.stop(run, signal.Signals[said["KillSignal"]])
    assert run.stats["arch_frames"] > 0


def test_the_hugepages_are_reserved_by_the_unit(tmp_path):
    """The command of ExecStartPre, on a file in place of the kernel's: more are reserved, none is
    taken away."""
    said, _ = unit("/bin/true", tmp_path)
    file = tmp_path / "nr_hugepages"
    shell, flag, script = shlex.split(said["ExecStartPre"].lstrip("+").replace("$$", "$"))
    for before, after in (("0", "64"), ("63", "64"), ("64", "64"), ("500", "500")):
        file.write_text(before + "\n", encoding="utf-8")
        subprocess.run([shell, flag, script.replace("/proc/sys/vm/nr_hugepages", str(file))],
                       check=True, env={**os.environ, "DIP_HUGEPAGES": "64"}, timeout=10)
        assert file.read_text(encoding="utf-8").strip() == after


def test_each_alert_is_told():
    names = re.findall(r"alert: (\w+)", (harness.ROOT / "config/prometheus-rules.yml").read_text(
        encoding="utf-8"))
    assert len(names) >= 10
    assert sorted(re.findall(r"^\| `(Dip\w+)` \|", GUIDE.read_text(encoding="utf-8"),
                             re.MULTILINE)) == sorted(names)


def test_the_commands_are_those_of_the_doctor():
    """What is written into files, and which."""
    guide = GUIDE.read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8")
                     for path in (harness.ROOT / "scripts/doctorlib").glob("*.py"))
    for text in ("isolcpus=managed_irq,domain,", "update-grub && reboot", "echo performance | tee",
                 "/proc/sys/vm/nr_hugepages", "smp_affinity_list"):
        assert text in guide and text in source, text
