"""What an attacker of the outage rules found: each once went wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from conftest import tenant_id

from entitlement_client import EntitlementsUnavailableError, OnOutage, RequestRefusedError, SyncEntitlementClient
from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements, _Transport

ONE, TWO = tenant_id(1), tenant_id(2)
HOUR = timedelta(hours=1)
SLOW = Failure("DEADLINE_EXCEEDED", "slow once")


def answer_with(double: InMemoryEntitlements, answer: Callable[[str, Any], Any]) -> Callable[[], None]:
    """From now on the double answers so, until what is returned is called."""
    real, double.answer = double.answer, answer  # type: ignore[method-assign]

    def as_before() -> None:
        double.answer = real  # type: ignore[method-assign]

    return as_before


def test_an_identity_that_is_older_than_what_was_announced_is_not_held(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.allow()) as client:
        client.resolve(tenant_id=ONE)
        # The stream of one server announces what the other, which is asked, has not received.
        client._core.tenant_changed(ONE, 2)
        client.resolve(tenant_id=ONE)
        before = len(entitlements.calls)
        client.resolve(tenant_id=ONE)
        assert len(entitlements.calls) == before + 1


def test_one_old_failure_is_no_outage_while_the_stream_is_alive(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(HOUR)) as client:
        assert client.check(ONE, "finance")
        as_before = answer_with(entitlements, lambda method, request: SLOW)
        assert client.check(TWO, "finance").by_outage_rule
        as_before()
        for _ in range(500):
            entitlements.advance(timedelta(seconds=20))
        entitlements._answers.row(ONE).rights.clear()
        client._core.tenant_changed(ONE, 0)
        assert not client.check(ONE, "finance").by_outage_rule
        assert client.check(ONE, "finance").reason == "NOT_SUBSCRIBED"


def test_a_refusal_that_only_the_background_question_receives_is_remembered(
    entitlements: InMemoryEntitlements,
) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.allow()) as client:
        client.resolve(tenant_id=ONE)
        entitlements.go_dark()
        entitlements.advance(timedelta(seconds=60))
        refused = Failure("PERMISSION_DENIED", "suspended", "TENANT_SUSPENDED")
        asked = threading.Event()

        def refuse(method: str, request: Any) -> Failure:
            asked.set()
            return refused

        assert client.resolve(tenant_id=ONE).by_outage_rule
        entitlements.advance(timedelta(seconds=2))
        as_before = answer_with(entitlements, refuse)
        deadline = time.monotonic() + 10
        while not asked.is_set() or client._core.resolved.whatever(_key(ONE)) is not None:
            assert time.monotonic() < deadline, "it was not remembered"
            entitlements.advance(timedelta(seconds=1))
            # Once it is remembered, who asks while another question is under way has nothing to fall back on.
            with suppress(RequestRefusedError, EntitlementsUnavailableError):
                client.resolve(tenant_id=ONE)
        as_before()
        with pytest.raises(EntitlementsUnavailableError):
            client.resolve(tenant_id=ONE)


def _key(tenant: str) -> bytes:
    from entitlement_client._core.resolved import key_of

    return key_of(tenant, "", "")


@pytest.mark.parametrize(
    "failure",
    [
        Failure("UNAUTHENTICATED", "your own token has expired", "CALLER_UNAUTHENTICATED"),
        Failure("UNIMPLEMENTED", "404 of a proxy"),
        Failure("PERMISSION_DENIED", "403 of a proxy"),
        Failure("INTERNAL", "RST_STREAM"),
    ],
    ids=lambda failure: failure.message,
)
def test_a_refusal_that_is_not_about_the_credentials_leaves_what_is_held(
    entitlements: InMemoryEntitlements, failure: Failure
) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(HOUR)) as client:
        client.resolve(tenant_id=ONE)
        entitlements.go_dark()
        entitlements.advance(timedelta(seconds=60))
        as_before = answer_with(entitlements, lambda method, request: failure)
        with pytest.raises(RequestRefusedError):
            client.resolve(tenant_id=ONE)
        as_before()
        assert client.resolve(tenant_id=ONE).by_outage_rule


def test_who_handles_log_lines_may_ask_the_client(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(HOUR)) as client:
        client.check(ONE, "finance")
        inside, lines = threading.Event(), []

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.name == "app":
                    inside.set()
                    # It holds the handler's lock until the other thread wants to log.
                    time.sleep(0.2)
                lines.append((record.getMessage(), client.stats()["outage"]))

        handler = Handler()
        logging.getLogger().addHandler(handler)
        try:
            other = threading.Thread(target=lambda: logging.getLogger("app").warning("some other line"), daemon=True)
            other.start()
            inside.wait(5)
            dark = threading.Thread(target=entitlements.go_dark, daemon=True)
            dark.start()
            for thread in (other, dark):
                thread.join(5)
                assert not thread.is_alive(), "they wait for each other"
        finally:
            logging.getLogger().removeHandler(handler)
        assert any("is lost" in line and outage == 1 for line, outage in lines)


def test_a_server_that_cannot_answer_for_many_tenants_takes_no_more_threads_than_callers() -> None:
    double = InMemoryEntitlements()
    running, most, lock = [0], [0], threading.Lock()

    def fail(method: str, request: Any) -> Failure:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        # So that calls overlap.
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return Failure("UNAVAILABLE", "the database cannot be reached", "STORE_UNAVAILABLE")

    answer_with(double, fail)
    with SyncEntitlementClient("in-memory", on_outage=OnOutage.serve_stale(HOUR), transport=_Transport(double)) as client:

        def ask(first: int) -> None:
            for _ in range(4):
                for number in range(first, 80, 4):
                    client.check(tenant_id(number), "finance")

        callers = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert 1 <= most[0] <= 4


def test_where_no_thread_can_be_had_who_holds_an_answer_has_it_and_later_questions_are_asked(
    entitlements: InMemoryEntitlements, monkeypatch: pytest.MonkeyPatch
) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(HOUR)) as client:
        client.check(ONE, "finance")
        entitlements.go_dark()
        entitlements.advance(timedelta(seconds=40))

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for _ in range(3):
                entitlements.advance(timedelta(seconds=2))
                assert client.check(ONE, "finance").by_outage_rule
        assert not client._core._outage.probing


def test_losses_that_come_and_go_are_said_once_a_minute(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "entitlement_client")
    with entitlements.sync_client(OnOutage.deny()):
        for _ in range(100):
            entitlements.go_dark()
            entitlements.come_back()
        assert len(caplog.messages) == 2
        entitlements.advance(timedelta(seconds=61))
        entitlements.go_dark()
        assert len(caplog.messages) == 3


def test_a_server_that_does_not_receive_changes_is_no_outage_and_a_real_one_is_said(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "entitlement_client")
    with entitlements.sync_client(OnOutage.deny()) as client:
        for _ in range(3):
            client._core.stream_ended("changes are off", refusal="FAILED_PRECONDITION")
            client._core.say()
        assert [message.partition(" from ")[0] for message in caplog.messages] == ["changes cannot be received"]
        assert client.stats()["outage"] == 0
        as_before = answer_with(entitlements, lambda method, request: SLOW)
        assert client.check(ONE, "finance").by_outage_rule
        assert "is lost: slow once" in caplog.messages[-1]
        as_before()
        entitlements.advance(timedelta(seconds=10))
        assert client.check(TWO, "finance").reason == "TENANT_NOT_FOUND"
        assert "is back" in caplog.messages[-1]


def test_a_lagging_server_does_not_take_away_what_it_vouched_for_before(entitlements: InMemoryEntitlements) -> None:
    entitlements.allow(ONE, "finance")
    with entitlements.sync_client(OnOutage.serve_stale(timedelta(minutes=10))) as client:
        # What is asked for soon after the stream has opened is vouched for by no heartbeat.
        entitlements.advance(timedelta(seconds=4))
        client.check(ONE, "finance")
        client.resolve(tenant_id=ONE)
        for _ in range(200):
            entitlements.advance(timedelta(seconds=20))
        client._core.heartbeat(False)
        client._core.taken_over(0, 0)
        entitlements.go_dark()
        entitlements.advance(timedelta(minutes=5))
        assert client.check(ONE, "finance").allowed
        assert client.resolve(tenant_id=ONE).by_outage_rule


def test_a_client_that_is_closed_loses_nothing(
    entitlements: InMemoryEntitlements, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "entitlement_client")
    client = entitlements.sync_client()
    client.check(ONE, "finance")
    client.close()
    client._core.stream_ended("closed")
    client._core.say()
    assert caplog.messages == []
