"""Calls and the stream of changes, on an event loop."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import grpc
import grpc.aio

from . import _wire as wire
from ._base import FIRST_WATCH_PAUSE, LONGEST_WATCH_PAUSE, SILENCE, log
from ._core.core import Core
from ._core.jobs import AFTER_A_FAULT, Job
from ._failure import to_failure
from ._streams import PAUSES, Streams, Then
from ._stubs import ENDED, RECORD_USAGE, Stubs
from ._target import Rotation, Target
from .errors import ClientMisuseError, Failure


class Transport:
    """Connections to the server's endpoints, of the loop that opened them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rotation = Rotation(len(target.endpoints))
        self._channels: list[grpc.aio.Channel] = []
        self._stubs: list[Any] = []
        self._watched = 0

    @property
    def endpoint(self) -> str:
        """Where the server is, for log lines: any of these."""
        return ", ".join(self._target.endpoints)

    def open(self) -> None:
        for endpoint in self._target.endpoints:
            options, credentials = self._target.options(endpoint), self._target.credentials
            if credentials is None:
                channel = grpc.aio.insecure_channel(endpoint, options=options)
            else:
                channel = grpc.aio.secure_channel(endpoint, credentials, options=options)
            self._channels.append(channel)
            self._stubs.append(Stubs(channel))

    async def call(self, method: str, request: Any, timeout: float) -> Any:
        """The response, or a Failure. `timeout`: seconds."""
        index = self._rotation.now
        try:
            calls, metadata = getattr(self._stubs[index], method), self._target.metadata or None
            if method == RECORD_USAGE:
                return await _first(calls(iter((request,)), timeout=timeout, metadata=metadata))
            return await calls(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            failure = to_failure(error)
        except grpc.aio.UsageError as error:
            # grpc says so of a channel that was closed meanwhile.
            return Failure("CANCELLED", str(error))
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(index)
        return failure

    async def watch(self) -> AsyncGenerator[Any, None]:
        """A stream's events, until it ends or has been silent for too long."""
        index = self._watched = self._rotation.now
        request = wire.WATCH
        call = self._stubs[index].WatchChanges(request, metadata=self._target.metadata or None)
        try:
            while True:
                event = await asyncio.wait_for(call.read(), SILENCE)
                if event is grpc.aio.EOF:
                    return
                yield event
        finally:
            call.cancel()

    def watch_failed(self, failure: Failure) -> None:
        """The stream ended with this: the next one goes elsewhere, if there is an elsewhere."""
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(self._watched)

    async def pause(self, seconds: float) -> None:
        """Between two tries of a call."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)


class Watcher:
    """Keeps a stream of changes open, on the running loop. `tasks`: whoever ends the client cancels what is in there."""

    def __init__(self, core: Core, transport: Any, tasks: set[asyncio.Task[None]]) -> None:
        self._transport = transport
        self._streams = Streams(core)
        self._tasks = tasks
        self._failure: Failure | None = None
        self._successors: deque[asyncio.Task[None]] = deque()
        """They open the streams that take over from others, and read them."""

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        pause = FIRST_WATCH_PAUSE
        while True:
            began = loop.time()
            self._failure, stream = None, object()
            self._streams.begin(stream)
            await self._listen(stream)
            while self._successors:
                await asyncio.wait({self._successors.popleft()})
            if loop.time() - began > LONGEST_WATCH_PAUSE:
                pause = FIRST_WATCH_PAUSE
            log.debug("the stream of changes ended, and is opened again: %s", self._failure or "the server closed it")
            await asyncio.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_WATCH_PAUSE)

    async def _listen(self, stream: object) -> None:
        """Until the stream ends, or is of no more use."""
        try:
            async with aclosing(self._transport.watch()) as events:
                await self._read(stream, events)
        except grpc.aio.AioRpcError as error:
            self._failure = to_failure(error)
            self._transport.watch_failed(self._failure)
        except asyncio.TimeoutError:
            self._failure = Failure("DEADLINE_EXCEEDED", f"nothing was heard for {SILENCE:.0f} s")
        except Exception as error:  # noqa: BLE001 - whatever a token's function raises: it is tried again
            self._failure = Failure("UNKNOWN", str(error) or type(error).__name__)
        # Not where it is cancelled: the client ends, and nothing is lost.
        self._streams.ended(stream, self._failure)

    async def _read(self, stream: object, events: AsyncIterator[Any]) -> None:
        async for event in events:
            then = self._streams.tell(stream, event)
            if then is Then.LET_GO:
                return
            if then is Then.OPEN_ANOTHER:
                successor = asyncio.get_running_loop().create_task(self._succeed(), name="entitlement-watch")
                self._successors.append(successor)
                self._tasks.add(successor)
                successor.add_done_callback(self._tasks.discard)

    async def _succeed(self) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            stream = object()
            if not self._streams.begin_next(stream):
                return
            await self._listen(stream)
        self._streams.give_up()


class Worker:
    """Does the jobs of a client, on the running loop. `run` runs a program; `keep`: whoever ends the client cancels what
    is given to it."""

    def __init__(
        self, core: Core, run: Callable[[Any], Awaitable[Any]], keep: Callable[[asyncio.Task[Any]], None]
    ) -> None:
        self._core = core
        self._run = run
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._woken = asyncio.Event()
        core.schedule.wake = self._wake

    async def work(self) -> None:
        """Until it is cancelled."""
        schedule, mono = self._core.schedule, self._core.clock.mono
        while True:
            self._woken.clear()
            for job in schedule.take(mono()):
                self._keep(self._loop.create_task(self._do(job)))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), schedule.seconds_left(mono()))

    async def _do(self, job: Job) -> None:
        due = self._core.clock.mono() + AFTER_A_FAULT
        try:
            due = await self._run(job.work())
        except ClientMisuseError:
            return
        except Exception:  # noqa: BLE001 - a fault of ours must not end the others
            log.exception("what is done in the background has failed")
        finally:
            self._core.schedule.done(job, due)

    def _wake(self) -> None:
        """From any thread."""
        if threading.get_ident() == self._thread:
            self._woken.set()
        else:
            with suppress(RuntimeError):
                # The loop may have been closed.
                self._loop.call_soon_threadsafe(self._woken.set)


async def _first(told: Any) -> Any:
    """What a stream has answered. Its end is waited for: a call that is thrown away before is cancelled."""
    answer = await told.read()
    if answer is grpc.aio.EOF:
        return ENDED
    with suppress(grpc.aio.AioRpcError):
        await told.read()
    return answer
