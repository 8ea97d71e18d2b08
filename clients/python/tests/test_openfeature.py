"""The provider, through OpenFeature's own SDK, on the double."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from older import older
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, GeneralError, ProviderFatalError
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import ProviderStatus

from entitlement_client import OnOutage
from entitlement_client.openfeature import EntitlementProvider
from entitlement_client.testing import InMemoryEntitlements

ONE, TWO = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
TENANT = EvaluationContext(targeting_key=ONE)
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    api.shutdown()


@pytest.fixture
def double(entitlements: InMemoryEntitlements) -> InMemoryEntitlements:
    """A tenant with finance, and features of every kind in it."""
    entitlements.allow(ONE, "finance")
    entitlements.set_feature(ONE, "finance", "plain")
    entitlements.set_feature(ONE, "finance", "off", False, value="csv", reason="PLAN")
    entitlements.set_feature(ONE, "finance", "text", value="csv", reason="PLAN")
    entitlements.set_feature(ONE, "finance", "whole", value=7, reason="DEFAULT")
    entitlements.set_feature(ONE, "finance", "part", value=1.5)
    entitlements.set_feature(ONE, "finance", "flag", value=True)
    entitlements.set_feature(ONE, "finance", "object", value={"formats": ["csv"]})
    entitlements.set_feature(ONE, "finance", "list", value=["csv", "pdf"])
    return entitlements


@pytest.fixture(params=["sync", "async"])
def evaluate(request: pytest.FixtureRequest, double: InMemoryEntitlements) -> Callable[..., Any]:
    """Evaluates a flag of a type, with a client for threads, or in an event loop with one for that."""

    def in_a_thread(kind: str, key: str, default: Any, context: EvaluationContext | None = TENANT) -> Any:
        api.set_provider_and_wait(EntitlementProvider(double.sync_client()))
        return getattr(api.get_client(), f"get_{kind}_details")(key, default, context)

    def in_a_loop(kind: str, key: str, default: Any, context: EvaluationContext | None = TENANT) -> Any:
        async def ask() -> Any:
            async with double.client() as client:
                # What the double tells is heard of from the start.
                api.set_provider_and_wait(EntitlementProvider(client))
                return await getattr(api.get_client(), f"get_{kind}_details_async")(key, default, context)

        return asyncio.run(ask())

    return in_a_thread if request.param == "sync" else in_a_loop


def seen(details: FlagEvaluationDetails[Any]) -> tuple[Any, Any, Any]:
    return details.value, details.reason, details.error_code


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("finance/plain", (True, Reason.TARGETING_MATCH, None)),
        ("finance/off", (False, Reason.TARGETING_MATCH, None)),
        ("finance/whole", (True, Reason.DEFAULT, None)),
        ("finance/none", (False, Reason.DEFAULT, None)),
        ("hrms/payroll", (False, Reason.DEFAULT, None)),
        ("finance/a/b", (False, Reason.DEFAULT, None)),
    ],
)
def test_a_boolean_is_whether_it_is_on_and_never_the_codes_default(
    evaluate: Callable[..., Any], key: str, default: bool, expected: tuple[Any, Any, Any]
) -> None:
    assert seen(evaluate("boolean", key, default)) == expected


@pytest.mark.parametrize(
    ("kind", "key", "default", "expected"),
    [
        ("string", "finance/text", "pdf", ("csv", Reason.TARGETING_MATCH, None)),
        ("integer", "finance/whole", 3, (7, Reason.DEFAULT, None)),
        ("float", "finance/part", 0.5, (1.5, Reason.TARGETING_MATCH, None)),
        ("float", "finance/whole", 0.5, (7.0, Reason.DEFAULT, None)),
        ("object", "finance/object", {}, ({"formats": ["csv"]}, Reason.TARGETING_MATCH, None)),
        ("object", "finance/list", [], (["csv", "pdf"], Reason.TARGETING_MATCH, None)),
        ("string", "finance/off", "pdf", ("pdf", Reason.DEFAULT, None)),
        ("string", "finance/plain", "pdf", ("pdf", Reason.DEFAULT, None)),
        ("string", "finance/none", "pdf", ("pdf", Reason.DEFAULT, None)),
        ("object", "hrms/payroll", {"a": 1}, ({"a": 1}, Reason.DEFAULT, None)),
        ("string", "finance/whole", "pdf", ("pdf", Reason.ERROR, ErrorCode.TYPE_MISMATCH)),
        ("integer", "finance/part", 3, (3, Reason.ERROR, ErrorCode.TYPE_MISMATCH)),
        ("integer", "finance/flag", 3, (3, Reason.ERROR, ErrorCode.TYPE_MISMATCH)),
        ("float", "finance/text", 0.5, (0.5, Reason.ERROR, ErrorCode.TYPE_MISMATCH)),
        ("object", "finance/text", {}, ({}, Reason.ERROR, ErrorCode.TYPE_MISMATCH)),
    ],
)
def test_another_type_is_the_value_or_the_codes_default_where_it_has_none(
    evaluate: Callable[..., Any], kind: str, key: str, default: Any, expected: tuple[Any, Any, Any]
) -> None:
    details = evaluate(kind, key, default)
    assert seen(details) == expected
    assert type(details.value) is type(default) or kind == "object"


@pytest.mark.parametrize(
    ("key", "context", "code"),
    [
        ("finance/plain", None, ErrorCode.TARGETING_KEY_MISSING),
        ("finance/plain", EvaluationContext(targeting_key=""), ErrorCode.TARGETING_KEY_MISSING),
        ("finance/plain", EvaluationContext(targeting_key="acme"), ErrorCode.INVALID_CONTEXT),
        ("finance/plain", EvaluationContext(targeting_key=ONE.replace("-", "")), ErrorCode.INVALID_CONTEXT),
        ("finance/plain", EvaluationContext(targeting_key=f"{{{ONE[1:-1]}}}"), ErrorCode.INVALID_CONTEXT),
        ("finance", TENANT, ErrorCode.FLAG_NOT_FOUND),
        ("/plain", TENANT, ErrorCode.FLAG_NOT_FOUND),
        ("finance/", TENANT, ErrorCode.FLAG_NOT_FOUND),
    ],
)
def test_what_names_no_tenant_or_no_feature_is_an_error(
    evaluate: Callable[..., Any], key: str, context: EvaluationContext | None, code: ErrorCode
) -> None:
    assert seen(evaluate("boolean", key, True, context)) == (True, Reason.ERROR, code)


def test_the_flags_metadata_say_why(evaluate: Callable[..., Any]) -> None:
    assert evaluate("boolean", "finance/off", True).flag_metadata == {
        "entitlement.reason": "PLAN",
        "revision": 9,
        "stale": False,
        "module.reason": "ENABLED",
    }
    denied = evaluate("boolean", "hrms/payroll", True).flag_metadata
    assert (denied["entitlement.reason"], denied["module.reason"]) == ("MODULE_DENIED", "NOT_SUBSCRIBED")


def test_a_server_that_is_older_than_features_is_an_error(
    evaluate: Callable[..., Any], double: InMemoryEntitlements
) -> None:
    older(double)
    details = evaluate("boolean", "finance/plain", False)
    assert seen(details) == (False, Reason.ERROR, ErrorCode.GENERAL)
    assert "older than features" in details.error_message


def until(such: Callable[[], bool]) -> None:
    """Asks until it is so: OpenFeature is told by another thread."""
    deadline = time.monotonic() + PATIENCE
    while not such():
        assert time.monotonic() < deadline, "it never was so"
        threading.Event().wait(0.002)


class Heard:
    """The events of a client, in order."""

    def __init__(self, client: OpenFeatureClient) -> None:
        self.events: list[str] = []
        for event in ProviderEvent:
            client.add_handler(event, self._handler(event))

    def _handler(self, event: ProviderEvent) -> Callable[[EventDetails], None]:
        return lambda _details: self.events.append(event.value.removeprefix("PROVIDER_"))


def test_it_is_stale_while_changes_are_not_received_and_ready_again(double: InMemoryEntitlements) -> None:
    client = api.get_client()
    with double.sync_client(OnOutage.serve_stale(timedelta(hours=1))) as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        heard = Heard(client)
        assert client.get_provider_status() is ProviderStatus.READY
        assert client.get_boolean_value("finance/plain", False, TENANT)
        double.go_dark()
        until(lambda: client.get_provider_status() is ProviderStatus.STALE)
        double.advance(timedelta(seconds=31))
        stale = client.get_boolean_details("finance/plain", False, TENANT)
        assert seen(stale) == (True, Reason.STALE, None)
        assert stale.flag_metadata["stale"] is True
        assert seen(client.get_string_details("finance/plain", "pdf", TENANT)) == ("pdf", Reason.STALE, None)
        unknown = EvaluationContext(targeting_key=TWO)
        assert seen(client.get_boolean_details("finance/plain", True, unknown)) == (False, Reason.STALE, None)
        double.come_back()
        until(lambda: client.get_provider_status() is ProviderStatus.READY)
        until(lambda: heard.events == ["READY", "STALE", "READY"])
        until(lambda: client.get_boolean_details("finance/plain", False, TENANT).reason == Reason.TARGETING_MATCH)


def test_a_server_that_says_that_it_may_miss_changes_makes_it_stale(double: InMemoryEntitlements) -> None:
    with double.sync_client() as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        for is_good, status in ((False, ProviderStatus.STALE), (True, ProviderStatus.READY)):
            mine._core.heartbeat(is_good)
            mine._core.say()
            until(lambda status=status: api.get_client().get_provider_status() is status)  # type: ignore[misc]


def test_silence_makes_it_stale_though_nothing_tells_it(double: InMemoryEntitlements) -> None:
    with double.sync_client() as mine:
        mine._core.opened(1_000_000)
        mine._core.heartbeat(True)
        api.set_provider_and_wait(EntitlementProvider(mine))
        # The clock of the double stands still, but for this.
        double._mono += 4_000_001
        until(lambda: api.get_client().get_provider_status() is ProviderStatus.STALE)


def test_a_server_that_is_not_there_is_an_error_until_it_is(double: InMemoryEntitlements) -> None:
    double.go_dark()
    client = api.get_client()
    with double.sync_client(deadline=0.05) as mine:
        with pytest.raises(GeneralError):
            api.set_provider_and_wait(EntitlementProvider(mine))
        assert client.get_provider_status() is ProviderStatus.ERROR
        # It is not ready, and answers by the outage rule: a flag is off, whatever the code would have.
        assert seen(client.get_boolean_details("finance/plain", True, TENANT)) == (False, Reason.STALE, None)
        heard = Heard(client)
        double.come_back()
        until(lambda: client.get_provider_status() is ProviderStatus.READY)
        until(lambda: heard.events == ["ERROR", "READY"])


def test_a_server_that_has_no_stream_for_it_is_stale_and_answers(double: InMemoryEntitlements) -> None:
    with double.sync_client() as mine:
        mine._core.stream_ended("changes are off", refusal="FAILED_PRECONDITION")
        api.set_provider_and_wait(EntitlementProvider(mine))
        until(lambda: api.get_client().get_provider_status() is ProviderStatus.STALE)
        assert api.get_client().get_boolean_value("finance/plain", False, TENANT)


def test_who_is_not_known_to_the_server_and_a_client_that_was_closed_are_fatal(double: InMemoryEntitlements) -> None:
    with double.sync_client() as mine:
        mine._core.stream_ended("your token has expired", refusal="UNAUTHENTICATED")
        with pytest.raises(ProviderFatalError):
            api.set_provider_and_wait(EntitlementProvider(mine))
        assert api.get_client().get_provider_status() is ProviderStatus.FATAL
    with pytest.raises(ProviderFatalError):
        api.set_provider_and_wait(EntitlementProvider(mine), "closed")
    details = api.get_client("closed").get_boolean_details("finance/plain", True, TENANT)
    assert seen(details) == (True, Reason.ERROR, ErrorCode.PROVIDER_FATAL)


async def test_set_on_the_loop_of_an_async_client_it_becomes_ready_there(double: InMemoryEntitlements) -> None:
    double.go_dark()
    async with double.client() as mine:
        api.set_provider(EntitlementProvider(mine))
        client = api.get_client()
        while mine._state == "new":
            await asyncio.sleep(0)
        double.come_back()
        while client.get_provider_status() is not ProviderStatus.READY:
            await asyncio.sleep(0.002)
        # Whoever does not await gets what is held, and nothing that is not.
        assert client.get_boolean_details("finance/plain", False, TENANT).error_code == ErrorCode.GENERAL
        assert await client.get_boolean_value_async("finance/plain", False, TENANT)
        assert client.get_boolean_value("finance/plain", False, TENANT)


async def test_a_client_for_threads_is_awaited_in_another_thread(double: InMemoryEntitlements) -> None:
    threads: list[str] = []
    real = double.answer

    def answer(method: str, request: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(method, request)

    double.answer = answer  # type: ignore[method-assign]
    with double.sync_client() as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        client = api.get_client()
        assert await client.get_boolean_value_async("finance/plain", False, TENANT)
        assert await client.get_boolean_value_async("finance/plain", False, TENANT)
    assert len(threads) == 1
    assert threads[0] != threading.main_thread().name


def test_shut_down_it_leaves_the_client_to_the_application(double: InMemoryEntitlements) -> None:
    with double.sync_client() as mine:
        api.set_provider_and_wait(EntitlementProvider(mine))
        assert len(mine._core.listeners) == 1
        api.shutdown()
        assert mine._core.listeners == []
        assert [thread for thread in threading.enumerate() if thread.name == "entitlement-openfeature"] == []
        assert mine.feature(ONE, "finance", "plain")
