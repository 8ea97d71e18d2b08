"""What callers get: answers, tenants and lists. None of them can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

UNSPECIFIED = "UNSPECIFIED"
"""The reason of an answer that the outage rule gave: nobody knows why, or whether."""


@dataclass(frozen=True, slots=True)
class Answer:
    """May the tenant use the module? It is true or false as `allowed` is: `if client.check(...):` is right."""

    allowed: bool
    """The answer."""
    reason: str
    """Why, or why not: DecisionReason without its prefix, "ENABLED" or "NOT_SUBSCRIBED" for example. "UNSPECIFIED" where
    the outage rule answered. A word that is not known comes from a newer server: trust `allowed`."""
    message: str = ""
    """On a denial, a sentence that can be shown to a person. Empty when allowed."""
    plan_slugs: tuple[str, ...] = ()
    """On NOT_SUBSCRIBED, the slugs of the plans on sale that contain the module, cheapest first."""
    valid_until: datetime | None = None
    """The next instant at which time alone changes the answer (UTC), or at which it must be asked anew. None: never."""
    revision: int = 0
    """The revision of the tenant's facts that the answer rests on. 0: there is none."""
    as_of: datetime | None = None
    """When those facts were read from the database (UTC). None: the outage rule answered, and nothing was held."""
    stale: bool = False
    """True where it could not be asked whether the answer still holds: the server's database, or the server."""
    by_outage_rule: bool = False
    """True where the server could not be asked, and the rule chosen with `on_outage` answered."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation."""

    id: str
    """Its UUID, 36 characters, lower case."""
    name: str
    """To be shown: "Test Company"."""
    subdomain: str
    """Its label under the base domain: "testcompany"."""
    database_schema: str
    """The database schema that holds its data: "tenant_testcompany"."""
    status: str = "ACTIVE"
    """TenantStatus without its prefix: "ACTIVE" or "PENDING"."""
    plan_slug: str = ""
    """The slug of its plan, "starter". Empty: it has none."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The tenant that a request belongs to, and how far that can be trusted."""

    tenant: Tenant
    source: str
    """The strongest source that named it: "BEARER_TOKEN", "CERTIFICATE", "TENANT_ID" or "HOST"."""
    verified: bool
    """True when a verified token names this tenant. Otherwise it is only what the request claims."""
    valid_until: datetime | None = None
    """With a token, the token's own end."""
    revision: int = 0
    as_of: datetime | None = None
    stale: bool = False
    """True where nobody was asked whether it still holds: the server, or its database, was unreachable."""
    by_outage_rule: bool = False
    """True where the outage rule gave it, because the server was unreachable."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """The tenant that a request belongs to, and whether it may use one of the modules."""

    resolved: Resolved
    module: str
    """The code that decided: the first that is allowed, else the one whose denial is shown."""
    answer: Answer

    def __bool__(self) -> bool:
        return self.answer.allowed


@dataclass(frozen=True, slots=True)
class EnabledModule:
    """A module that the tenant may use now."""

    code: str
    name: str
    category: str
    display_order: int
    is_base_module: bool
    is_trial: bool
    starts_at: datetime | None
    expires_at: datetime | None
    trial_ends_at: datetime | None
    valid_until: datetime | None
    """The end of the uninterrupted right. None: it has no end."""
    sections: tuple[int, ...]
    """The numbers of the menu sections that belong to it."""
    frontend_routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnabledModules:
    """Every module that the tenant may use now, ordered as a menu shows them. Iterates over the modules."""

    modules: tuple[EnabledModule, ...]
    tenant_status: str
    """A tenant that is not served has no modules; this says why: "SUSPENDED" for example."""
    revision: int = 0
    as_of: datetime | None = None
    valid_until: datetime | None = None
    stale: bool = False
    by_outage_rule: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes alone."""
        return tuple(module.code for module in self.modules)

    def __iter__(self) -> Iterator[EnabledModule]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    def __contains__(self, code: object) -> bool:
        return any(module.code == code for module in self.modules)


Json = bool | int | float | str | list[Any] | dict[str, Any] | None
"""The value of a feature. A number that is whole is an int."""


