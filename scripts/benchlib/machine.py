# SPDX-License-Identifier: BSD-3-Clause
"""What the machine can do, by tests/bench/limits and tests/bench/bare_loop."""

from benchlib.common import run_json


def limits_program(options):
    """It must be there."""
    return options.build / "tests/bench/limits"


def bare_program(options):
    """It must be there."""
    return options.build / "tests/bench/bare_loop"


def limit(options, what, *where):
    """The figures of read, copy, gaps or hop, on those CPUs."""
    return run_json(f"limit, {what}", [limits_program(options), what, f"{options.seconds:g}", *where])


class Grid:
    """A grid of sites: the program's settings and the bare loop's arguments."""

    def __init__(self, rows, cols, roi):
        self.ends, self.roi = (*rows, *cols), roi

    def settings(self):
        """Of the program."""
        row_start, row_end, col_start, col_end = self.ends
        return [f"pois.row_start={row_start}", f"pois.row_end={row_end}",
                f"pois.col_start={col_start}", f"pois.col_end={col_end}",
                f"pois.roi_h={self.roi}", f"pois.roi_w={self.roi}"]

    def arguments(self):
        """Of the bare loop."""
        row_start, row_end, col_start, col_end = self.ends
        return [row_start, col_start, row_end, col_end, self.roi, self.roi]


SAMPLE = Grid((50, 250), (50, 250), 10)  # 400 sites, of 300 x 300 pixels


def bare_fps(options, name, source, cpu, grid=SAMPLE):
    """Frames that one core copies into one slab and decides in a second, and nothing else."""
    return run_json(name, [bare_program(options), source, f"{options.seconds:g}", cpu,
                           *grid.arguments()])["fps"]
