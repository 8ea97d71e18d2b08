"""What each operation does, written once for both clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import _wire as wire
from ..answers import Answer, Authorized, EnabledModules, Resolved
from ..errors import EntitlementsUnavailableError, Failure, ModuleDeniedError
from .ask import ask
from .core import Core
from .effects import Background, Join, Program
from .held import Flight, HeldResolved, Record, TenantList
from .resolved import Key, key_of
from .terms import Terms

pb = wire.pb


def check(core: Core, tenant: str, module: str, min_revision: int) -> Program[Answer]:
    """The list grants, or else the server is asked. Raises RequestRefusedError."""
    held = core.held(tenant, module, core.clock.wall(), core.clock.mono(), min_revision)
    if held is not None:
        return held
    core.count("misses")
    granted = core.grant_in_outage(tenant, module, min_revision)
    if granted is not None:
        yield from find_out(core, partial(tenant_list, core, tenant, min_revision))
        return granted
    listed = yield from tenant_list(core, tenant, min_revision)
    if isinstance(listed, TenantList):
        granted = listed.granted(module, core.clock.wall())
        if granted is not None:
            return granted
    elif listed.is_outage:
        return core.by_rule(tenant, module, min_revision)
    elif listed.code != "NOT_FOUND":
        raise listed.error()
    # The list never denies, and of an unknown tenant there is none: the server knows the reason and the sentence.
    answer = yield from _decision(core, tenant, module, min_revision)
    if isinstance(answer, Answer):
        return answer
    if answer.is_outage:
        return core.by_rule(tenant, module, min_revision)
    raise answer.error()


def require(core: Core, tenant: str, module: str, min_revision: int) -> Program[Answer]:
    return demand((yield from check(core, tenant, module, min_revision)))


def demand(answer: Answer) -> Answer:
    """The answer, if it is a yes. Raises ModuleDeniedError, or EntitlementsUnavailableError where nobody knows."""
    if answer.allowed:
        return answer
    if answer.by_outage_rule:
        raise EntitlementsUnavailableError(answer.message)
    raise ModuleDeniedError(answer)


def check_any(core: Core, tenant: str, modules: Sequence[str], min_revision: int) -> Program[Answer]:
    """A grant if there is one; else the outage rule's denial if there is one, for nobody knows; else the first denial."""
    for module in modules:
        held = core.held(tenant, module, core.clock.wall(), core.clock.mono(), min_revision)
        if held:
            return held
    return (yield from _first_allowed(core, tenant, modules, min_revision))[1]


def _first_allowed(core: Core, tenant: str, modules: Sequence[str], min_revision: int) -> Program[tuple[str, Answer]]:
    denials: list[tuple[str, Answer]] = []
    for module in _some(modules):
        answer = yield from check(core, tenant, module, min_revision)
        if answer.allowed:
            return module, answer
        denials.append((module, answer))
    unknown = [denial for denial in denials if denial[1].by_outage_rule]
    return (unknown or denials)[0]


def check_all(core: Core, tenant: str, modules: Sequence[str], min_revision: int) -> Program[Answer]:
    """A denial of the server if there is one, else one of the outage rule; else the grant that ends first."""
    answers: list[Answer] = []
    for module in _some(modules):
        answer = yield from check(core, tenant, module, min_revision)
        if not answer.allowed and not answer.by_outage_rule:
            return answer
        answers.append(answer)
    unknown = [answer for answer in answers if not answer.allowed]
    if unknown:
        return unknown[0]
    ending = [answer for answer in answers if answer.valid_until is not None]
    return min(ending, key=lambda answer: str(answer.valid_until), default=answers[0])


def _some(modules: Sequence[str]) -> Sequence[str]:
    if isinstance(modules, str) or not modules:
        raise ValueError("modules: a sequence of at least one code, not a string")
    return modules