@dataclass(frozen=True, slots=True)
class FeatureAnswer:
    """Is the feature on for the tenant? It is true or false as `enabled` is."""

    enabled: bool
    """The answer."""
    reason: str
    """Why, or why not: FeatureReason without its prefix, "TENANT", "PLAN", "DEFAULT", "NOT_FOUND" or "MODULE_DENIED" for
    example. "UNSPECIFIED" where the outage rule answered and nothing was held. A word that is not known comes from a
    newer server: trust `enabled`."""
    value: Json = None
    """What it is set to. None: it has no value, or is off."""
    message: str = ""
    """Where it is off, a sentence that can be shown to a person. Empty when on."""
    module_reason: str = UNSPECIFIED
    """What became of the module: "ENABLED", or why it is denied. "UNSPECIFIED" where the outage rule answered and nothing
    was held."""
    plan_slugs: tuple[str, ...] = ()
    """Where the module is denied because the tenant has not subscribed to it, the slugs of the plans on sale that have
    the feature, cheapest first. Otherwise the server alone knows them, and is not asked."""
    valid_until: datetime | None = None
    """The next instant at which time alone changes the answer (UTC), or at which it must be asked anew. None: never."""
    revision: int = 0
    """The revision of the tenant's facts that the answer rests on. 0: there is none."""
    as_of: datetime | None = None
    """When those facts were read from the database (UTC). None: the outage rule answered, and nothing was held."""
    stale: bool = False
    """True where it could not be asked whether the answer still holds: the server's database, or the server."""
    by_outage_rule: bool = False
    """True where the server could not be asked, and the rule chosen with `on_outage` answered."""

    def __bool__(self) -> bool:
        return self.enabled


