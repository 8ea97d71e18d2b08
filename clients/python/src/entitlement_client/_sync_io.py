"""Calls and the stream of changes, on threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from . import _wire as wire
from ._base import FIRST_WATCH_PAUSE, LONGEST_WATCH_PAUSE, SILENCE, log
from ._core.core import Core
from ._failure import to_failure
from ._proto.entitlement_service_pb2_grpc import EntitlementServiceStub
from ._target import Rotation, Target
from .clock import NS
from .errors import Failure


class Transport:
    """Connections to the server's endpoints."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rotation = Rotation(len(target.endpoints))
        self._channels: list[grpc.Channel] = []
        self._stubs: list[Any] = []

    def open(self) -> None:
        for endpoint in self._target.endpoints:
            if self._target.credentials is None:
                channel = grpc.insecure_channel(endpoint, options=self._target.options)
            else:
                channel = grpc.secure_channel(endpoint, self._target.credentials, options=self._target.options)
            self._channels.append(channel)
            self._stubs.append(EntitlementServiceStub(channel))  # type: ignore[no-untyped-call]

    def call(self, method: str, request: Any, timeout: float) -> Any:
        """The response, or a Failure. `timeout`: seconds."""
        index = self._rotation.now
        try:
            return getattr(self._stubs[index], method)(request, timeout=timeout, metadata=self._target.metadata)
        except grpc.RpcError as error:
            failure = to_failure(error)
        except ValueError as error:
            # grpc says so of a channel that was closed meanwhile.
            return Failure("CANCELLED", str(error))
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(index)
        return failure

    def watch(self) -> Any:
        """A call that can be iterated over, and cancelled."""
        index = self._rotation.now
        return self._stubs[index].WatchChanges(wire.pb.WatchChangesRequest(), metadata=self._target.metadata)

    def pause(self, seconds: float) -> None:
        """Between two tries of a call."""
        time.sleep(seconds)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class Watcher:
    """Keeps a stream of changes open, on a thread of its own. It knows no client, so that one can be thrown away."""

    def __init__(self, core: Core, transport: Any) -> None:
        self._core = core
        self._transport = transport
        self._stopping = threading.Event()
        self._call: Any = None
        self._heard = 0
        self._thread = threading.Thread(target=self._run, name="entitlement-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._transport.close()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def look_for_silence(self) -> None:
        """Gives up a stream that has said nothing for too long. Nobody needs it while nothing is asked."""
        call = self._call
        if call is not None and self._core.clock.mono() - self._heard > SILENCE * NS:
            call.cancel()

    def _run(self) -> None:
        pause = FIRST_WATCH_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            failure = self._listen()
            self._core.stream_ended()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > LONGEST_WATCH_PAUSE:
                pause = FIRST_WATCH_PAUSE
            log.info("the stream of changes ended, and is opened again: %s", failure or "the server closed it")
            self._stopping.wait(pause * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_WATCH_PAUSE)

    def _listen(self) -> Failure | None:
        """Until the stream ends."""
        try:
            self._heard = self._core.clock.mono()
            self._call = self._transport.watch()
            if self._stopping.is_set():
                self._call.cancel()
            for event in self._events():
                wire.tell(self._core, event)
        except grpc.RpcError as error:
            return to_failure(error)
        except ValueError as error:
            return Failure("CANCELLED", str(error))
        finally:
            self._call = None
        return None

    def _events(self) -> Iterator[Any]:
        for event in self._call:
            self._heard = self._core.clock.mono()
            yield event
