"""Fixtures for pytest. They are there wherever this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # Imported when a fixture is used: a plugin is loaded before coverage begins to measure.
    from .aio import EntitlementClient
    from .sync import SyncEntitlementClient
    from .testing import InMemoryEntitlements


@pytest.fixture
def entitlements() -> InMemoryEntitlements:
    """A double of entitlementd, in memory."""
    from .testing import InMemoryEntitlements

    return InMemoryEntitlements()


@pytest.fixture
def entitlement_client(entitlements: InMemoryEntitlements) -> EntitlementClient:
    """A client for asyncio that asks the double. It belongs to the loop that first uses it."""
    return entitlements.client()


@pytest.fixture
def sync_entitlement_client(entitlements: InMemoryEntitlements) -> Iterator[SyncEntitlementClient]:
    """A client for threads that asks the double."""
    with entitlements.sync_client() as client:
        yield client
