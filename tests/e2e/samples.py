# SPDX-License-Identifier: BSD-3-Clause
"""The command lines that the documents show: found in a page, and held against the programs and scripts
that they start. Nothing is run but --help, --check-config and the like."""

import functools
import os
import re
import shlex
import subprocess
import sys

from harness import ROOT

PROGRAM, ARCHIVE = "dma-image-processor", "dma-image-archive"
INSTALLED = {"dma-image-calibrate": "calibrate.py"}
# Commands that start another one, which is the first of ours behind them.
WRAPPERS = ("setpriv", "taskset")
# How a command line begins. One that begins with an option is a part of the program's.
STARTS = (r"(scripts/|build/|(\S*/)?dma-image-|dip-[a-z]|meson |apt-get |taskset |setpriv |--device |"
          r"[A-Z_]+=\S+ \S)")


def ask(*command, cwd=None):
    """stdout of a command that ends with 0."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True,
                          timeout=60, cwd=cwd)
    return done.stdout


@functools.lru_cache(maxsize=None)
def script_help(path):
    """What a script says about itself."""
    with open(ROOT / path, encoding="utf-8") as file:
        python = [sys.executable] if "python" in file.readline() else []
    return ask(*python, ROOT / path, "--help")


@functools.lru_cache(maxsize=None)
def archive_help(program, command):
    """What dma-image-archive says about itself, or about one of its commands."""
    return ask(program, *([command] if command else []), "--help")


@functools.lru_cache(maxsize=None)
def eal_help(program, folder):
    """What EAL says about itself."""
    return ask(program, "-h", "--", "--device", "dma_null0", cwd=folder)


def options(words):
    """Those among the words of a command line, without values and brackets."""
    found = (re.match(r"\[?(--?[A-Za-z][\w-]*)", word) for word in words)
    return [match[1] for match in found if match]


def unknown(words, usage, who):
    """A complaint for each option that is not in the usage of who."""
    return [f"{who} has no option {option}" for option in options(words)
            if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", usage)]


def manual_lines(text):
    """[(number, command line)] of the examples of a manual page."""
    literal, shown = False, []
    for line in text.replace("\\-", "-").replace("\\e", "\\").splitlines():
        literal = (literal or line.startswith(".Bd -literal")) and line != ".Ed"
        shown.append(f"    {line}" if literal else "")
    return lines("\n".join(shown))


def lines(text):
    """[(number, command line)] of a page: lines of indented and fenced blocks, continued ones put
    together, and of the spans of code those that name one of our commands with something behind it."""
    found, fenced, begun = [], False, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif begun or fenced or line.startswith("    "):
            first, before = begun or (number, "")
            whole = before + line.strip().removeprefix("$ ")
            begun = (first, whole[:-1]) if whole.endswith("\\") else None
            if not begun and re.match(STARTS, whole):
                found.append((first, whole))
        else:
            found += [(number, span.replace("\\|", "|")) for span in re.findall(r"`([^`]+)`", line)
                      if re.match(rf"(scripts/\S+|build/\S+|{PROGRAM}|{ARCHIVE}|dip-[a-z]+) ", span)]
    return found


def commands(line):
    """The words of each command in a line, without what is said before it."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=";&|<>" if " && " in line else "")
    reader.whitespace_split, reader.commenters = True, "#"
    found = [[]]
    for word in reader:
        if set(word) <= set(";&|"):
            found.append([])
        else:
            found[-1].append(word)
    for words in found:
        while words and re.match(r"\w+=", words[0]):
            del words[0]
        if words and words[0] in WRAPPERS:
            del words[:next((at for at, word in enumerate(words) if "dma-image-" in word), len(words))]
    return [words for words in found if words]


