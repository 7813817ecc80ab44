# SPDX-License-Identifier: BSD-3-Clause
"""The plot of the scale part: time of a frame against its bytes."""

import datetime

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402, pylint: disable=wrong-import-position

STYLE = {"axes.grid": True, "grid.color": "#e5e7eb", "axes.spines.top": False, "font.size": 9,
         "axes.spines.right": False, "legend.frameon": False, "svg.hashsalt": "dip",
         "figure.constrained_layout.use": True}


def _machine(env):
    caches = ", ".join(f"{name} {size}" for name, size in env["caches"].items() if name != "L1i")
    kernel = ".".join(env["kernel"].split(".")[:2])
    return f"{env['cpu']}, {env['cpus']} CPUs, {caches}\nLinux {kernel}, DPDK {env['dpdk']}"


def formats():
    """Endings of files that can be drawn into."""
    return plt.figure().canvas.get_supported_filetypes()


def scale(path, table, env):
    """Draw a table {bytes: spread of us} with the machine's name, beside a line of equal time a byte
    through the fastest row."""
    sizes = [int(size) for size in table]
    medians = [row["median"] for row in table.values()]
    reach = [[row["median"] - row["min"] for row in table.values()],
             [row["max"] - row["median"] for row in table.values()]]
    fastest = min(us / size for us, size in zip(medians, sizes))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 4.2))
        axes.errorbar(sizes, medians, yerr=reach, marker="o", capsize=3, color="#3b6fd4",
                      label="one worker lcore, 16 sites: median, least, most")
        axes.plot(sizes, [fastest * size for size in sizes], "--", color="#6b7280",
                  label=f"in proportion to the bytes: {1 / fastest / 1e3:.1f} GB/s")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [f"{size >> 20} MiB" if size >= 2**20 else f"{size >> 10} KiB"
                                for size in sizes])
        axes.set(xlabel="bytes of a frame", ylabel="us a frame")
        axes.set_title(f"{_machine(env)}, {datetime.date.today()}", fontsize=8, loc="left")
        axes.legend()
        figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
        plt.close(figure)
