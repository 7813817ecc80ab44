# SPDX-License-Identifier: BSD-3-Clause
"""The "neon" kernel, on any machine: the tests of the detector, compiled for aarch64 and run by an
emulator. DPDK and cmocka are not needed for it; tests/cross has as much of cmocka as they use."""

import os
import shutil
import subprocess

import pytest

import harness
import proof

pytestmark = [pytest.mark.tool, pytest.mark.patch]

COMPILER = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64-static"
DETECTOR = "patch fold plan store jobs tune kernel_scalar kernel_neon".split()
SOURCES = ["tests/unit/test_patch.c", "lib/detect/detector.c", "lib/detect/sites.c",
           "lib/util/error.c", *(f"drivers/proc/patch/{name}.c" for name in DETECTOR)]


@pytest.fixture(scope="module", name="program")
def fixture_program(tmp_path_factory):
    """tests/unit/test_patch.c for aarch64."""
    for tool, package in ((COMPILER, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
                          (EMULATOR, "qemu-user-static")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}; apt-get install {package}")
    made = tmp_path_factory.mktemp("aarch64") / "test_patch"
    subprocess.run([COMPILER, "-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror",
                    "-Wno-missing-field-initializers", "-fno-strict-aliasing", "-D_GNU_SOURCE",
                    "-Itests/cross", "-Ilib", *SOURCES, "-lm", "-o", made],
                   cwd=harness.ROOT, check=True)
    return made


def test_kernel_is_the_scalar_one_to_the_bit(program, samples):
    """Every kind of work. The long form takes every size of patch; the short one as many as there are
    under the sanitizers, since the emulator is slow as well."""
    environment = {**os.environ, "DIP_SAMPLE_IMAGES": str(samples), "DIP_SANITIZE": "1"}
    if proof.long_form():
        del environment["DIP_SANITIZE"]
    done = subprocess.run([EMULATOR, program], env=environment, text=True, capture_output=True,
                          check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("ok test_") == 21
    assert "not tested" not in done.stdout and "skipped" not in done.stdout
