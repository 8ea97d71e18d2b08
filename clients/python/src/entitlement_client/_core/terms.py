"""What a list says of features and limits, and what that comes to. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

from ..answers import UNSPECIFIED, Answer, FeatureAnswer, Json, LimitAnswer, LimitDecision
from ..clock import instant
from . import sentences

if TYPE_CHECKING:
    from .held import Grant, TenantList

ENDLESS = 1 << 70
"""The end of what does not end."""

MOST = (1 << 63) - 1
"""The largest number that can be counted."""

_ALLOW = frozenset({"WITHIN", "UNLIMITED", "NO_PLAN"})
"""The reasons that allow, where limits are enforced."""


class FeatureState(NamedTuple):
    """A feature of a module that is granted."""

    is_on: bool
    reason: str
    value: Json
    """As JSON has it. None: it has none, or is off."""


class LimitState(NamedTuple):
    """A limit of a tenant that is served."""

    limit: int | None
    reason: str
    """Why there is none, or "WITHIN"."""
    source: str
    kind: str
    ends: int
    """When an override ends (wall clock, ns)."""


Unpacked = tuple[Mapping[str, Mapping[str, FeatureState]], Mapping[str, LimitState]]
"""Features by module and key, limits by key."""


class Terms:
    """What a list says of features and limits, without what is the list's own. Tenants of whom the same is said
    share one.

    It stays as it came until somebody asks, so that tenants of whom nobody asks cost next to nothing.
    """

    __slots__ = ("__weakref__", "_packed", "_unpack", "_unpacked", "enforcement")

    def __init__(self, packed: bytes, unpack: Callable[[bytes], Unpacked], enforcement: str) -> None:
        self.enforcement = enforcement
        self._packed = packed
        self._unpack = unpack
        self._unpacked: Unpacked | None = None

    def feature(self, module: str, key: str) -> FeatureState | None:
        return self._all()[0].get(module, {}).get(key)

    def limit(self, key: str) -> LimitState | None:
        return self._all()[1].get(key)

    def _all(self) -> Unpacked:
        unpacked = self._unpacked
        if unpacked is None:
            unpacked = self._unpacked = self._unpack(self._packed)
        return unpacked


class Told:
    """The same of one list, and what was answered by it. It is made when somebody asks."""

    __slots__ = ("features", "limits", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.features: dict[tuple[str, str], FeatureAnswer] = {}
        self.limits: dict[str, LimitAnswer] = {}


def _told(held: TenantList) -> Told | None:
    terms = held.terms
    if terms is not None and not isinstance(terms, Told):
        terms = held.terms = Told(terms)
    return terms


def feature_of(held: TenantList, module: str, key: str, wall: int) -> FeatureAnswer | None:
    """What the list says of a feature at this instant. None: it does not grant the module, or says nothing of features.
    Whether the list is still good is another question."""
    grant = held.grants.get(module)
    told = _told(held)
    if grant is None or told is None or not grant.starts <= wall < grant.until:
        return None
    answer = told.features.get((module, key))
    return answer if answer is not None else _feature(held, told, grant, module, key)


def _feature(held: TenantList, told: Told, grant: Grant, module: str, key: str) -> FeatureAnswer:
    state = told.terms.feature(module, key)
    # All features of the module are listed.
    is_on, reason, value = state or FeatureState(False, "NOT_FOUND", None)
    is_structured = isinstance(value, (dict, list))
    answer = FeatureAnswer(
        enabled=is_on,
        reason=reason,
        # Nobody can change what others are given.
        value=deepcopy(value) if is_structured else value,
        message="" if is_on else sentences.of_feature(reason, module, key),
        module_reason="ENABLED",
        valid_until=grant.answer.valid_until,
        revision=held.revision,
        as_of=held.as_of,
        stale=held.stale,
    )
    if state is not None and not is_structured:
        told.features[module, key] = answer
    return answer


def of_denied_module(denial: Answer) -> FeatureAnswer:
    """Off, for this is what became of the module."""
    return FeatureAnswer(
        enabled=False,
        reason="MODULE_DENIED",
        message=denial.message,
        module_reason=denial.reason,
        # The plans that were named have the module: whether they have the feature, nobody has said.
        valid_until=denial.valid_until,
        revision=denial.revision,
        as_of=denial.as_of,
        stale=denial.stale,
    )


def limit_of(held: TenantList, key: str, wall: int) -> LimitAnswer | None:
    """What the list says of a limit at this instant. None: it says nothing of limits, or an override has ended."""
    told = _told(held)
    if told is None:
        return None
    answer = told.limits.get(key)
    return answer if answer is not None else _limit(held, told, key, wall)


def _limit(held: TenantList, told: Told, key: str, wall: int) -> LimitAnswer | None:
    denial = sentences.denial_of_tenant(held.tenant_status)
    state = told.terms.limit(key) if denial is None else LimitState(None, "TENANT_DENIED", "NONE", UNSPECIFIED, ENDLESS)
    # All limits of the tenant are listed.
    limit, reason, source, kind, ends = state or LimitState(None, "NOT_FOUND", "NONE", UNSPECIFIED, ENDLESS)
    if ends <= wall:
        return None
    answer = LimitAnswer(
        limit=limit,
        reason=reason,
        source=source,
        kind=kind,
        enforcement=told.terms.enforcement,
        tenant_reason=denial or UNSPECIFIED,
        valid_until=instant(ends) if ends < ENDLESS else None,
        revision=held.revision,
        as_of=held.as_of,
        stale=held.stale,
    )
    if state is not None and denial is None and ends == ENDLESS:
        told.limits[key] = answer
    return answer


def decide(answer: LimitAnswer, key: str, observed: int, amount: int) -> LimitDecision:
    """Would so much more be within the limit? By the rules of the server's `check_limit`."""
    limit, reason = answer.limit, answer.reason
    if limit is not None:
        reason = "OVER_LIMIT" if observed > limit else "EXCEEDED" if amount > limit - observed else "WITHIN"
    message = sentences.of_limit(reason, key, limit)
    if reason == "TENANT_DENIED":
        message = sentences.of_decision(answer.tenant_reason, "")
    return LimitDecision(
        allowed=reason in _ALLOW or (answer.enforcement != "ON" and reason != "TENANT_DENIED"),
        reason=reason,
        limit=limit,
        used=observed,
        remaining=None if limit is None else limit - observed,
        message=message,
        source=answer.source,
        kind=answer.kind,
        enforcement=answer.enforcement,
        tenant_reason=answer.tenant_reason,
        valid_until=answer.valid_until,
        revision=answer.revision,
        as_of=answer.as_of,
        stale=answer.stale,
        by_outage_rule=answer.by_outage_rule,
    )


def refuse_impossible(observed: int, amount: int) -> None:
    """ValueError for what nobody can have counted."""
    for name, number in (("observed", observed), ("amount", amount)):
        if not 0 <= number <= MOST:
            raise ValueError(f"{name} has to be a number from 0 to {MOST}, and is {number}")
