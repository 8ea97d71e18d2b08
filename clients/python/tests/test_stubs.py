"""The stubs that are shipped are those of the protos."""

from __future__ import annotations

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def test_the_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", HERE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    generate.generate(tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert len(made) > 8
    for name in made:
        shipped = HERE / "src" / "entitlement_client" / "_proto" / name
        assert shipped.read_text() == (tmp_path / name).read_text(), f"{name}: run python generate.py"
