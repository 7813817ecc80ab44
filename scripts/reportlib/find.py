# SPDX-License-Identifier: BSD-3-Clause
"""The files of a run, from any one of them.

A run leaves results_<stamp>.txt or .npy, beside it .sites.npy and .stats.jsonl, and a folder <stamp>
in the folder of archives. The page needs none of them all; what is missing is told with the reason.
"""

import re
from pathlib import Path

from dipformat import Trouble

# The second, a number when it is taken, and of several sources the name.
_STAMP = re.compile(r"\d{8}_\d{6}(?:_\d+)?(?:_[A-Za-z][\w-]*)?")
_NAME = re.compile(rf"results_({_STAMP.pattern})(\.sites\.npy|\.stats\.jsonl|\.npy|\.txt)")


class Files:
    """stamp, and the paths stats, results, table, archive; None: not there."""

    def __init__(self, stamp):
        self.stamp = stamp
        self.stats = self.results = self.table = self.archive = None

    def take(self, folder):
        """What the folder has of the run; whether there was anything."""
        base = folder / f"results_{self.stamp}"
        for name, suffixes in (("stats", (".stats.jsonl",)), ("table", (".sites.npy",)),
                               ("results", (".npy", ".txt"))):
            for suffix in suffixes:
                path = base.with_name(base.name + suffix)
                if getattr(self, name) is None and path.is_file():
                    setattr(self, name, path)
        return self.stats is not None or self.results is not None

    def any(self):
        """The path of something that is there."""
        return self.results or self.stats or self.table or self.archive


def _is_archive(folder):
    return bool(_STAMP.fullmatch(folder.name)) or any(
        re.search(r"_\d{6,}\.(npy|bin|idx)$", path.name) and not _NAME.fullmatch(path.name)
        for path in folder.iterdir())


def _newest(folder):
    """The newest results or figures of a folder, or of the folders in it."""
    found = [path for pattern in ("results_*", "*/results_*") for path in folder.glob(pattern)
             if _NAME.fullmatch(path.name)]
    return max(found, key=lambda path: (_NAME.fullmatch(path.name)[1], path.name), default=None)


def _of_archive(folder):
    files = Files(folder.name)
    files.archive = folder
    around = folder.resolve().parent.parent
    for place in (folder, folder.resolve().parent, around / "results", Path("results"), Path("."),
                  *sorted(path for path in around.iterdir() if path.is_dir())):
        try:
            if files.take(place):
                break
        except PermissionError:
            continue
    return files


def find_archive(files, told):
    """The archive's folder; told: what the run itself says of it, relative to where it ran."""
    around = files.any().resolve().parent
    places = [Path(told), *(parent / told for parent in around.parents)] if told else []
    places += [around.parent / "archive" / files.stamp, *around.parent.glob(f"*/{files.stamp}")]
    for place in places:
        if place.is_dir():
            return place
    return None


def find(run):
    """The files of the run that a path belongs to."""
    if not run.exists():
        raise Trouble(f"{run}: no such file or folder; expected a results file, a .stats.jsonl, or "
                      "the folder of a run's archive")
    if run.is_dir() and not _is_archive(run):
        chosen = _newest(run)
        if chosen is None:
            raise Trouble(f"{run}: no run in it; expected files results_*, or segments of an "
                          "archive")
        run = chosen
    if run.is_dir():
        return _of_archive(run)
    name = _NAME.fullmatch(run.name)
    if name is None and run.suffix in (".npy", ".bin", ".idx", ".h5") and _is_archive(run.parent):
        return _of_archive(run.parent)
    if name is None:
        raise Trouble(f"{run}: not a file of a run; expected results_<stamp> with .txt, .npy, "
                      ".sites.npy or .stats.jsonl, or the folder of a run's archive")
    files = Files(name[1])
    files.take(run.parent)
    return files
