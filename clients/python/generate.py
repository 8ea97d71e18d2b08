#!/usr/bin/env python3
"""Writes the generated stubs anew from ../../proto: python generate.py

Needs the `test` extra. A test makes them in a temporary folder and compares, so nobody edits them by hand.
"""

import importlib.resources
import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTOS = HERE.parents[1] / "proto"
TARGET = HERE / "src" / "entitlement_client" / "_proto"
PACKAGE = Path("entitlement", "v1")

# protoc writes imports from the root of the protos, which is no package of ours: the files lie side by side instead.
IMPORT = re.compile(r"^from entitlement\.v1 import ", re.MULTILINE)


def generate(target: Path) -> None:
    """Makes the stubs of every proto in this folder."""
    names = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / PACKAGE).glob("*.proto"))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{kind}={folder}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
        status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *names])
        if status != 0:
            sys.exit(f"protoc ended with {status}")
        for made in sorted((Path(folder) / PACKAGE).iterdir()):
            if made.name.endswith("_pb2_grpc.py") and "Stub" not in made.read_text():
                continue
            (target / made.name).write_text(IMPORT.sub("from . import ", made.read_text()))


if __name__ == "__main__":
    generate(TARGET)