def enabled_modules(core: Core, tenant: str, min_revision: int) -> Program[EnabledModules]:
    """From the list, at this instant. Raises EntitlementsUnavailableError, RequestRefusedError."""
    in_outage = core.list_by_rule(tenant, min_revision, wire.to_module) if core.is_outage_known() else None
    if in_outage is not None:
        yield from find_out(core, partial(tenant_list, core, tenant, min_revision))
        return in_outage
    listed = yield from tenant_list(core, tenant, min_revision)
    if isinstance(listed, TenantList):
        return listed.enabled(core.clock.wall(), wire.to_module)
    by_rule = core.list_by_rule(tenant, min_revision, wire.to_module) if listed.is_outage else None
    if by_rule is None:
        raise listed.error()
    return by_rule


def tenant_list(core: Core, tenant: str, min_revision: int) -> Program[TenantList | Failure]:
    """The tenant's list: held and good, or asked for once for all who wait."""
    good = core.good_list(tenant, min_revision)
    if good is not None:
        return good
    record, flight, leads, wanted = core.board(tenant, "list", min_revision)
    program = partial(_fetch_list, core, tenant, record, flight, wanted)
    result: TenantList | Failure = yield join(core, flight, leads, program, tenant)
    return result


def _fetch_list(core: Core, tenant: str, record: Record, flight: Flight, wanted: int) -> Program[TenantList | Failure]:
    held = core.good_list(tenant, wanted)
    if held is not None:
        # Another flight landed between the look and this one.
        return held
    asked, stream = core.begin()
    request = pb.ListEnabledModulesRequest(
        tenant_id=tenant, min_revision=wanted or None, include_upcoming=True, include_features=True
    )
    reply = yield from ask(core, "ListEnabledModules", request, record, wanted)
    if isinstance(reply, Failure):
        return reply
    answer = wire.to_list(reply, asked=asked, answered=core.clock.mono(), stream=stream)
    if isinstance(answer.terms, Terms):
        core.enforcement = answer.terms.enforcement
    core.keep_list(tenant, record, flight, answer, reply.freshness.catalogue_revision)
    return answer


def _decision(core: Core, tenant: str, module: str, min_revision: int) -> Program[Answer | Failure]:
    record, flight, leads, wanted = core.board(tenant, ("module", module), min_revision)
    program = partial(_fetch_decision, core, tenant, module, record, flight, wanted)
    result: Answer | Failure = yield join(core, flight, leads, program, tenant)
    return result


def _fetch_decision(
    core: Core, tenant: str, module: str, record: Record, flight: Flight, wanted: int
) -> Program[Answer | Failure]:
    held = core.held(tenant, module, core.clock.wall(), core.clock.mono(), wanted)
    if held is not None:
        return held
    asked, stream = core.begin()
    request = pb.CheckModuleRequest(tenant_id=tenant, module_code=module, min_revision=wanted or None)
    reply = yield from ask(core, "CheckModule", request, record, wanted)
    if isinstance(reply, Failure):
        return reply
    answer = wire.to_answer(reply)
    if not answer.allowed:
        denial = wire.to_denial(reply, answer, asked, stream)
        core.keep_denial(tenant, record, flight, module, denial, reply.freshness.catalogue_revision)
    return answer


def resolve(core: Core, tenant_id: str, host: str, bearer_token: str) -> Program[Resolved]:
    """Who it is where that is not held: from the server, or the outage rule. Raises RequestRefusedError,
    EntitlementsUnavailableError."""
    core.count("resolve_misses")
    key = key_of(tenant_id, host, bearer_token)
    request = pb.ResolveTenantRequest(tenant_id=tenant_id, host=host, bearer_token=bearer_token)
    in_outage = yield from _resolved_in_outage(core, key, request)
    if in_outage is not None:
        return in_outage
    result = yield from _resolved(core, key, request)
    if isinstance(result, Failure):
        return _unresolved(core, key, result)
    return result


def _resolved_in_outage(core: Core, key: Key, request: pb.ResolveTenantRequest) -> Program[Resolved | None]:
    """Who it is by the outage rule, while an outage is known: nobody waits who need not."""
    by_rule = core.resolved_by_rule(key) if core.is_outage_known() else None
    if by_rule is not None:
        yield from find_out(core, partial(_resolved, core, key, request))
    return by_rule


