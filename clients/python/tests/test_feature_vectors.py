"""tests/vectors/features.json: what a held list says of features and limits, and of what it says nothing."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from entitlement_client import LimitDecision
from entitlement_client import _wire as wire
from entitlement_client._core.features import UNKNOWN_TENANT
from entitlement_client._core.held import Era, Stream, TenantList
from entitlement_client._core.terms import decide, feature_of, limit_of
from entitlement_client.answers import UNSPECIFIED
from entitlement_client.testing import InMemoryEntitlements

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"
CASES = json.loads((VECTORS / "features.json").read_text())["cases"]
BY_NAME = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
PREFIXES = {
    "tenant_status": "TENANT_STATUS",
    "limit_enforcement": "LIMIT_ENFORCEMENT",
    "source": "LIMIT_SOURCE",
    "kind": "LIMIT_KIND",
    "reason": "FEATURE_REASON",
}


def nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * 1_000_000_000


def on_the_wire(said: Any) -> Any:
    """The vectors' words as protobuf's JSON has them. What is null is left out."""
    if isinstance(said, list):
        return [on_the_wire(one) for one in said]
    if not isinstance(said, dict):
        return said
    message = {}
    for name, value in said.items():
        if name == "value":
            message.update({} if value is None else {"value": value})
        elif value is not None:
            message[name] = f"{PREFIXES[name]}_{value}" if name in PREFIXES else on_the_wire(value)
    return message


def held(case: dict[str, Any]) -> TenantList | None:
    if case["list"] is None:
        return None
    listed = dict(case["list"])
    listed["freshness"] = {"valid_until": listed.pop("valid_until")}
    response = ParseDict(on_the_wire(listed), wire.pb.ListEnabledModulesResponse())
    return wire.to_list(response, asked=0, answered=0, stream=Stream(Era()))


def shown(instant: datetime | None) -> str | None:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ") if instant else None


@BY_NAME
def test_a_list_says_of_features_what_the_vectors_say_and_nothing_else(case: dict[str, Any]) -> None:
    list_ = held(case)
    for question in case["features"]:
        said = feature_of(list_, question["module"], question["key"], nanoseconds(question["at"])) if list_ else None
        assert (said is not None) == question["from_list"], question
        if said is not None:
            for name in ("enabled", "reason", "value", "message", "module_reason"):
                assert getattr(said, name) == question[name], question
            assert type(said.value) is type(question["value"])
            assert shown(said.valid_until) == question["valid_until"], question


def decided(list_: TenantList | None, question: dict[str, Any]) -> LimitDecision | None:
    said = limit_of(list_, question["key"], nanoseconds(question["at"])) if list_ else UNKNOWN_TENANT
    return decide(said, question["key"], question["observed"], question["amount"]) if said else None


@BY_NAME
def test_a_list_says_of_limits_what_the_vectors_say_and_nothing_else(case: dict[str, Any]) -> None:
    list_ = held(case)
    for question in case["limits"]:
        decision = decided(list_, question)
        assert (decision is not None) == question["from_list"], question
        if decision is not None:
            for name in ("allowed", "reason", "message", "limit", "used", "remaining", "source"):
                assert getattr(decision, name) == question[name], question
            for name in ("kind", "tenant_reason"):
                assert getattr(decision, name) == (question[name] or UNSPECIFIED), question
            assert shown(decision.valid_until) == question["valid_until"], question


def test_there_are_enough_of_them() -> None:
    assert sum(len(case["features"]) for case in CASES) > 100
    assert sum(len(case["limits"]) for case in CASES) > 100


@pytest.mark.parametrize("enforcement", ["ON", "SHADOW", "OFF"])
def test_the_double_decides_as_the_vectors_do(entitlements: InMemoryEntitlements, enforcement: str) -> None:
    """Asked, or answered from its list."""
    tenant = "00000000-0000-4000-8000-000000000001"
    entitlements.set_limit(tenant, "users", 5)
    entitlements.enforce_limits(enforcement)
    with entitlements.sync_client() as client:
        for observed, amount in ((4, 1), (5, 0), (5, 1), (6, 0)):
            request = wire.pb.CheckLimitRequest(tenant_id=tenant, limit_key="users", observed=observed, amount=amount)
            asked = entitlements.answer("CheckLimit", request)
            mine = client.within_limit(tenant, "users", observed, amount)
            assert (mine.allowed, mine.message, mine.remaining) == (asked.allowed, asked.message, asked.remaining)
