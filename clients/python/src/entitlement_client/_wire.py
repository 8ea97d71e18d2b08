"""Between the wire and our words."""

from __future__ import annotations

from collections.abc import Iterable
from sys import intern
from typing import Any

from google.protobuf.duration_pb2 import Duration

from ._core.core import Core
from ._core.held import ALWAYS, Denial, Grant, HeldResolved, SettlingStream, Stream, TenantList
from ._proto import decision_pb2, entitlement_service_pb2, tenant_pb2
from ._wire_terms import take_terms
from ._wire_words import decision_reason, end_of, instant_of, ns, word
from .answers import Answer, EnabledModule, Resolved, Tenant
from .clock import NS
from .errors import RequestRefusedError

pb = entitlement_service_pb2

WATCH = pb.WatchChangesRequest(announce_end=True, heartbeat_interval=Duration(seconds=1))
"""Of a server that is gone nobody tells, so heartbeats come often."""

GOOD_LAG = 10 * NS
"""A heartbeat with a lag below this is a good one."""


def to_list(
    response: pb.ListEnabledModulesResponse, *, asked: int, answered: int, stream: Stream | SettlingStream
) -> TenantList:
    """A list to hold. `asked` and `answered`: monotonic, ns; `stream`: the one that there was when it was asked for."""
    freshness = response.freshness
    answers: dict[int, Answer] = {}
    terms = take_terms(response)
    return TenantList(
        grants={intern(entry.code): _grant(entry, freshness, answers) for entry in response.modules},
        tenant_status=word(tenant_pb2.TenantStatus, response.tenant_status, "TENANT_STATUS_"),
        revision=freshness.revision,
        as_of=instant_of(freshness, "as_of"),
        valid_until=end_of(freshness),
        stale=freshness.stale,
        asked=asked,
        kept_until=asked + ns(freshness.max_age),
        answered=answered,
        stream=Stream(stream.era) if freshness.stale else stream,
        terms=terms,
    )


def _grant(entry: pb.EnabledModule, freshness: decision_pb2.Freshness, answers: dict[int, Answer]) -> Grant:
    """`answers`: those of the list, by their ends. Most modules of a tenant end together."""
    until = end_of(entry)
    answer = answers.get(until)
    if answer is None:
        answer = answers[until] = Answer(
            allowed=True,
            reason="ENABLED",
            valid_until=instant_of(entry, "valid_until"),
            revision=freshness.revision,
            as_of=instant_of(freshness, "as_of"),
            stale=freshness.stale,
        )
    starts = ns(entry.starts_at) if entry.HasField("starts_at") else ALWAYS
    return Grant(starts, until, answer, entry.SerializeToString())


def to_module(entry_as_it_came: bytes) -> EnabledModule:
    """One of a list, from the entry of its grant."""
    entry = pb.EnabledModule.FromString(entry_as_it_came)
    return EnabledModule(
        code=entry.code,
        name=entry.name,
        category=entry.category,
        display_order=entry.display_order,
        is_base_module=entry.is_base_module,
        is_trial=entry.is_trial,
        starts_at=instant_of(entry, "starts_at"),
        expires_at=instant_of(entry, "expires_at"),
        trial_ends_at=instant_of(entry, "trial_ends_at"),
        valid_until=instant_of(entry, "valid_until"),
        sections=tuple(entry.sections),
        frontend_routes=tuple(entry.frontend_routes),
    )


def to_answer(response: pb.CheckModuleResponse) -> Answer:
    return _answer(response, response.freshness, response.freshness)


def decision_answer(decision: decision_pb2.ModuleDecision, freshness: decision_pb2.Freshness) -> Answer:
    return _answer(decision, decision, freshness)


def _answer(said: Any, timed: Any, freshness: decision_pb2.Freshness) -> Answer:
    return Answer(
        allowed=said.allowed,
        reason=decision_reason(said.reason),
        message=said.message,
        plan_slugs=tuple(said.plan_slugs),
        valid_until=instant_of(timed, "valid_until"),
        revision=freshness.revision,
        as_of=instant_of(freshness, "as_of"),
        stale=freshness.stale,
    )


