"""A provider's states: READY while changes are received, STALE while they are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from openfeature.client import OpenFeatureClient
from openfeature.event import ProviderEventDetails
from openfeature.provider import AbstractProvider, FeatureProvider, ProviderStatus

from ._core.core import Core
from .clock import NS

NOTED = 0.01
"""Seconds after which to look again whether OpenFeature has noted the end of `initialize`, which it tells nobody."""

LONGEST_STOP = 5.0
"""Seconds."""

NOT_RECEIVED = "changes are not received from entitlementd: what is answered may be stale"


class _Seen(OpenFeatureClient):
    """Asks OpenFeature for the state of a provider, whatever it was set for."""

    def __init__(self, provider: FeatureProvider) -> None:
        super().__init__(None, None)
        self._provider = provider

    @property
    def provider(self) -> FeatureProvider:
        return self._provider


class States:
    """From `initialize` to `shutdown` of a provider. A thread tells OpenFeature of each change of state."""

    def __init__(self, core: Core, provider: AbstractProvider) -> None:
        self._core = core
        self._provider = provider
        self._seen = _Seen(provider)
        self._woken = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="entitlement-openfeature", daemon=True)
        core.listeners.append(self._woken.set)

    def wait(self, seconds: float, such: Callable[[], bool]) -> bool:
        """Waits until it is so, but no longer than this. Whether it is."""
        end = time.monotonic() + seconds
        while True:
            self._woken.clear()
            if such():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._woken.wait(left)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over = True
        if self._woken.set in self._core.listeners:
            self._core.listeners.remove(self._woken.set)
        self._woken.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(LONGEST_STOP)

    def _run(self) -> None:
        while not self._is_over:
            # Cleared before it looks: what is heard meanwhile makes it look again.
            self._woken.clear()
            self._woken.wait(self._look())

    def _look(self) -> float | None:
        """Tells OpenFeature if the state is another. The seconds after which to look again, even if nothing is heard."""
        state, sure_for = self._seen.get_provider_status(), self._core.sure_for()
        if state is ProviderStatus.NOT_READY:
            return NOTED
        if sure_for > 0:
            if state in (ProviderStatus.STALE, ProviderStatus.ERROR):
                self._provider.emit_provider_ready(ProviderEventDetails(message="changes are received"))
            return sure_for / NS
        if state is ProviderStatus.READY:
            self._provider.emit_provider_stale(ProviderEventDetails(message=NOT_RECEIVED))
        return None