class Judge:
    """Of command lines. program: dma-image-processor; folder: an empty one, where the files that
    samples name are made."""

    def __init__(self, program, folder):
        import numpy as np  # pylint: disable=import-outside-toplevel
        self.program, self.folder = program, folder
        (folder / "images").mkdir()
        np.save(folder / "images/0.npy", np.zeros((300, 300), "<u2"))
        (folder / "config").symlink_to(ROOT / "config")
        for name in ("camera.cfg", "default.cfg"):
            (folder / name).symlink_to(ROOT / "config/default.cfg")

    def processor(self, words):
        """Whether dma-image-processor takes them: EAL's are looked up, the others tried out."""
        complaints, eal, ours = [], [], [word for word in words if word != "..."]
        if "--" in ours:
            eal, ours = ours[:ours.index("--")], ours[ours.index("--") + 1:]
            complaints = unknown(eal, eal_help(self.program, self.folder), "EAL")
        made = {word.split("=", 1)[1].split(",")[0]: word.split("=", 1)[1] for word in eal
                if word.startswith("--vdev=")}
        ours = [made.get(word, word) for word in ours]
        if any("archive/RUN" in word or word in ("FILE", "NAME") for word in ours):
            return complaints + unknown(ours, ask(self.program, "--help"), PROGRAM)
        if not any(option.startswith("--list-") for option in ours):
            ours += ["--check-config"]
        done = subprocess.run([self.program, *ours], capture_output=True, text=True, check=False,
                              timeout=60, cwd=self.folder)
        return complaints + ([done.stderr.strip()] if done.returncode else [])

    def archive(self, words):
        """Whether dma-image-archive takes them."""
        command = next((word for word in words if word.islower()), "")
        program = os.path.join(os.path.dirname(self.program), "archive", ARCHIVE)
        if command and not re.search(rf"^  {command} ", archive_help(program, ""), re.MULTILINE):
            return [f"{ARCHIVE} has no command {command}"]
        return unknown(words, archive_help(program, command), f"{ARCHIVE} {command}")

    def script(self, path, words):
        """Whether a script takes them."""
        if not (ROOT / path).is_file():
            return [f"{path} is not there"]
        usage = script_help(path)
        if path == "scripts/with-hugepages":
            return self.command(words[1:])
        if path == "scripts/build":
            return self.meson(words)
        complaints = unknown(words, usage, path)
        if path in ("scripts/bench", "scripts/setup", "scripts/test"):
            said = [word for word in words if re.fullmatch("[a-z]+", word)]
            complaints += [f"{path} knows no {word}" for word in said
                           if not re.search(rf"\b{word}\b", usage)]
        return complaints

    def meson(self, words):
        """Whether the build has the options, or meson itself."""
        have = (ROOT / "meson_options.txt").read_text(encoding="utf-8")
        return [f"there is no option {name} to configure the build with"
                for name in re.findall(r"-D(\w+)=", " ".join(words))
                if not name.startswith("b_") and name != "optimization"
                and f"option('{name}'" not in have]

    def packages(self, words):
        """Whether scripts/setup installs them, too."""
        have = (ROOT / "scripts/setup").read_text(encoding="utf-8")
        return [f"scripts/setup installs no {word}" for word in words[1:]
                if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", have)]

    def command(self, words):
        """What is wrong with a command, a list of lines. Of those that are not ours: nothing."""
        if words and words[0].startswith("--"):
            return self.processor(words)
        name = os.path.basename(words[0]) if words else ""
        if words and words[0].startswith("build/tests/unit/"):
            source = ROOT / f"{words[0].removeprefix('build/')}.c"
            return [] if source.is_file() else [f"{source.relative_to(ROOT)} is not there"]
        if words and words[0].startswith("scripts/"):
            return self.script(words[0], words[1:])
        if name in INSTALLED or name.startswith("dip-"):
            script = INSTALLED.get(name, name.removeprefix("dip-"))
            path = next((path for path in (f"scripts/{script}", f"scripts/{script}.py")
                         if (ROOT / path).is_file()), f"scripts/{script}")
            return self.script(path, words[1:])
        known = {PROGRAM: self.processor, ARCHIVE: self.archive, "meson": self.meson,
                 "apt-get": self.packages}
        return known[name](words[1:]) if name in known else []

    def line(self, line):
        """The same of a whole command line."""
        return [complaint for words in commands(line) for complaint in self.command(words)]
