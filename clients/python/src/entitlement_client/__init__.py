"""May this tenant use this module now? Asks entitlementd, and mostly answers by itself.

from entitlement_client import OnOutage, SyncEntitlementClient

with SyncEntitlementClient("127.0.0.1:50051", on_outage=OnOutage.deny()) as client:
    client.check("00000000-0000-4000-8000-000000000001", "finance").allowed
"""

from ._aio_usage import Counters, Leased
from ._sync_usage import SyncCounters, SyncLeased
from .aio import EntitlementClient
from .answers import (
    Answer,
    Authorized,
    EnabledModule,
    EnabledModules,
    FeatureAnswer,
    IssuedLease,
    LeasedModule,
    LimitAnswer,
    LimitDecision,
    Reconciled,
    Reservation,
    Resolved,
    Tenant,
)
from .clock import Clock
from .errors import (
    ClientMisuseError,
    EntitlementError,
    EntitlementsUnavailableError,
    FeatureOffError,
    LimitExceededError,
    ModuleDeniedError,
    RequestRefusedError,
    UsageRefusedError,
)
from .outage import OnOutage
from .over_time import Recorded, Taken, UsageEvent, UsageSpan, UsedOverTime
from .sync import SyncEntitlementClient

__all__ = [
    "Answer",
    "Authorized",
    "ClientMisuseError",
    "Clock",
    "Counters",
    "EnabledModule",
    "EnabledModules",
    "EntitlementClient",
    "EntitlementError",
    "EntitlementsUnavailableError",
    "FeatureAnswer",
    "FeatureOffError",
    "IssuedLease",
    "Leased",
    "LeasedModule",
    "LimitAnswer",
    "LimitDecision",
    "LimitExceededError",
    "ModuleDeniedError",
    "OnOutage",
    "Reconciled",
    "Recorded",
    "RequestRefusedError",
    "Reservation",
    "Resolved",
    "SyncCounters",
    "SyncEntitlementClient",
    "SyncLeased",
    "Taken",
    "Tenant",
    "UsageEvent",
    "UsageRefusedError",
    "UsageSpan",
    "UsedOverTime",
]
