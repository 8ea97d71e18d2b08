"""`require_usage("transactions_monthly")`: a gate that takes from a lease of the request's tenant."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from .._aio_usage import Leased
from .._base import log
from .._core.leases import LeaseTerms
from ..aio import EntitlementClient
from ..errors import EntitlementsUnavailableError, RequestRefusedError
from ..over_time import Unsettled
from .gate import Gate
from .problem import BROKEN, Problem, of_outage, of_reservation

MOST_LEASES = 10_000
"""Of a gate and a client. The one that was not used for longest is given back to make room."""


class UsageGate(Gate):
    """Lets a request pass whose tenant has so much of a limit left, and takes it. A Gate says how it is used."""

    def __init__(self, amount: int, lease: Callable[[EntitlementClient, str], Leased]) -> None:
        self._amount = amount
        self._lease = lease
        self._leases: dict[EntitlementClient, OrderedDict[str, Leased]] = {}
        super().__init__()

    async def _ask(self, client: EntitlementClient, tenant: str) -> Problem | None:
        try:
            taken = await self._of(client, tenant).take(self._amount)
        except EntitlementsUnavailableError as error:
            return of_outage(error)
        except RequestRefusedError as error:
            # The tenant is one that the server has named, so the fault is ours: it may be older than leases.
            log.error("nothing can be taken of a limit: %s %s: %s", error.code, error.reason, error)
            return BROKEN
        return None if taken.granted or taken.reservation is None else of_reservation(taken.reservation)

    def _of(self, client: EntitlementClient, tenant: str) -> Leased:
        leases = self._leases.setdefault(client, OrderedDict())
        lease = leases.get(tenant)
        if lease is None:
            lease = leases[tenant] = self._lease(client, tenant)
            if len(leases) > MOST_LEASES:
                leases.popitem(last=False)[1].retire()
        else:
            leases.move_to_end(tenant)
        return lease


def require_usage(
    meter: str,
    amount: int = 1,
    *,
    size: int = 100,
    ttl: timedelta = timedelta(seconds=60),
    unsettled: Unsettled = "SPENT",
    module: str | None = None,
) -> UsageGate:
    """Lets a request pass whose tenant has so much of the limit left, and takes it, mostly without asking anybody: each
    tenant has a lease in this process. Not granted is 403 with the sentence, as where `reserving` raises, and an outage
    503, once what is held is spent. What the endpoint does afterwards takes nothing back. The other arguments are those
    of `EntitlementClient.leased`; ValueError for those that cannot be."""
    if amount < 1:
        raise ValueError(f"amount: 1 or more, not {amount}")
    LeaseTerms("", meter, size, ttl, unsettled, module)
    return UsageGate(
        amount,
        lambda client, tenant: client.leased(tenant, meter, size=size, ttl=ttl, unsettled=unsettled, module=module),
    )
