"""Calls and the stream of changes, on an event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from . import _wire as wire
from ._base import FIRST_WATCH_PAUSE, LONGEST_WATCH_PAUSE, SILENCE, log
from ._core.core import Core
from ._failure import to_failure
from ._proto.entitlement_service_pb2_grpc import EntitlementServiceStub
from ._target import Rotation, Target
from .errors import Failure


class Transport:
    """Connections to the server's endpoints, of the loop that opened them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rotation = Rotation(len(target.endpoints))
        self._channels: list[grpc.aio.Channel] = []
        self._stubs: list[Any] = []

    def open(self) -> None:
        for endpoint in self._target.endpoints:
            if self._target.credentials is None:
                channel = grpc.aio.insecure_channel(endpoint, options=self._target.options)
            else:
                channel = grpc.aio.secure_channel(endpoint, self._target.credentials, options=self._target.options)
            self._channels.append(channel)
            self._stubs.append(EntitlementServiceStub(channel))  # type: ignore[no-untyped-call]

    async def call(self, method: str, request: Any, timeout: float) -> Any:
        """The response, or a Failure. `timeout`: seconds."""
        index = self._rotation.now
        try:
            return await getattr(self._stubs[index], method)(
                request, timeout=timeout, metadata=self._target.metadata or None
            )
        except grpc.aio.AioRpcError as error:
            failure = to_failure(error)
        except grpc.aio.UsageError as error:
            # grpc says so of a channel that was closed meanwhile.
            return Failure("CANCELLED", str(error))
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(index)
        return failure

    async def watch(self) -> AsyncIterator[Any]:
        """A stream's events, until it ends or has been silent for too long."""
        index = self._rotation.now
        request = wire.pb.WatchChangesRequest()
        call = self._stubs[index].WatchChanges(request, metadata=self._target.metadata or None)
        try:
            while True:
                event = await asyncio.wait_for(call.read(), SILENCE)
                if event is grpc.aio.EOF:
                    return
                yield event
        finally:
            call.cancel()

    async def pause(self, seconds: float) -> None:
        """Between two tries of a call."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)


async def watch(core: Core, transport: Any) -> None:
    """Keeps a stream of changes open, until it is cancelled."""
    loop = asyncio.get_running_loop()
    pause = FIRST_WATCH_PAUSE
    while True:
        began = loop.time()
        try:
            failure = await _listen(core, transport)
        finally:
            core.stream_ended()
        if loop.time() - began > LONGEST_WATCH_PAUSE:
            pause = FIRST_WATCH_PAUSE
        log.info("the stream of changes ended, and is opened again: %s", failure or "the server closed it")
        await asyncio.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311
        pause = min(pause * 2, LONGEST_WATCH_PAUSE)


async def _listen(core: Core, transport: Any) -> Failure | None:
    """Until the stream ends."""
    try:
        async for event in transport.watch():
            wire.tell(core, event)
    except grpc.aio.AioRpcError as error:
        return to_failure(error)
    except asyncio.TimeoutError:
        return Failure("DEADLINE_EXCEEDED", f"nothing was heard for {SILENCE:.0f} s")
    return None
