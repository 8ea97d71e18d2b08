"""The double answers usage as the server does: the same requests, in the same order, to both."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, Server, limited, tenant_id
from google.protobuf.json_format import MessageToDict

from entitlement_client import SyncEntitlementClient
from entitlement_client._proto import usage_service_pb2 as pb
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements

ONE, NOBODY = tenant_id(1), tenant_id(9)
ORDERS, USERS = "transactions_monthly", "users"
PRODUCERS = ("0a000000-0000-4000-8000-000000000001", "0a000000-0000-4000-8000-000000000002")
BESIDE = ("recordedAt", "ttl", "planSlugs", "resetsAt", "meter")
"""What the clocks of the two tell, the plans that the double has none of, and what was asked."""


@pytest.fixture(params=["sqlite", "postgres"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with limited(request, tmp_path, orders=400, users=60) as server:
        yield server


class Asking:
    """Requests at random, of few keys, so that they meet."""

    def __init__(self, seed: int, now: datetime) -> None:
        self._chance = random.Random(seed)
        self._now = now
        self._sequences = dict.fromkeys(PRODUCERS, 0)

    def next(self) -> tuple[str, Any]:
        asks = [self.reserve, self.release, self.record, self.record, self.produce, self.acquire, self.settle, self.query]
        return self._chance.choice(asks)()

    def _common(self) -> dict[str, Any]:
        if self._chance.random() < 0.05:
            return {"tenant_id": NOBODY, "meter": ORDERS}
        return {"tenant_id": ONE, "meter": self._chance.choice([ORDERS] * 5 + [USERS] * 2 + ["nonsense"])}

    def _key(self) -> str:
        return f"k-{self._chance.randrange(25)}"

    def _module(self) -> str:
        return self._chance.choice(["", "", "finance", "hrms"])

    def reserve(self) -> tuple[str, Any]:
        request = pb.ReserveUsageRequest(**self._common(), key=self._key(), amount=self._chance.choice([1, 2, 30, 0]))
        request.module_code, request.partial = self._module(), self._chance.random() < 0.3
        if self._chance.random() < 0.3:
            request.hold_for.FromTimedelta(timedelta(hours=1))
        return "ReserveUsage", request

    def release(self) -> tuple[str, Any]:
        only_held = self._chance.random() < 0.3
        return "ReleaseUsage", pb.ReleaseUsageRequest(**self._common(), key=self._key(), only_held=only_held)

    def _event(self, **said: Any) -> Any:
        event = pb.UsageEvent(**self._common(), amount=self._chance.choice([1, 1, 2, 30, 0]), **said)
        event.module_code = self._chance.choice(["", "finance"])
        ago = self._chance.choice([None, 0, 20, 90, 60 * 24 * 40, -20])
        if ago is not None:
            event.at.FromDatetime(self._now - timedelta(minutes=ago))
        return event

    def record(self) -> tuple[str, Any]:
        events = [self._event(key=self._key()) for _ in range(self._chance.randrange(4))]
        for event in events:
            if self._chance.random() < 0.3:
                event.corrects_key, event.amount = self._key(), -event.amount
        return "RecordUsage", pb.RecordUsageRequest(events=events)

    def produce(self) -> tuple[str, Any]:
        producer = self._chance.choice(PRODUCERS)
        step = self._chance.choice([1, 1, 1, 0, 2])
        sequence = self._sequences[producer] + step
        if step == 1:
            self._sequences[producer] = sequence
        events = [self._event() for _ in range(self._chance.randrange(3))]
        return "RecordUsage", pb.RecordUsageRequest(events=events, producer_id=producer, sequence=sequence)

    def acquire(self) -> tuple[str, Any]:
        request = pb.AcquireUsageLeaseRequest(**self._common(), lease_id=self._key(), holder="me", wanted=20)
        request.module_code = self._module()
        request.ttl.FromTimedelta(timedelta(minutes=self._chance.choice([5, 5, 20])))
        return "AcquireUsageLease", request

    def settle(self) -> tuple[str, Any]:
        spent, final = self._chance.choice([0, 1, 7, 30]), self._chance.random() < 0.5
        common = self._common()
        return "SettleUsageLease", pb.SettleUsageLeaseRequest(
            **common, lease_id=self._key(), spent_amount=spent, final=final
        )

    def query(self) -> tuple[str, Any]:
        common = self._common()
        request = pb.QueryUsageRequest(**common, by_module=self._chance.random() < 0.5)
        request.module_code = self._chance.choice(["", "", "finance"])
        request.granularity = self._chance.choice([1, 2, 3, 4])
        request.start_time.FromDatetime(self._now - timedelta(minutes=self._chance.choice([10, 100, 3000])))
        request.end_time.FromDatetime(self._now + timedelta(minutes=self._chance.choice([-50, 10])))
        return "QueryUsage", request


def told(answer: Any) -> Any:
    if isinstance(answer, Failure):
        return answer.code, answer.reason
    return without(MessageToDict(answer))


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without(one) for key, one in value.items() if key not in BESIDE}
    return [without(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(3))
def test_the_double_answers_as_the_server_does(erp: Server, entitlements: InMemoryEntitlements, seed: int) -> None:
    entitlements.allow(ONE, "finance")
    entitlements.deny(ONE, "hrms")
    entitlements.set_limit(ONE, USERS, 60)
    entitlements.set_limit(ONE, ORDERS, 400)
    asking = Asking(seed, datetime.now(timezone.utc))
    with SyncEntitlementClient(erp.address, deadline=PATIENCE) as client:
        assert client.check(ONE, "finance")
        for number in range(300):
            method, request = asking.next()
            entitlements._wall = time.time_ns()
            served = told(client._transport.call(method, request, PATIENCE))
            assert told(entitlements.answer(method, request)) == served, f"{number}: {method} {request}"
