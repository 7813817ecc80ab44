# SPDX-License-Identifier: BSD-3-Clause
"""The fixtures of the end-to-end tests.

DIP_BINARY         the program under test; without it these tests are skipped
DIP_MEMORY         huge or no-huge: EAL's memory in every run; empty: the program chooses
DIP_LONG           1: the long forms of the tests that have one (proof.py)
DIP_SLOW           how many times slower than usual the program is: unpaced runs and timeouts last
                   that much longer
DIP_SAMPLE_IMAGES  the folder of sample images, default ../shared/images/atoms-300x300
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness
import proof
from disks import LoopDisk
from oracle import Scene
from telemetry_client import runtime_folder


def pytest_terminal_summary(terminalreporter):
    """What the tests of the promises did."""
    for line in proof.LINES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def runtime_folders():
    """EAL leaves an empty folder for every file prefix."""
    yield
    for folder in runtime_folder("").glob(f"dip{os.getpid()}n*"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(name="prefix")
def own_prefix():
    """A file prefix of the test's own; its folder is removed at the end."""
    prefix = f"diptest{os.getpid()}"
    yield prefix
    shutil.rmtree(runtime_folder(prefix), ignore_errors=True)


@pytest.fixture(name="dip")
def launcher(tmp_path):
    """Starts the program in a folder of its own."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    dip = harness.Launcher(tmp_path)
    yield dip
    dip.close()
    # pytest keeps the folders of several runs: what may be large goes now.
    for entry in tmp_path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)


@pytest.fixture(name="samples", scope="session")
def sample_images():
    """The folder of sample images."""
    beside = harness.ROOT.parent / "shared" / "images" / "atoms-300x300"
    given = os.environ.get("DIP_SAMPLE_IMAGES") or beside
    if not Path(given).is_dir():
        pytest.skip(f"{given}: no sample images there; set DIP_SAMPLE_IMAGES")
    return Path(given).resolve()


@pytest.fixture(name="scene", scope="session")
def small_scene(tmp_path_factory):
    """Frames of 64 x 64, 203 of them (a multiple of no burst, ring or gather size), and folder."""
    scene = Scene(203, 64, 64, roi=(8, 8))
    scene.folder = scene.write(tmp_path_factory.mktemp("scene") / "frames")
    return scene


@pytest.fixture(name="tiny", scope="session")
def tiny_scene(tmp_path_factory):
    """Frames of 16 x 16, 31 of them, and folder."""
    scene = Scene(31, 16, 16, seed=2)
    scene.folder = scene.write(tmp_path_factory.mktemp("tiny") / "frames")
    return scene


@pytest.fixture(name="public")
def everybodys_folder():
    """A folder in which harness.NOBODY can run the program; pytest's own are closed to others."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program")
    reach = subprocess.run(["sh", "-c", '"$0" --version', harness.program()], check=False,
                           capture_output=True, cwd="/", **harness.NOBODY)
    if reach.returncode != 0:
        pytest.skip(f"another user cannot run {harness.program()}")
    folder = Path(tempfile.mkdtemp(prefix="dip_public_"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="small_disk")
def mounted_tmpfs(tmp_path):
    """A tmpfs of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(name="loop_disk")
def loop_disks(tmp_path):
    """Makes them; they go at the end."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a loop device")
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:" + os.environ["PATH"]) is None:
        pytest.skip("no mkfs.ext4; install e2fsprogs")
    disks = []

    def make(image_mib, backing_mib):
        folder = tmp_path / f"loop{len(disks)}"
        folder.mkdir()
        try:
            disks.append(LoopDisk(folder, image_mib, backing_mib))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no ext4 on a loop device here: {getattr(error, 'stderr', error)}")
        return disks[-1]
    yield make
    for disk in disks:
        disk.close()
