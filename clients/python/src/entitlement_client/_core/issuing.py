"""Having leases signed: always by the server, whatever is held. Written once for both clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .. import _wire_leases as wire
from ..answers import IssuedLease
from ..errors import Failure, RequestRefusedError
from .ask import ask
from .core import Core
from .effects import Program

TOO_OLD = "this entitlementd is older than signed leases: upgrade it"


@dataclass(frozen=True, slots=True)
class WantedLease:
    """What is to be signed. The arguments of `issue_lease`."""

    tenant: str
    modules: Iterable[str] = ()
    features: Iterable[tuple[str, str]] = ()
    ttl: timedelta | None = None
    audience: str = ""
    min_revision: int | None = None


def issue_lease(core: Core, wanted: WantedLease) -> Program[IssuedLease]:
    """Raises ValueError for what cannot be sent, EntitlementsUnavailableError, RequestRefusedError."""
    reply: Any = yield from ask(core, "IssueLease", wire.lease_request(wanted))
    if isinstance(reply, Failure):
        raise RequestRefusedError(reply.code, TOO_OLD) if reply.code == "UNIMPLEMENTED" else reply.error()
    return wire.to_issued(reply)
