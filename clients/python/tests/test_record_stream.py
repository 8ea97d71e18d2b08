"""The stream that a message is recorded on: its answer is the first that comes, and without one it is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from conftest import tenant_id

from entitlement_client import EntitlementClient, EntitlementsUnavailableError, SyncEntitlementClient, UsageEvent
from entitlement_client._proto import usage_service_pb2 as pb
from entitlement_client._proto.usage_service_pb2_grpc import UsageServiceServicer, add_UsageServiceServicer_to_server

EVENTS = [UsageEvent(tenant_id(1), "calls_monthly", "c-1")]


class Service(UsageServiceServicer):  # type: ignore[misc]
    """Ends so many streams before it answers. The others fail after the answer."""

    def __init__(self) -> None:
        self.ends = 0
        self.asked = 0

    def RecordUsage(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        for request in requests:
            self.asked += 1
            if self.asked <= self.ends:
                return
            yield pb.RecordUsageResponse(outcomes=[pb.USAGE_OUTCOME_COUNTED] * len(request.events))
            context.abort(grpc.StatusCode.UNAVAILABLE, "about to stop")


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    server, service = grpc.server(futures.ThreadPoolExecutor(4)), Service()
    add_UsageServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("ends", [0, 1, 2])
def test_a_stream_that_ends_before_it_answers_is_another_try_and_one_that_fails_after_it_is_none(
    service: tuple[Service, str], ends: int
) -> None:
    one, address = service
    one.ends = ends
    with SyncEntitlementClient(address, deadline=10) as client:
        assert [told.outcome for told in client.record(EVENTS)] == ["COUNTED"]
        assert one.asked == ends + 1


@pytest.mark.parametrize("ends", [0, 1, 2])
async def test_the_async_client_does_the_same(service: tuple[Service, str], ends: int) -> None:
    one, address = service
    one.ends = ends
    async with EntitlementClient(address, deadline=10) as client:
        assert [told.outcome for told in await client.record(EVENTS)] == ["COUNTED"]
        assert one.asked == ends + 1


async def test_after_three_streams_it_is_an_outage(service: tuple[Service, str]) -> None:
    one, address = service
    one.ends = 9
    with SyncEntitlementClient(address, deadline=10) as sync, pytest.raises(EntitlementsUnavailableError):
        sync.record(EVENTS)
    assert one.asked == 3
    async with EntitlementClient(address, deadline=10) as client:
        with pytest.raises(EntitlementsUnavailableError):
            await client.record(EVENTS)
    assert one.asked == 6