@dataclass(frozen=True, slots=True)
class LimitAnswer:
    """What a limit is for the tenant."""

    limit: int | None
    """The limit. None: there is none, and `reason` says why: not each of these is as good as unlimited."""
    reason: str
    """LimitReason without its prefix. "WITHIN": there is a limit. "UNLIMITED" and "NO_PLAN": there is none. "NOT_FOUND":
    nobody knows this limit. "TENANT_DENIED": the tenant is not served. "UNSPECIFIED": the outage rule allows."""
    source: str = "NONE"
    """Who says so: "PLAN", "OVERRIDE" or "NONE"."""
    kind: str = UNSPECIFIED
    """What it counts: "LEVEL", how many there are at a time, or "MONTHLY", how many come in a calendar month."""
    enforcement: str = UNSPECIFIED
    """What the server does about limits: "ON"; "SHADOW" and "OFF": everything is allowed."""
    tenant_reason: str = UNSPECIFIED
    """What became of the tenant, on TENANT_DENIED."""
    valid_until: datetime | None = None
    """When an override ends (UTC). None: time alone changes nothing."""
    revision: int = 0
    as_of: datetime | None = None
    stale: bool = False
    """True where it could not be asked whether the answer still holds."""
    by_outage_rule: bool = False
    """True where the outage rule gave it, because the server was unreachable."""


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """Would so much more be within a limit? It is true or false as `allowed` is. A "yes" reserves nothing."""

    allowed: bool
    """The answer. Always true where `enforcement` is not "ON", but for a tenant that is denied."""
    reason: str
    """Why, or why not: LimitReason without its prefix: "WITHIN", "UNLIMITED", "NO_PLAN", "EXCEEDED", "OVER_LIMIT",
    "NOT_FOUND" or "TENANT_DENIED". Where limits are not enforced, what it would be. "UNSPECIFIED" where the outage rule
    answered and nothing was held."""
    limit: int | None = None
    """The limit. None: there is none, or it is not known."""
    used: int = 0
    """What there is: `observed`."""
    remaining: int | None = None
    """None: without a limit. Negative: there is more than the limit allows, for it was lowered."""
    message: str = ""
    """Where it is not within the limit, a sentence that can be shown to a person. Otherwise empty."""
    source: str = "NONE"
    """As in LimitAnswer."""
    kind: str = UNSPECIFIED
    """As in LimitAnswer."""
    enforcement: str = UNSPECIFIED
    """As in LimitAnswer."""
    tenant_reason: str = UNSPECIFIED
    """As in LimitAnswer."""
    plan_slugs: tuple[str, ...] = ()
    """Where the server was asked, and it is not within the limit: the slugs of the plans on sale whose limit would do,
    cheapest first."""
    valid_until: datetime | None = None
    """As in LimitAnswer."""
    revision: int = 0
    as_of: datetime | None = None
    stale: bool = False
    """True where it could not be asked whether the answer still holds."""
    by_outage_rule: bool = False
    """True where the server could not be asked, and the rule chosen with `on_outage` answered."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Reservation:
    """Was so much of a limit taken, and what does the counter say afterwards? It is true or false as `granted` is."""

    granted: bool
    """The answer. Always true where `enforcement` is not "ON", unless the tenant or the module is denied, or there is no
    such limit."""
    amount: int
    """How much was taken: less than was asked for with `partial` only; 0 where it is not granted."""
    repeated: bool
    """The key was here before: this is what it was told then, and nothing more was taken. So it is too where an answer
    was lost, and the library has asked again."""
    reason: str
    """Why it is not granted; else how the counter stands to the limit, or would if that were enforced: LimitReason
    without its prefix, "WITHIN", "UNLIMITED", "NO_PLAN", "EXCEEDED", "OVER_LIMIT", "NOT_FOUND", "TENANT_DENIED" or
    "MODULE_DENIED"."""
    message: str = ""
    """Where it is not within the limit, a sentence that can be shown to a person. Otherwise empty."""
    used: int = 0
    """What is used, without what is held."""
    held: int = 0
    """What is held, and returns by itself."""
    limit: int | None = None
    """The limit. None: there is none."""
    remaining: int | None = None
    """What is left beside what is used and held. None: without a limit. Negative: there is more than it allows."""
    resets_at: datetime | None = None
    """When the month ends (UTC), and another counter begins at nothing. None: a level."""
    plan_slugs: tuple[str, ...] = ()
    """Where it is not within the limit, the slugs of the plans on sale whose limit would do, cheapest first."""
    enforcement: str = UNSPECIFIED
    """As in LimitAnswer."""
    source: str = "NONE"
    """As in LimitAnswer."""
    kind: str = UNSPECIFIED
    """As in LimitAnswer."""
    denial_reason: str = UNSPECIFIED
    """What became of the tenant, on TENANT_DENIED; of the module, on MODULE_DENIED."""
    by_outage_rule: bool = False
    """True where the server could not be asked, and the meter's rule (`usage_outage`) granted it: nobody has counted it
    yet, and all of the counter is unknown."""

    def __bool__(self) -> bool:
        return self.granted

    @property
    def word(self) -> str:
        """The reason for programs: that of the tenant or the module, where it is denied."""
        return self.denial_reason if self.reason in ("TENANT_DENIED", "MODULE_DENIED") else self.reason


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was put right of a level, in all ranges together. What an answer that was lost has put right is not
    counted."""

    counted: int = 0
    """How many were not counted, and are now."""
    released: int = 0
    """How many were counted, and are not there any more."""
    used: int = 0
    """What is used of the level afterwards."""
    reason: str = UNSPECIFIED
    """How the level stands to its limit afterwards. "TENANT_DENIED" and "NOT_FOUND": there is no such tenant or limit,
    and nothing was put right."""


@dataclass(frozen=True, slots=True)
class LeasedModule:
    """A module that a lease was asked for."""

    code: str
    """As it was asked for."""
    granted: bool
    """Is it in the lease?"""
    reason: str
    """Why, or why not: as of an answer."""
    message: str = ""
    """On a denial, a sentence that can be shown to a person."""
    until: datetime | None = None
    """Until when the lease grants it; None: it does not."""


@dataclass(frozen=True, slots=True)
class IssuedLease:
    """A lease that was signed: see `entitlement_client.signed_lease` for who verifies it."""

    token: str
    """The lease, to be handed on as it is. Whoever has it can show it."""
    issued_at: datetime
    expires_at: datetime
    """When it ends: perhaps before what was asked for."""
    modules: tuple[LeasedModule, ...] = ()
    """The modules that were asked for."""
    revision: int = 0
    """The revision of the facts that it rests on; 0: the server does not count."""
    stale: bool = False
    """The server's database could not be asked: the lease ends the earlier."""

    def __repr__(self) -> str:
        granted = [module.code for module in self.modules if module.granted]
        return f"IssuedLease(expires_at={self.expires_at.isoformat()}, granted={granted})"
