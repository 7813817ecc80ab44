#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Turn a TOML configuration of the original system into a libconfig file for
dma-image-processor.

Same groups, same keys, in lower case. FRAME_PERIOD, which did nothing, becomes a comment. Unknown
tables and keys are an error that names them all, unless --keep-unknown turns them into comments.
Exit status: 0 done, 1 the output cannot be
written, 2 wrong usage or input."""

import argparse
import difflib
import math
import os
import sys
import tomllib

KNOWN = {
    "main": "image_w image_h frame_bytes slabs fps nth_archive drain_queues".split(),
    "pois": ("row_start col_start row_end col_end roi_w roi_h lambda_occ lambda_empty fp_target "
             "max_k").split(),
    "dma": "pace_frames cpu_affinity thread_nice loop_frames".split(),
    "proc": "worker_threads print_stdout interval_print proc_output_dir".split(),
    "arch": ("segment_bytes io_buffer_bytes make_index use_io_uring direct_io uring_qd "
             "max_inflight block_bytes arch_output_dir arch_output_prefix").split(),
}

# Keys of the original's own files that did nothing there: dropped, with a comment.
USELESS = {
    "main.frame_period": "it did nothing; the rate is main.fps",
}


class BadInput(Exception):
    """Wrong usage or input: one line that says what, where and what was expected."""


def one_line(text):
    """A name or a message with its control characters escaped."""
    return ascii(text)[1:-1]


def cfg_string(where, text):
    """A string in libconfig's syntax, its control characters as \\xNN."""
    if "\0" in text:
        raise BadInput(f"{where}: a string with a NUL character; libconfig cannot hold it")
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif ord(char) < 0x20 or ord(char) == 0x7f:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def cfg_value(where, value):
    """A TOML value in libconfig's syntax. where: "FILE: group.key", for the message."""
    if isinstance(value, bool):  # before int: a bool is one
        return "true" if value else "false"
    if isinstance(value, int):
        if not -2**63 <= value < 2**63:
            raise BadInput(f"{where} = {value}: beyond 64 bits; expected a whole number from "
                           f"{-2**63} to {2**63 - 1}")
        return str(value) if -2**31 <= value < 2**31 else f"{value}L"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadInput(f"{where} = {value}: expected a finite number")
        return repr(value)  # the fewest digits that read back the same, with point or exponent
    if isinstance(value, str):
        return cfg_string(where, value)
    kind = {dict: "a table", list: "an array"}.get(type(value), "a date or time")
    raise BadInput(f"{where} = {ascii(value)[:60]}: found {kind}; "
                   "expected a number, a string, true or false")


def load(path):
    """The TOML file as a dict."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}; expected a TOML file") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}; expected a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML: {one_line(str(error))}") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise BadInput(f"{path}: {one_line(str(error))}") from None
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply; expected tables of keys") from None


def suggestion(name):
    """"; did you mean X?" for the known name most like this one, or nothing."""
    names = [f"{group}.{key}" for group, keys in KNOWN.items() for key in keys]
    lowered = name.lower()
    if "." not in name:  # a table's name, or a key outside of its table
        names = list(KNOWN) + [known for known in names if known.split(".")[1] == lowered]
    same_key = [known for known in names if known.split(".")[-1] == lowered.split(".")[-1]]
    near = same_key or difflib.get_close_matches(lowered, names, 1)
    return f" (did you mean {near[0]}?)" if near else ""


class Converter:
    """Takes the tables one by one. groups: lines of each; unknown: (name, value) of the rest."""

    def __init__(self, path):
        self.path = path
        self.groups = {}
        self.unknown = []
        self.seen = set()

    def once(self, name):
        """Refuse a name that comes twice, as FPS and fps, once both are in lower case."""
        if name in self.seen:
            raise BadInput(f"{self.path}: {name}: found twice, in upper and lower case; "
                           "expected it once")
        self.seen.add(name)

    def table(self, name, keys):
        """Convert one of the tables."""
        group = name.lower()
        if group not in KNOWN:
            self.unknown.append((name, keys))
            return
        self.once(group)
        if not isinstance(keys, dict):
            raise BadInput(f"{self.path}: {group} = {ascii(keys)[:60]}: not a table; "
                           f"expected [{group}] and keys below it")
        lines = self.groups.setdefault(group, [])
        for given, value in keys.items():
            key = given.lower()
            if f"{group}.{key}" in USELESS:
                self.once(f"{group}.{key}")
                lines.append(f"\t# {key} = {ascii(value)}: dropped, "
                             f"{USELESS[f'{group}.{key}']}")
                continue
            if key not in KNOWN[group]:
                self.unknown.append((f"{name}.{given}", value))
                continue
            self.once(f"{group}.{key}")
            lines.append(f"\t{key} = {cfg_value(f'{self.path}: {group}.{key}', value)};")

    def text(self):
        """The libconfig file."""
        parts = [f"{group} = {{\n" + "".join(line + "\n" for line in lines) + "};\n"
                 for group, lines in self.groups.items()]
        if self.unknown:
            parts.append("# Not known to dma-image-processor:\n" + "".join(
                f"# {one_line(name)} = {ascii(value)}\n" for name, value in self.unknown))
        return "\n".join(parts)


def convert(path, keep_unknown):
    """The TOML file as libconfig's text."""
    converter = Converter(path)
    for name, keys in load(path).items():
        converter.table(name, keys)
    if converter.unknown and not keep_unknown:
        listed = ", ".join(one_line(name) + suggestion(name) for name, _ in converter.unknown)
        raise BadInput(f"{path}: unknown: {listed}; correct them, or keep them as comments with "
                       "--keep-unknown")
    return converter.text()


def write(text, path):
    """Write to the file, or to stdout without one."""
    data = text.encode()
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with open(path, "wb") as file:
        file.write(data)


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN.toml", help="the original's configuration")
    parser.add_argument("output", metavar="OUT.cfg", nargs="?", help="default: stdout")
    parser.add_argument("--keep-unknown", action="store_true",
                        help="write unknown tables and keys as comments")
    args = parser.parse_args()
    try:
        text = convert(args.input, args.keep_unknown)
        if args.output and os.path.exists(args.output) \
                and os.path.samefile(args.input, args.output):
            raise BadInput(f"{args.output}: is the input; expected another file to write to")
    except BadInput as error:
        print(f"toml2cfg.py: {error}", file=sys.stderr)
        return 2
    try:
        write(text, args.output)
    except OSError as error:
        print(f"toml2cfg.py: {args.output or 'stdout'}: cannot be written: {error.strerror}",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
