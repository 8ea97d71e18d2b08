"""What stands in the README's fences, and its diffs, applied as a reader would apply them."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
NOWHERE = "/dev/null"


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def steps(title: str) -> list[str]:
    """The diffs of a step, which begins with its title in bold, and ends with the next one or the section."""
    [step] = re.findall(rf"^\*\*{title}.*?(?=^\*\*|^## )", README, re.MULTILINE | re.DOTALL)
    return blocks("diff", step)


def apply(diffs: list[str], folder: Path) -> None:
    """To the files in a folder."""
    for diff in diffs:
        for old, new, changes in re.findall(
            r"^--- (\S+)\n\+\+\+ (\S+)\n(.*?)(?=^--- |\Z)", diff, re.MULTILINE | re.DOTALL
        ):
            if new == NOWHERE:
                (folder / old).unlink()
                continue
            text = "" if old == NOWHERE else (folder / old).read_text()
            for hunk in re.split(r"^@@\n", changes, flags=re.MULTILINE):
                text = _changed(text, _side(hunk, "-"), _side(hunk, "+"))
            (folder / new).write_text(text)


def _side(hunk: str, sign: str) -> str:
    return "".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[0] in f" {sign}")


def _changed(text: str, before: str, after: str) -> str:
    """What names no place goes to the end."""
    if not before:
        return text + after
    assert text.count(before) == 1, f"a reader has to find this once:\n{before}"
    return text.replace(before, after)
