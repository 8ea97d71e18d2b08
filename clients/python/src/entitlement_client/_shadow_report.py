"""What shadow mode has logged, counted by route: what was answered, and what would be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_LINE = re.compile(
    r"would (?P<would>deny|allow): (?P<method>[A-Z]+) (?P<route>\S+), tenant (?P<tenant>\S+?)"
    r"(?:: (?P<status>\d+) (?P<reason>\S+))?, was answered (?P<answered>\d+|None)"
)

Row = tuple[str, str, str, str]
"""Method, route, what was answered, and what would be."""


def differences(lines: Iterable[str]) -> Counter[Row]:
    """Counts what differs. Where both refuse, if with other statuses, nothing is let in or kept out by the switch."""
    counted: Counter[Row] = Counter()
    for line in lines:
        match = _LINE.search(line)
        if match is None:
            continue
        would = f"{match['status']} {match['reason']}" if match["would"] == "deny" else "passes"
        counted[match["method"], match["route"], match["answered"], would] += 1
    return counted


def written(counted: Counter[Row]) -> str:
    """As a table, the most frequent first."""
    if not counted:
        return "no request was answered otherwise than it would be"
    rows = [("METHOD", "ROUTE", "ANSWERED", "WOULD BE", "REQUESTS")]
    rows += [(*row, str(count)) for row, count in counted.most_common()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
