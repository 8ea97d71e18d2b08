"""Signed leases, between the wire and our words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ._proto import feature_pb2, lease_service_pb2
from ._wire_words import decision_reason, instant_of
from .answers import IssuedLease, LeasedModule

if TYPE_CHECKING:
    from ._core.issuing import WantedLease

pb = lease_service_pb2


def lease_request(wanted: WantedLease) -> pb.IssueLeaseRequest:
    """ValueError for a span that the wire does not have, and for one code where several belong."""
    if isinstance(wanted.modules, str):
        raise ValueError("modules: a collection of codes, not a string")
    request = pb.IssueLeaseRequest(
        tenant_id=wanted.tenant,
        module_codes=wanted.modules,
        features=[feature_pb2.FeatureName(module_code=module, feature_key=key) for module, key in wanted.features],
        audience=wanted.audience,
        min_revision=wanted.min_revision,
    )
    if wanted.ttl is not None:
        request.ttl.FromTimedelta(wanted.ttl)
    return request


def to_issued(response: pb.IssueLeaseResponse) -> IssuedLease:
    return IssuedLease(
        token=response.lease,
        issued_at=_instant(response, "issued_at"),
        expires_at=_instant(response, "expires_at"),
        modules=tuple(_leased(module) for module in response.modules),
        revision=response.freshness.revision,
        stale=response.freshness.stale,
    )


def _leased(module: pb.LeasedModule) -> LeasedModule:
    return LeasedModule(
        code=module.module_code,
        granted=module.granted,
        reason=decision_reason(module.reason),
        message=module.message,
        until=instant_of(module, "until"),
    )


def _instant(response: Any, name: str) -> datetime:
    at = instant_of(response, name)
    if at is None:
        raise ValueError(f"a lease without {name}")
    return at
