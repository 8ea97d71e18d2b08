"""Calls and the stream of changes, on threads."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import deque
from typing import Any

import grpc

from . import _wire as wire
from ._base import FIRST_WATCH_PAUSE, LONGEST_WATCH_PAUSE, SILENCE, log
from ._core.core import Core
from ._core.jobs import AFTER_A_FAULT
from ._failure import to_failure
from ._streams import PAUSES, Streams, Then
from ._stubs import ENDED, RECORD_USAGE, Stubs
from ._target import Rotation, Target
from .clock import NS
from .errors import ClientMisuseError, Failure


class Transport:
    """Connections to the server's endpoints."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rotation = Rotation(len(target.endpoints))
        self._channels: list[grpc.Channel] = []
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
                channel = grpc.insecure_channel(endpoint, options=options)
            else:
                channel = grpc.secure_channel(endpoint, credentials, options=options)
            self._channels.append(channel)
            self._stubs.append(Stubs(channel))

    def call(self, method: str, request: Any, timeout: float) -> Any:
        """The response, or a Failure. `timeout`: seconds."""
        index = self._rotation.now
        try:
            calls, metadata = getattr(self._stubs[index], method), self._target.metadata
            if method == RECORD_USAGE:
                return _first(calls(iter((request,)), timeout=timeout, metadata=metadata))
            return calls(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            failure = to_failure(error)
            _let_go(error)
        except ValueError as error:
            # grpc says so of a channel that was closed meanwhile.
            return Failure("CANCELLED", str(error))
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(index)
        return failure

    def watch(self) -> Any:
        """A call that can be iterated over, and cancelled."""
        index = self._watched = self._rotation.now
        request = wire.WATCH
        return self._stubs[index].WatchChanges(request, metadata=self._target.metadata)

    def watch_failed(self, failure: Failure) -> None:
        """The call ended with this: the next one goes elsewhere, if there is an elsewhere."""
        if failure.is_outage and not failure.is_of_server:
            self._rotation.leave(self._watched)

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
        self._streams = Streams(core)
        self._stopping = threading.Event()
        self._calls: dict[object, Any] = {}
        self._heard: dict[object, int] = {}
        self._failure: Failure | None = None
        self._thread = threading.Thread(target=self._run, name="entitlement-watch", daemon=True)
        self._successors: deque[threading.Thread] = deque()
        """They open the streams that take over from others, and read them."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._core.end()
        self._stopping.set()
        for call in list(self._calls.values()):
            call.cancel()
        self._transport.close()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def look_for_silence(self) -> None:
        """Gives up a stream that has said nothing for too long. Nobody needs it while nothing is asked."""
        for stream, call in list(self._calls.items()):
            # The double tells the core itself.
            heard = max(self._heard.get(stream, 0), self._core.last_event)
            if self._core.clock.mono() - heard > SILENCE * NS:
                call.cancel()

    def _run(self) -> None:
        pause = FIRST_WATCH_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            self._failure, stream = None, object()
            self._streams.begin(stream)
            self._listen(stream)
            while self._successors:
                self._successors.popleft().join()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > LONGEST_WATCH_PAUSE:
                pause = FIRST_WATCH_PAUSE
            log.debug("the stream of changes ended, and is opened again: %s", self._failure or "the server closed it")
            self._stopping.wait(pause * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST_WATCH_PAUSE)

    def _listen(self, stream: object) -> None:
        """Until the stream ends, or is of no more use."""
        try:
            self._heard[stream] = self._core.clock.mono()
            call = self._calls[stream] = self._transport.watch()
            if self._stopping.is_set():
                call.cancel()
            self._read(stream, call)
        except grpc.RpcError as error:
            self._failure = to_failure(error)
            self._transport.watch_failed(self._failure)
            _let_go(error)
        except ValueError as error:
            self._failure = Failure("CANCELLED", str(error))
        except Exception as error:  # noqa: BLE001 - whatever a token's function raises: it is tried again
            self._failure = Failure("UNKNOWN", str(error) or type(error).__name__)
        finally:
            self._calls.pop(stream, None)
            self._heard.pop(stream, None)
            if not self._stopping.is_set():
                self._streams.ended(stream, self._failure)

    def _read(self, stream: object, call: Any) -> None:
        for event in call:
            self._heard[stream] = self._core.clock.mono()
            then = self._streams.tell(stream, event)
            if then is Then.LET_GO:
                call.cancel()
                return
            if then is Then.OPEN_ANOTHER:
                successor = threading.Thread(target=self._succeed, name="entitlement-watch", daemon=True)
                successor.start()
                self._successors.append(successor)

    def _succeed(self) -> None:
        for pause in PAUSES:
            stream = object()
            if self._stopping.wait(pause) or not self._streams.begin_next(stream):
                return
            self._listen(stream)
        self._streams.give_up()


class Worker:
    """Does the jobs of a client, on a thread of its own. It does not keep the client, so that one can be thrown away."""

    def __init__(self, client: weakref.ref[Any]) -> None:
        self._client = client
        self._is_over = False
        self._woken = threading.Event()
        self.wake = self._woken.set
        self._thread = threading.Thread(target=self._work, name="entitlement-work", daemon=True)

    def start(self) -> None:
        """The first time that there is something to do."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        self._is_over = True
        self.wake()

    def _work(self) -> None:
        while not self._is_over:
            self._woken.clear()
            self._woken.wait(self._do())

    def _do(self) -> float | None:
        """What is due. Seconds until more is."""
        client = self._client()
        if client is None:
            self._is_over = True
            return 0.0
        schedule, mono = client._core.schedule, client._core.clock.mono
        for job in schedule.take(mono()):
            due = None if self._is_over else mono() + AFTER_A_FAULT
            try:
                due = client._run(job.work())
            except ClientMisuseError:
                self._is_over = True
            except Exception:  # noqa: BLE001 - a fault of ours must not end the others
                log.exception("what is done in the background has failed")
            finally:
                schedule.done(job, due)
        left: float | None = schedule.seconds_left(mono())
        return left


def _first(told: Any) -> Any:
    """What a stream has answered. Its end is waited for: a call that is thrown away before is cancelled."""
    answer = next(told, ENDED)
    try:
        next(told, None)
    except grpc.RpcError as error:
        _let_go(error)
    return answer


def _let_go(error: grpc.RpcError) -> None:
    """The error of a stream is the stream's call itself, and its traceback leads back to whoever has the call: a circle.
    It may be left to the end of the interpreter, where the call waits for a thread of grpc that does not run any more."""
    error.__traceback__ = None
