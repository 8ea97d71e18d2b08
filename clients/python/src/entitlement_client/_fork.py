"""A client that has begun to work does not survive a fork: its threads and connections stay with the parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    def after_fork(self) -> None:
        """Runs in the child. It must not touch a lock or a connection of the parent's."""


_working: weakref.WeakSet[Forkable] = weakref.WeakSet()


def works(client: Forkable) -> None:
    """From now on a fork has to be told to this client."""
    _working.add(client)


def _forked() -> None:
    for client in list(_working):
        client.after_fork()
    _working.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