def to_denial(response: pb.CheckModuleResponse, answer: Answer, asked: int, stream: Stream | SettlingStream) -> Denial:
    freshness = response.freshness
    return Denial(answer, asked, asked + ns(freshness.max_age), end_of(freshness), stream)


def to_resolved(
    response: pb.ResolveTenantResponse | pb.AuthorizeResponse, asked: int, answered: int, stream: Stream | SettlingStream
) -> HeldResolved:
    freshness = response.freshness
    resolved = Resolved(
        tenant=_tenant(response.tenant),
        source=word(tenant_pb2.TenantSource, response.source, "TENANT_SOURCE_"),
        verified=response.verified,
        valid_until=instant_of(freshness, "valid_until"),
        revision=freshness.revision,
        as_of=instant_of(freshness, "as_of"),
        stale=freshness.stale,
    )
    return HeldResolved(
        resolved=resolved,
        asked=asked,
        kept_until=asked + ns(freshness.max_age),
        valid_until=end_of(freshness),
        answered=answered,
        stream=Stream(stream.era) if freshness.stale else stream,
    )


def _tenant(tenant: tenant_pb2.Tenant) -> Tenant:
    return Tenant(
        id=tenant.id,
        name=tenant.name,
        subdomain=tenant.subdomain,
        database_schema=tenant.database_schema,
        status=word(tenant_pb2.TenantStatus, tenant.status, "TENANT_STATUS_"),
        plan_slug=tenant.plan_slug,
    )


def is_good(heartbeat: Any) -> bool:
    """Does its server hear of changes?"""
    return not heartbeat.unproven and ns(heartbeat.lag) < GOOD_LAG


def tell(core: Core, event: pb.WatchChangesResponse) -> None:
    """Hands a stream's event to the core."""
    kind = event.WhichOneof("event")
    if kind == "opened":
        core.opened(ns(event.opened.heartbeat_interval))
    elif kind == "heartbeat":
        core.heartbeat(is_good(event.heartbeat))
    elif kind == "tenant_changed":
        core.tenant_changed(event.tenant_changed.tenant_id, event.tenant_changed.revision)
    elif kind == "transition":
        core.tenant_changed(event.transition.tenant_id, 0)
    elif kind == "catalogue_changed":
        core.catalogue_changed(event.catalogue_changed.revision)
    else:
        # One that is not known comes from a newer server, and counts as a reset.
        core.reset()


Headers = Any
"""What a request carries: a mapping, or pairs, of text or bytes, in any case."""


_NAMES = ("x-tenant-id", "host", "authorization")
_PLACES = {name: place for place, text in enumerate(_NAMES) for name in (text, text.encode())}
_AUTHORIZATION = 2


def carried(headers: Headers, with_token: bool = True) -> tuple[str, str, str]:
    """The values of X-Tenant-ID and Host, and of Authorization where the scheme is Bearer: other schemes, such as Basic,
    are between a service and its caller. Raises RequestRefusedError where one comes twice: nobody chooses between them.

    `with_token`: False: Authorization is not looked at.
    """
    found: list[str | None] = [None, None, None]
    pairs: Iterable[tuple[Any, Any]] = headers.items() if hasattr(headers, "items") else headers
    for name, value in pairs:
        place = _PLACES.get(name)
        if place is None:
            place = _PLACES.get(name.lower())
        if place is None or (place == _AUTHORIZATION and not with_token):
            continue
        text = _text(value)
        if found[place] is not None or not text.isascii():
            raise RequestRefusedError("INVALID_ARGUMENT", f"The header {_NAMES[place]} cannot be read.", "INVALID_FIELD")
        found[place] = text
    tenant_id, host, authorization = found
    is_bearer = authorization is not None and authorization[:7].lower() == "bearer "
    return tenant_id or "", host or "", (authorization or "") if is_bearer else ""


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
