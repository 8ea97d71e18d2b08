"""tests/vectors/streams.json, on the real client: what it answers while a server tells it this and that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from entitlement_client import Clock, EntitlementClient, OnOutage, RequestRefusedError, _aio_io
from entitlement_client import _wire as wire
from entitlement_client.clock import NS
from entitlement_client.errors import Failure

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"
CASES = json.loads((VECTORS / "streams.json").read_text())["cases"]
BEGINNING = 1_780_000_000
TURNS = 200
"""Of the event loop: more than any answer needs that waits for nobody else."""


class Stream:
    """What one call of WatchChanges gets."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.is_over = False


class Server:
    """Answers and streams as the steps say. It is the client's transport."""

    endpoint = "the vectors"

    def __init__(self) -> None:
        self.second = 0
        self.tenants: dict[str, dict[str, Any]] = {}
        self.fails: str | None = None
        self.asked: list[Any] = []
        self.held: list[asyncio.Future[None]] = []
        self.is_to_hold = False
        self.streams: list[Stream] = []

    def open(self) -> None:
        pass

    async def pause(self, seconds: float) -> None:
        """Nobody waits in tests."""

    async def close(self) -> None:
        pass

    async def watch(self) -> AsyncIterator[Any]:
        stream = Stream()
        self.streams.append(stream)
        try:
            while (event := await stream.events.get()) is not None:
                yield event
        finally:
            stream.is_over = True

    def watch_failed(self, failure: Failure) -> None:
        pass

    async def call(self, method: str, request: Any, timeout: float) -> Any:
        self.asked.append(request)
        answer = self._answer(method, request)
        if self.is_to_hold:
            self.is_to_hold = False
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        return answer

    def _answer(self, method: str, request: Any) -> Any:
        if self.fails:
            return Failure(self.fails, "as the step says")
        facts = self.tenants.get(request.tenant_id, {"revision": 0, "modules": None})
        if request.min_revision > facts["revision"]:
            return Failure("UNAVAILABLE", "not that fresh", "NOT_FRESH_ENOUGH")
        return self._list(facts) if method == "ListEnabledModules" else self._check(facts, request.module_code)

    def _list(self, facts: dict[str, Any]) -> Any:
        if facts["modules"] is None:
            return Failure("NOT_FOUND", "no such tenant", "TENANT_NOT_FOUND")
        response = wire.pb.ListEnabledModulesResponse()
        for code, right in facts["modules"].items():
            if self.second < right.get("valid_until", self.second + 1):
                entry = response.modules.add(code=code)
                for field, second in right.items():
                    getattr(entry, field).FromDatetime(_at(second))
        changes = [second for right in facts["modules"].values() for second in right.values() if second > self.second]
        self._freshness(response, facts, "max_age", 30, min(changes, default=None))
        return response

    def _check(self, facts: dict[str, Any], module: str) -> Any:
        right = (facts["modules"] or {}).get(module)
        is_granted = right is not None and (
            right.get("starts_at", self.second) <= self.second < right.get("valid_until", self.second + 1)
        )
        response = wire.pb.CheckModuleResponse(allowed=is_granted)
        changes = [second for second in (right or {}).values() if second > self.second]
        of = ("max_age", 30) if is_granted else ("denial_max_age", 5)
        self._freshness(response, facts, *of, min(changes, default=None))
        return response

    @staticmethod
    def _freshness(response: Any, facts: dict[str, Any], age: str, default: int, until: int | None) -> None:
        freshness = response.freshness
        freshness.revision, freshness.stale = facts["revision"], facts.get("stale", False)
        freshness.catalogue_revision = facts.get("catalogue_revision", 0)
        freshness.max_age.FromTimedelta(timedelta(seconds=facts.get(age, default)))
        if until is not None:
            freshness.valid_until.FromDatetime(_at(until))


