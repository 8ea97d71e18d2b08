"""Signed leases: the conformance vectors, and what a verifier is besides."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from entitlement_client import Clock
from entitlement_client.clock import NS
from entitlement_client.signed_lease import LeaseKeysError, LeaseRefusedError, LeaseVerifier, SignedLease

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors" / "leases.json"
CASES = json.loads(VECTORS.read_text())["cases"]
TENANT = "00000000-0000-4000-8000-000000000001"


@dataclass
class Hands:
    """Two clocks that are moved by hand, in seconds."""

    wall: int
    mono: int = 0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall * NS, lambda: self.mono * NS)


def at(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


class Story:
    """A case, step by step."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.hands = Hands(case["wall"])
        settings = {name: case[name] for name in ("issuer", "audience") if name in case}
        self.verifier = LeaseVerifier(
            json.dumps(case["keys"]),
            skew=timedelta(seconds=case.get("skew", 60)),
            latest=at(case.get("latest")),
            clock=self.hands.clock(),
            **settings,
        )
        self.leases: dict[str, SignedLease] = {}

    def take(self, step: dict[str, Any]) -> None:
        self.hands.wall = step.get("wall", self.hands.wall)
        self.hands.mono = step.get("mono", self.hands.mono)
        match step:
            case {"verify": token, "tenant": tenant, "as": name}:
                assert self._verified(token, tenant, name) == step["is"]
            case {"allows": module, "by": name}:
                answer = self.leases[name].check(module)
                assert answer.reason == step["is"]
                assert bool(answer) == answer.allowed == (step["is"] == "GRANTED")
            case {"feature": [module, key], "by": name}:
                said = self.leases[name].feature(module, key)
                assert (said.reason, said.value) == (step["is"], step["value"])
                assert type(said.value) is type(step["value"])
                assert bool(said) == said.enabled == (step["is"] == "GRANTED")
            case {"keys": keys}:
                assert self._taken(json.dumps(keys)) == step["is"]
            case {"latest": seconds}:
                assert self.verifier.latest() == at(seconds)
            case _:
                pytest.fail(f"an unknown step: {step}")

    def _verified(self, token: str, tenant: str, name: str) -> str:
        try:
            self.leases[name] = self.verifier.verify(tenant, token)
        except LeaseRefusedError as error:
            return error.reason if str(error) else "no words"
        return "GOOD"

    def _taken(self, keys: str) -> str:
        try:
            self.verifier.replace_keys(keys)
        except LeaseKeysError:
            return "REFUSED"
        return "TAKEN"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_leases_are_judged_as_the_vectors_say(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(LeaseKeysError):
            Story(case)
        return
    story = Story(case)
    for number, step in enumerate(case["steps"]):
        try:
            story.take(step)
        except AssertionError as error:
            raise AssertionError(f"step {number}: {step}") from error


def test_there_are_vectors() -> None:
    assert len(CASES) > 140


def good() -> tuple[LeaseVerifier, str, Hands]:
    case = CASES[0]
    hands = Hands(case["wall"])
    return LeaseVerifier(json.dumps(case["keys"]), clock=hands.clock()), case["steps"][0]["verify"], hands


def test_a_lease_tells_what_it_holds() -> None:
    verifier, token, hands = good()
    lease = verifier.verify(TENANT, token)
    now = hands.wall - 10
    assert (str(lease.tenant), lease.revision) == (TENANT, 7)
    assert [lease.issued_at, lease.expires_at, lease.as_of] == [at(now), at(now + 86_400), at(now - 5)]
    assert dict(lease.modules) == {"finance": at(now + 86_400), "hrms": at(now + 3600)}
    assert lease.allows("finance")
    assert lease.check("finance").until == at(now + 86_400)
    assert TENANT in repr(lease)
    assert token not in repr(lease)
    with pytest.raises(ValueError, match="badly formed"):
        verifier.verify("acme", token)
    with pytest.raises(ValueError, match="time zone"):
        LeaseVerifier(json.dumps(CASES[0]["keys"]), latest=datetime(2026, 1, 1))  # noqa: DTZ001


def test_what_is_no_text_that_a_wire_has_is_malformed() -> None:
    verifier, token, _ = good()
    header, payload, signature = token.split(".")
    for odd in (f"{header}.{payload}\ud800.{signature}", f"{header}.{payload}.{signature}\0"):
        with pytest.raises(LeaseRefusedError) as refused:
            verifier.verify(TENANT, odd)
        assert refused.value.reason == "MALFORMED"


def test_many_threads_may_use_one_and_its_memory_of_time_never_goes_back() -> None:
    verifier, token, hands = good()
    seen: list[datetime] = []

    def look() -> None:
        for second in range(200):
            hands.wall += -second if second % 2 else second
            assert verifier.verify(TENANT, token).allows("finance")
            latest = verifier.latest()
            assert latest is not None
            seen.append(latest)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800
    latest = verifier.latest()
    assert latest == max(seen)


def test_without_a_clock_of_its_own_it_takes_the_machines() -> None:
    _, token, _ = good()
    verifier = LeaseVerifier(json.dumps(CASES[0]["keys"]))
    with pytest.raises(LeaseRefusedError) as refused:
        verifier.verify(TENANT, token)
    assert refused.value.reason in ("EXPIRED", "NOT_YET_VALID")
