"""Features and limits: what each operation does, written once for both clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from .. import _wire as wire
from .. import _wire_terms as wire_terms
from ..answers import UNSPECIFIED, FeatureAnswer, LimitAnswer, LimitDecision
from ..errors import (
    EntitlementsUnavailableError,
    Failure,
    FeatureOffError,
    LimitExceededError,
    RequestRefusedError,
)
from .ask import ask
from .core import Core
from .effects import Program
from .held import Flight, Record, TenantList
from .programs import find_out, join, tenant_list
from .sentences import UNKNOWN, denial_of_tenant
from .terms import decide, feature_of, limit_of, of_denied_module, refuse_impossible

pb = wire.pb

T = TypeVar("T", FeatureAnswer, LimitAnswer, LimitDecision)

TOO_OLD = "this entitlementd is older than features and limits, and does not know them"

UNKNOWN_TENANT = LimitAnswer(None, "TENANT_DENIED", tenant_reason="TENANT_NOT_FOUND")


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    """What is answered from the tenant's list, and where that does not say, by the server."""

    tenant: str
    min_revision: int
    look: Callable[[TenantList], T | None]
    """What a list says now. None: nothing."""
    ask: Callable[[], Program[T | Failure]]
    allowed: T
    """What the outage rule answers that allows."""
    denied: T | None
    """What the others answer where nothing is held. None: they raise."""
    unknown: T | None = None
    """What is answered of a tenant that does not exist. None: the server is asked."""


def feature_held(core: Core, tenant: str, module: str, key: str, min_revision: int = 0) -> FeatureAnswer | None:
    """The answer that is held and good, if there is one."""
    held = core.good_list(tenant, min_revision)
    answer = feature_of(held, module, key, core.clock.wall()) if held is not None else None
    if answer is None:
        denial = core.held_denial(tenant, module, min_revision)
        answer = of_denied_module(denial) if denial is not None else None
    if answer is not None:
        core.hits += 1
    return answer


def feature(core: Core, tenant: str, module: str, key: str, min_revision: int) -> Program[FeatureAnswer]:
    """The list says so where it grants the module, or else the server is asked. Raises RequestRefusedError."""
    held = feature_held(core, tenant, module, key, min_revision)
    if held is not None:
        return held
    question = _Question(
        tenant,
        min_revision,
        look=lambda listed: feature_of(listed, module, key, core.clock.wall()),
        ask=lambda: _asked_feature(core, tenant, module, key, min_revision),
        allowed=FeatureAnswer(True, UNSPECIFIED, stale=True, by_outage_rule=True),
        denied=FeatureAnswer(False, UNSPECIFIED, message=UNKNOWN, stale=True, by_outage_rule=True),
    )
    return (yield from _answer(core, question))


def demand_feature(answer: FeatureAnswer) -> FeatureAnswer:
    """The answer, if it is on. Raises FeatureOffError, or EntitlementsUnavailableError where nobody knows."""
    if answer.enabled:
        return answer
    if not is_known(answer):
        raise EntitlementsUnavailableError(answer.message)
    raise FeatureOffError(answer)


def limit(core: Core, tenant: str, key: str, min_revision: int) -> Program[LimitAnswer]:
    """From the list. Raises RequestRefusedError, and EntitlementsUnavailableError where the outage rule neither allows
    nor has a list to give."""
    held = core.good_list(tenant, min_revision)
    said = limit_of(held, key, core.clock.wall()) if held is not None else None
    if said is not None:
        core.hits += 1
        return said
    question: _Question[LimitAnswer] = _Question(
        tenant,
        min_revision,
        look=lambda listed: limit_of(listed, key, core.clock.wall()),
        ask=lambda: _asked_for_limit(core, tenant, key, min_revision),
        allowed=LimitAnswer(
            None, UNSPECIFIED, UNSPECIFIED, enforcement=core.enforcement, stale=True, by_outage_rule=True
        ),
        denied=None,
        unknown=UNKNOWN_TENANT,
    )
    return (yield from _answer(core, question))


def within_limit(
    core: Core, tenant: str, key: str, observed: int, amount: int, min_revision: int
) -> Program[LimitDecision]:
    """Decided by the list. Raises ValueError, RequestRefusedError."""
    refuse_impossible(observed, amount)

    def look(listed: TenantList) -> LimitDecision | None:
        said = limit_of(listed, key, core.clock.wall())
        return decide(said, key, observed, amount) if said is not None else None

    held = core.good_list(tenant, min_revision)
    decision = look(held) if held is not None else None
    if decision is not None:
        core.hits += 1
        return decision
    by_rule: dict[str, Any] = {"used": observed, "enforcement": core.enforcement, "stale": True, "by_outage_rule": True}
    allowed = LimitDecision(True, UNSPECIFIED, **by_rule)
    # No outage refuses what the server, when it was last heard, did not refuse either.
    last = core.last_list(tenant)
    is_denied = last is not None and denial_of_tenant(last.tenant_status) is not None
    refuses = is_denied or core.enforcement in ("ON", UNSPECIFIED)
    question = _Question(
        tenant,
        min_revision,
        look=look,
        ask=lambda: _asked_limit(core, tenant, key, observed, amount, min_revision),
        allowed=allowed,
        denied=LimitDecision(False, UNSPECIFIED, message=UNKNOWN, **by_rule) if refuses else allowed,
        unknown=decide(UNKNOWN_TENANT, key, observed, amount),
    )
    return (yield from _answer(core, question))


