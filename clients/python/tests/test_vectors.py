"""The conformance vectors that the server and all libraries share."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entitlement_client import EntitlementsUnavailableError, OnOutage, RequestRefusedError
from entitlement_client import _wire as wire
from entitlement_client._core.held import Era, Stream
from entitlement_client.testing import InMemoryEntitlements

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


RULES = {"deny": OnOutage.deny, "allow": OnOutage.allow}
OUTAGES = json.loads((VECTORS / "outages.json").read_text())["cases"]


class Story:
    """A case of outages.json, step by step."""

    def __init__(self, double: InMemoryEntitlements, rule: Any) -> None:
        self.double = double
        made = RULES[rule]() if isinstance(rule, str) else OnOutage.serve_stale(timedelta(seconds=rule["serve_stale"]))
        self.client = double.sync_client(made)

    def take(self, step: dict[str, Any]) -> None:
        asked = len(self.double.calls)
        until = self.double.now + timedelta(seconds=step["for"]) if "for" in step else None
        match step:
            case {"allow": [tenant, module]}:
                self.double.allow(_id(tenant), module, until=until)
            case {"token": [token, tenant]}:
                self.double.add_tenant(_id(tenant), token=token, token_until=until)
            case {"suspend": tenant}:
                self.double.add_tenant(_id(tenant), status="SUSPENDED")
            case {"advance": seconds}:
                self.double.advance(timedelta(seconds=seconds))
            case {"go_dark": _}:
                self.double.go_dark()
            case {"come_back": _}:
                self.double.come_back()
            case {"resolve": carried}:
                assert self._resolved(carried) == step["is"], step
            case {"check": [tenant, module]}:
                assert self._checked(tenant, module, step.get("at_least")) == step["is"], step
            case _:
                pytest.fail(f"an unknown step: {step}")
        if "asks" in step:
            assert (len(self.double.calls) > asked) == step["asks"], step

    def _resolved(self, carried: dict[str, Any]) -> str:
        tenant = _id(carried["tenant"]) if "tenant" in carried else ""
        try:
            resolved = self.client.resolve(
                tenant_id=tenant, host=carried.get("host", ""), bearer_token=carried.get("token", "")
            )
        except EntitlementsUnavailableError:
            return "unavailable"
        except RequestRefusedError:
            return "refused"
        assert resolved.stale == resolved.by_outage_rule
        return "stale" if resolved.stale else "fresh"

    def _checked(self, tenant: int, module: str, at_least: int | None) -> str:
        answer = self.client.check(_id(tenant), module, min_revision=at_least)
        assert answer.stale == answer.by_outage_rule
        return ("granted" if answer.allowed else "denied") + (" by the rule" if answer.by_outage_rule else "")


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.mark.parametrize("case", OUTAGES, ids=[case["name"] for case in OUTAGES])
def test_outages_go_as_the_vectors_say(case: dict[str, Any], entitlements: InMemoryEntitlements) -> None:
    story = Story(entitlements, case["rule"])
    with story.client:
        for step in case["steps"]:
            story.take(step)
