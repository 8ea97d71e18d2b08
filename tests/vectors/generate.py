#!/usr/bin/env python3
"""Writes the conformance vectors beside this file: python3 tests/vectors/generate.py

It knows the rules from the design alone and shares no code with the server or a library: where it and they agree, two
people have read the rules in the same way.
"""

import json
from pathlib import Path

import features
import leases
import modules


def main():
    here = Path(__file__).parent
    files = (
        ("named", modules.CATALOGUE, modules.named()),
        ("generated", modules.CATALOGUE, modules.generated(120, seed=4)),
        ("features", features.CATALOGUE, [*features.named(), *features.generated(50, seed=23)]),
    )
    for name, catalogue, cases in files:
        lines = ",\n".join(json.dumps(case) for case in cases)
        text = f'{{"catalogue": {json.dumps(catalogue)}, "cases": [\n{lines}\n]}}\n'
        (here / f"{name}.json").write_text(text)
    lines = ",\n".join(json.dumps(case) for case in leases.named())
    (here / "leases.json").write_text(f'{{"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