def demand_limit(decision: LimitDecision) -> LimitDecision:
    """The decision, if it is a yes. Raises LimitExceededError, or EntitlementsUnavailableError where nobody knows."""
    if decision.allowed:
        return decision
    if not is_known(decision):
        raise EntitlementsUnavailableError(decision.message)
    raise LimitExceededError(decision)


def is_known(answer: FeatureAnswer | LimitDecision) -> bool:
    """Is it what the server has said, if perhaps some time ago? A list that is held says what is off, too."""
    return not (answer.by_outage_rule and answer.reason == UNSPECIFIED)


def _answer(core: Core, question: _Question[T]) -> Program[T]:
    core.count("misses")
    in_outage = _stale(core, question) if core.is_outage_known() else None
    if in_outage is not None:
        yield from find_out(core, partial(tenant_list, core, question.tenant, question.min_revision))
        return in_outage
    listed = yield from tenant_list(core, question.tenant, question.min_revision)
    if isinstance(listed, TenantList):
        said = question.look(listed)
        if said is not None:
            return said
    elif listed.is_outage:
        return _by_rule(core, question, listed)
    elif listed.code != "NOT_FOUND":
        raise listed.error()
    elif question.unknown is not None and listed.reason == "TENANT_NOT_FOUND":
        return question.unknown
    # The list never denies a module, and of an unknown tenant there is none: the server knows the reason.
    answer = yield from question.ask()
    if not isinstance(answer, Failure):
        return answer
    if answer.is_outage:
        return _by_rule(core, question, answer)
    if answer.code == "UNIMPLEMENTED":
        raise RequestRefusedError(answer.code, TOO_OLD)
    raise answer.error()


def _by_rule(core: Core, question: _Question[T], failure: Failure) -> T:
    """What the outage rule answers. Raises EntitlementsUnavailableError where it has nothing to give."""
    allows = core.rule.kind == "allow"
    stale = None if allows else _stale(core, question)
    if stale is not None:
        return stale
    answer = question.allowed if allows else question.denied
    if answer is None:
        raise failure.error()
    core.count_by_rule()
    return answer


def _stale(core: Core, question: _Question[T]) -> T | None:
    held = core.stale_list(question.tenant, question.min_revision)
    said = question.look(held) if held is not None else None
    if said is None:
        return None
    core.count_by_rule()
    return replace(said, stale=True, by_outage_rule=True)


def _asked_feature(core: Core, tenant: str, module: str, key: str, min_revision: int) -> Program[FeatureAnswer | Failure]:
    record, flight, leads, wanted = core.board(tenant, ("feature", module, key), min_revision)
    program = partial(_fetch_feature, core, tenant, module, key, record, flight, wanted)
    result: FeatureAnswer | Failure = yield join(core, flight, leads, program, tenant)
    return result


def _fetch_feature(
    core: Core, tenant: str, module: str, key: str, record: Record, flight: Flight, wanted: int
) -> Program[FeatureAnswer | Failure]:
    held = feature_held(core, tenant, module, key, wanted)
    if held is not None:
        return held
    asked, stream = core.begin()
    request = pb.CheckFeatureRequest(tenant_id=tenant, module_code=module, feature_key=key, min_revision=wanted or None)
    reply = yield from ask(core, "CheckFeature", request, record, wanted)
    if isinstance(reply, Failure):
        return reply
    answer = wire_terms.to_feature(reply)
    if answer.reason == "MODULE_DENIED":
        # It is one of the module's, whichever feature is asked for next.
        denial = wire_terms.to_module_denial(reply, answer, asked, stream)
        core.keep_denial(tenant, record, flight, module, denial, reply.freshness.catalogue_revision)
    return answer


def _asked_limit(
    core: Core, tenant: str, key: str, observed: int, amount: int, min_revision: int
) -> Program[LimitDecision | Failure]:
    record, flight, leads, wanted = core.board(tenant, ("limit", key, observed, amount), min_revision)
    program = partial(_fetch_limit, core, tenant, key, observed, amount, record, wanted)
    result: LimitDecision | Failure = yield join(core, flight, leads, program, tenant)
    return result


def _asked_for_limit(core: Core, tenant: str, key: str, min_revision: int) -> Program[LimitAnswer | Failure]:
    decision = yield from _asked_limit(core, tenant, key, 0, 0, min_revision)
    return decision if isinstance(decision, Failure) else wire_terms.to_limit(decision)


def _fetch_limit(
    core: Core, tenant: str, key: str, observed: int, amount: int, record: Record, wanted: int
) -> Program[LimitDecision | Failure]:
    request = pb.CheckLimitRequest(
        tenant_id=tenant, limit_key=key, observed=observed, amount=amount, min_revision=wanted or None
    )
    reply = yield from ask(core, "CheckLimit", request, record, wanted)
    return reply if isinstance(reply, Failure) else wire_terms.to_decision(reply)
