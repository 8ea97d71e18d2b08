"""The conformance vectors that the server and all libraries share."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from entitlement_client import _wire as wire
from entitlement_client._core.held import Era, Stream

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"


def nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * 1_000_000_000


def held(case: dict[str, Any]) -> Any:
    response = wire.pb.ListEnabledModulesResponse()
    for listed in case["list"]["modules"]:
        entry = response.modules.add(code=listed["code"], is_trial=listed["is_trial"])
        for name in ("starts_at", "expires_at", "trial_ends_at", "valid_until"):
            if listed[name] is not None:
                getattr(entry, name).FromJsonString(listed[name])
    return wire.to_list(response, asked=0, answered=0, stream=Stream(Era()))


@pytest.mark.parametrize("file", ["named", "generated"])
def test_a_list_grants_when_the_vectors_say_so_and_never_else(file: str) -> None:
    asked = 0
    for case in json.loads((VECTORS / f"{file}.json").read_text())["cases"]:
        list_ = held(case) if case["list"] else None
        for question in case["questions"]:
            granted = list_.granted(question["module"], nanoseconds(question["at"])) if list_ else None
            assert (granted is not None) == question["from_list"], (case["name"], question)
            if granted is not None:
                said = granted.valid_until and granted.valid_until.strftime("%Y-%m-%dT%H:%M:%SZ")
                assert said == question["valid_until"], (case["name"], question)
            asked += 1
    assert asked > 50
