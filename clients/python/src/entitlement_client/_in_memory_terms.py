"""What the double answers of features and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from . import _wire as wire
from ._core import sentences, terms
from ._proto import decision_pb2, feature_pb2
from .answers import Json, LimitAnswer

pb = wire.pb


@dataclass
class Feature:
    """What the double says of one feature, as long as the module is granted."""

    is_on: bool
    value: Json = None
    reason: str = "TENANT"
    plan_slugs: tuple[str, ...] = ()

    def put(self, said: Any) -> None:
        """Writes it into a message of a list or of an answer."""
        said.enabled = self.is_on
        said.reason = feature_pb2.FeatureReason.Value(f"FEATURE_REASON_{self.reason}")
        if self.is_on and self.value is not None:
            ParseDict(self.value, said.value)  # type: ignore[arg-type]


@dataclass
class Override:
    """What a tenant has instead of the limit of its plan."""

    limit: int | None
    until: datetime | None = None


@dataclass
class TenantTerms:
    """What there is of one tenant."""

    features: dict[tuple[str, str], Feature] = field(default_factory=dict)
    """By module and key."""
    limits: dict[str, int | None] = field(default_factory=lambda: {"users": None, "transactions_monthly": None})
    overrides: dict[str, Override] = field(default_factory=dict)

    def next_change(self, now: datetime) -> datetime | None:
        """When the first override ends."""
        ends = [own.until for own in self.overrides.values() if own.until is not None and own.until > now]
        return min(ends, default=None)

    def put(self, response: Any, now: datetime, enforcement: str) -> None:
        """Writes all into a list."""
        response.limit_enforcement = feature_pb2.LimitEnforcement.Value(f"LIMIT_ENFORCEMENT_{enforcement}")
        for entry in response.modules:
            for module, key in sorted(self.features):
                if module == entry.code:
                    self.features[module, key].put(entry.features.add(key=key))
        for key in sorted({*self.limits, *self.overrides}):
            limit = self.limit(key, now)
            said = response.limits.add(key=key)
            if limit.limit is not None:
                said.limit = limit.limit
            if limit.valid_until is not None:
                said.valid_until.FromDatetime(limit.valid_until.astimezone(timezone.utc))
            said.source = feature_pb2.LimitSource.Value(f"LIMIT_SOURCE_{limit.source}")
            said.kind = feature_pb2.LimitKind.Value(f"LIMIT_KIND_{limit.kind}")

    def limit(self, key: str, now: datetime, enforcement: str = "ON") -> LimitAnswer:
        """The limit that holds now."""
        kind = "MONTHLY" if key.endswith("_monthly") else "LEVEL"
        own = self.overrides.get(key)
        if own is not None and (own.until is None or now < own.until):
            return self._limit(own.limit, "OVERRIDE", kind, enforcement, own.until)
        if key not in self.limits and own is None:
            return LimitAnswer(None, "NOT_FOUND", enforcement=enforcement)
        planned = self.limits.get(key)
        return self._limit(planned, "NONE" if planned is None else "PLAN", kind, enforcement, None)

    @staticmethod
    def _limit(number: int | None, source: str, kind: str, enforcement: str, until: datetime | None) -> LimitAnswer:
        reason = "UNLIMITED" if number is None else "WITHIN"
        return LimitAnswer(number, reason, source, kind, enforcement, valid_until=until)


def feature_response(request: Any, tenant: TenantTerms, module_reason: str) -> Any:
    """CheckFeature, without its freshness."""
    module, key = request.module_code, request.feature_key
    response: Any = pb.CheckFeatureResponse()
    said = response.decision
    said.module_code, said.feature_key = module, key
    said.module_reason = decision_pb2.DecisionReason.Value(f"DECISION_REASON_{module_reason}")
    if module_reason != "ENABLED":
        said.reason = feature_pb2.FeatureReason.FEATURE_REASON_MODULE_DENIED
        said.message = sentences.of_decision(module_reason, module)
        return response
    feature = tenant.features.get((module, key), Feature(False, reason="NOT_FOUND"))
    feature.put(said)
    if not feature.is_on:
        said.message = sentences.of_feature(feature.reason, module, key)
        said.plan_slugs.extend(feature.plan_slugs)
    return response


def limit_response(request: Any, limit: LimitAnswer) -> Any:
    """CheckLimit, without its freshness."""
    decided = terms.decide(limit, request.limit_key, request.observed, request.amount)
    return pb.CheckLimitResponse(
        allowed=decided.allowed,
        message=decided.message,
        limit=decided.limit,
        used=decided.used,
        remaining=decided.remaining,
        reason=f"LIMIT_REASON_{decided.reason}",
        source=f"LIMIT_SOURCE_{decided.source}",
        kind=f"LIMIT_KIND_{decided.kind}",
        enforcement=f"LIMIT_ENFORCEMENT_{decided.enforcement}",
        tenant_reason=f"DECISION_REASON_{decided.tenant_reason}",
    )


def refuse_value(value: Json) -> None:
    """ValueError for what no flag can be set to."""
    try:
        ParseDict(value, Value())  # type: ignore[arg-type]
    except Exception as error:
        raise ValueError(f"a feature's value is JSON, and not {value!r}") from error