class Story:
    """A case, step by step."""

    def __init__(self, rule: Any) -> None:
        self.server = Server()
        clock = Clock(lambda: (BEGINNING + self.server.second) * NS, lambda: (1 + self.server.second) * NS)
        self.client = EntitlementClient("vectors", on_outage=_rule(rule), clock=clock, transport=self.server)
        self.begun: dict[str, tuple[asyncio.Task[str], asyncio.Future[None] | None]] = {}
        self.old: Stream | None = None

    async def connect(self) -> None:
        """A client connects with its first question."""
        await self.client.check(_id(0), "none")

    async def take(self, step: dict[str, Any]) -> None:
        asked = len(self.server.asked)
        match step:
            case {"server": {"tenant": tenant, **facts}}:
                self.server.tenants[_id(tenant)] = facts
            case {"fails": status}:
                self.server.fails = status
            case {"advance": seconds}:
                self.server.second += seconds
            case {"tells": event}:
                stream = await self._stream(step.get("stream"))
                stream.events.put_nowait(_event(event))
                self.old = stream if "ending" in event and "stream" not in step else self.old
            case {"ends": _}:
                (await self._stream(step.get("stream"))).events.put_nowait(None)
            case {"lets_go": which}:
                assert self.old is not None
                assert self.old.is_over == (which == "old"), step
            case {"check": _}:
                assert await self._checked(step) == _said(step), step
            case {"begin": _, "as": name}:
                await self._begin(step, name)
            case {"end": name}:
                task, held = self.begun.pop(name)
                if held:
                    held.set_result(None)
                assert await task == _said(step), step
            case _:
                pytest.fail(f"an unknown step: {step}")
        await _settle()
        if "asks" in step:
            least = step.get("min_revision", 0)
            revisions = {request.min_revision for request in self.server.asked[asked:]}
            assert revisions == ({least} if step["asks"] else set()), step

    async def _begin(self, step: dict[str, Any], name: str) -> None:
        self.server.is_to_hold = step["asks"]
        task = asyncio.create_task(self._checked({"check": step["begin"]}))
        await _settle()
        assert not self.server.is_to_hold, step
        self.begun[name] = (task, self.server.held[-1] if step["asks"] else None)

    async def _checked(self, step: dict[str, Any]) -> str:
        tenant, module = step["check"]
        try:
            answer = await self.client.check(_id(tenant), module, min_revision=step.get("at_least"))
        except RequestRefusedError:
            return "refused"
        said = "granted" if answer.allowed else "denied"
        stale = ", stale" if answer.stale and not answer.by_outage_rule else ""
        return said + (" by the rule" if answer.by_outage_rule else stale)

    async def _stream(self, which: str | None) -> Stream:
        """The one that the client listens to; while there are two, the old or the new one."""
        if which == "old":
            assert self.old is not None
            return self.old
        while not (open_ := [stream for stream in self.server.streams if not stream.is_over and stream is not self.old]):
            await _settle()
        return open_[-1]


async def _settle() -> None:
    """Everybody has had their turn, who waits for nobody else."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _said(step: dict[str, Any]) -> str:
    return str(step["is"]) + (", stale" if step.get("stale") else "")


def _event(event: dict[str, Any]) -> Any:
    match event:
        case {"opened": {"heartbeat_interval": seconds}}:
            event = {"opened": {"heartbeat_interval": timedelta(seconds=seconds)}}
        case {"heartbeat": {"lag": seconds, **more}}:
            event = {"heartbeat": {"lag": timedelta(seconds=seconds), **more}}
        case {"tenant_changed": {"tenant": tenant, "revision": revision}}:
            event = {"tenant_changed": {"tenant_id": _id(tenant), "revision": revision}}
        case {"unknown": _}:
            event = {}
    return wire.pb.WatchChangesResponse(**event)


def _rule(rule: Any) -> OnOutage:
    if isinstance(rule, str):
        return {"deny": OnOutage.deny, "allow": OnOutage.allow}[rule]()
    return OnOutage.serve_stale(timedelta(seconds=rule["serve_stale"]))


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _at(second: int) -> datetime:
    return datetime.fromtimestamp(BEGINNING + second, timezone.utc)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_streams_go_as_the_vectors_say(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aio_io, "FIRST_WATCH_PAUSE", 0)
    monkeypatch.setattr(_aio_io, "PAUSES", (0, 0))
    story = Story(case["rule"])
    try:
        await story.connect()
        for step in case["steps"]:
            await asyncio.wait_for(story.take(step), 20)
    finally:
        for _, held in story.begun.values():
            if held:
                held.cancel()
        await story.client.close()