def _resolved(core: Core, key: Key, request: pb.ResolveTenantRequest) -> Program[Resolved | Failure]:
    flight, leads = core.board_unnamed(key)
    result: Resolved | Failure = yield join(core, flight, leads, partial(_fetch_resolved, core, key, flight, request))
    return result


def _unresolved(core: Core, key: Key, failure: Failure) -> Resolved:
    """The server has not said who it is: by the outage rule, where it did not answer. Raises what it said otherwise."""
    if failure.is_outage:
        by_rule = core.resolved_by_rule(key)
        if by_rule is not None:
            return by_rule
    raise failure.error()


def find_out(core: Core, question: Callable[[], Program[Any]]) -> Program[None]:
    """Asks in the background whether the server is back, if nobody does."""
    if core.begin_probe():
        yield Background(partial(_probe, core, question), core.end_probe)


def _probe(core: Core, question: Callable[[], Program[Any]]) -> Program[None]:
    try:
        yield from question()
    finally:
        core.end_probe()


def _fetch_resolved(
    core: Core, key: Key, flight: Flight, request: pb.ResolveTenantRequest
) -> Program[Resolved | Failure]:
    asked, stream = core.begin()
    reply = yield from ask(core, "ResolveTenant", request, who=key)
    if isinstance(reply, Failure):
        return reply
    return _keep_resolved(core, flight, key, wire.to_resolved(reply, asked, core.clock.mono(), stream))


def _keep_resolved(core: Core, flight: Flight, key: Key, answer: HeldResolved) -> Resolved:
    core.keep_resolved(flight, key, answer)
    return answer.resolved


def authorize(core: Core, tenant_id: str, host: str, bearer_token: str, modules: Sequence[str]) -> Program[Authorized]:
    """Resolve and check; in one round trip where the tenant is not held. Raises what `resolve` does."""
    codes = tuple(_some(modules))
    key = key_of(tenant_id, host, bearer_token)
    held = core.resolved.get(tenant_id, host, bearer_token)
    if held is not None:
        return (yield from _authorized(core, held, codes))
    who = pb.ResolveTenantRequest(tenant_id=tenant_id, host=host, bearer_token=bearer_token)
    in_outage = yield from _resolved_in_outage(core, key, who)
    if in_outage is not None:
        return (yield from _authorized(core, in_outage, codes))
    flight, leads = core.board_unnamed((key, codes))
    request = pb.AuthorizeRequest(tenant_id=tenant_id, host=host, bearer_token=bearer_token, any_of_module_codes=codes)
    program = partial(_fetch_authorized, core, key, flight, request)
    result: Authorized | Failure = yield join(core, flight, leads, program)
    if isinstance(result, Failure):
        return (yield from _authorized(core, _unresolved(core, key, result), codes))
    return result


def _authorized(core: Core, resolved: Resolved, modules: Sequence[str]) -> Program[Authorized]:
    module, answer = yield from _first_allowed(core, resolved.tenant.id, modules, 0)
    return Authorized(resolved, module, answer)


def _fetch_authorized(
    core: Core, key: Key, flight: Flight, request: pb.AuthorizeRequest
) -> Program[Authorized | Failure]:
    asked, stream = core.begin()
    reply = yield from ask(core, "Authorize", request, who=key)
    if isinstance(reply, Failure):
        return reply
    resolved = _keep_resolved(core, flight, key, wire.to_resolved(reply, asked, core.clock.mono(), stream))
    return Authorized(resolved, reply.decision.module_code, wire.decision_answer(reply.decision, reply.freshness))


def join(core: Core, flight: Flight, leads: bool, program: Callable[[], Program[Any]], tenant: str = "") -> Join:
    """Waits for the answer of a flight, and runs its program where it is this one's to lead."""
    return Join(flight, leads, program, partial(core.land, tenant), core.settings.deadline + 1.0)
