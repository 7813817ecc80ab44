# SPDX-License-Identifier: BSD-3-Clause
"""Tests that have a short form, of every day, and a long one, which DIP_LONG=1 asks for
(scripts/test --long); each says what it did in a line "R<number>: ...", shown at the end."""

import os

LINES = []


def long_form():
    """Whether the long form is asked for."""
    return os.environ.get("DIP_LONG", "") not in ("", "0")


def count(brief, every):
    """How many: of the short form, of the long one."""
    return every if long_form() else brief


def say(line):
    """Tell what was done."""
    LINES.append(line)
