"""Features and limits, between the wire and our words."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from google.protobuf.struct_pb2 import Value

from ._core.held import Denial, SettlingStream, Stream
from ._core.terms import FeatureState, LimitState, Terms, Unpacked
from ._proto import entitlement_service_pb2, feature_pb2
from ._wire_words import decision_reason, end_of, instant_of, ns, word
from .answers import UNSPECIFIED, Answer, FeatureAnswer, Json, LimitAnswer, LimitDecision

pb = entitlement_service_pb2

_shared: WeakValueDictionary[bytes, Terms] = WeakValueDictionary()
"""Those that are held, by how they came."""


def take_terms(response: pb.ListEnabledModulesResponse) -> Terms | None:
    """What the list says of features and limits, which is taken out of it. None: nothing, since its server is older than
    they are, or so much newer that it cannot be read."""
    enforcement = enforcement_of(response.limit_enforcement)
    if enforcement == UNSPECIFIED:
        return None
    rest = pb.ListEnabledModulesResponse(limits=response.limits)
    for entry in response.modules:
        if entry.features:
            rest.modules.add(code=entry.code, features=entry.features)
            entry.ClearField("features")
    key = b"%d:%b" % (response.limit_enforcement, rest.SerializeToString(deterministic=True))
    terms = _shared.get(key)
    if terms is None:
        terms = _shared[key] = Terms(key, _unpack, enforcement)
    return terms


def _unpack(key: bytes) -> Unpacked:
    said = pb.ListEnabledModulesResponse.FromString(key.partition(b":")[2])
    features = {
        entry.code: {
            feature.key: FeatureState(feature.enabled, feature_reason(feature.reason), _value(feature))
            for feature in entry.features
        }
        for entry in said.modules
    }
    return features, {limit.key: _limit(limit) for limit in said.limits}


def _limit(limit: feature_pb2.Limit) -> LimitState:
    number = limit.limit if limit.HasField("limit") else None
    reason = "WITHIN" if number is not None else "NO_PLAN" if limit.no_plan else "UNLIMITED"
    return LimitState(number, reason, source_of(limit.source), kind_of(limit.kind), end_of(limit))


def to_feature(response: pb.CheckFeatureResponse) -> FeatureAnswer:
    said, freshness = response.decision, response.freshness
    return FeatureAnswer(
        enabled=said.enabled,
        reason=feature_reason(said.reason),
        value=_value(said),
        message=said.message,
        module_reason=decision_reason(said.module_reason),
        plan_slugs=tuple(said.plan_slugs),
        valid_until=instant_of(freshness, "valid_until"),
        revision=freshness.revision,
        as_of=instant_of(freshness, "as_of"),
        stale=freshness.stale,
    )


def to_module_denial(
    response: pb.CheckFeatureResponse, said: FeatureAnswer, asked: int, stream: Stream | SettlingStream
) -> Denial:
    """What an answer about a feature of a denied module says of the module."""
    freshness = response.freshness
    answer = Answer(
        allowed=False,
        reason=said.module_reason,
        message=said.message,
        # The plans that were named have the feature as well: others have the module alone.
        valid_until=said.valid_until,
        revision=said.revision,
        as_of=said.as_of,
        stale=said.stale,
    )
    return Denial(answer, asked, asked + ns(freshness.max_age), end_of(freshness), stream)


def to_decision(response: pb.CheckLimitResponse) -> LimitDecision:
    freshness = response.freshness
    return LimitDecision(
        allowed=response.allowed,
        reason=word(feature_pb2.LimitReason, response.reason, "LIMIT_REASON_"),
        limit=response.limit if response.HasField("limit") else None,
        used=response.used,
        remaining=response.remaining if response.HasField("remaining") else None,
        message=response.message,
        source=source_of(response.source),
        kind=kind_of(response.kind),
        enforcement=enforcement_of(response.enforcement),
        tenant_reason=decision_reason(response.tenant_reason),
        plan_slugs=tuple(response.plan_slugs),
        valid_until=instant_of(freshness, "valid_until"),
        revision=freshness.revision,
        as_of=instant_of(freshness, "as_of"),
        stale=freshness.stale,
    )


def to_limit(decision: LimitDecision) -> LimitAnswer:
    """What an answer to the question whether there may be nothing says of the limit itself."""
    return LimitAnswer(
        limit=decision.limit,
        reason=decision.reason,
        source=decision.source,
        kind=decision.kind,
        enforcement=decision.enforcement,
        tenant_reason=decision.tenant_reason,
        valid_until=decision.valid_until,
        revision=decision.revision,
        as_of=decision.as_of,
        stale=decision.stale,
    )


def feature_reason(number: int) -> str:
    return word(feature_pb2.FeatureReason, number, "FEATURE_REASON_")


def source_of(number: int) -> str:
    return word(feature_pb2.LimitSource, number, "LIMIT_SOURCE_")


def kind_of(number: int) -> str:
    return word(feature_pb2.LimitKind, number, "LIMIT_KIND_")


def enforcement_of(number: int) -> str:
    return word(feature_pb2.LimitEnforcement, number, "LIMIT_ENFORCEMENT_")


def _value(said: Any) -> Json:
    return to_json(said.value) if said.HasField("value") else None


def to_json(value: Value) -> Json:
    """As JSON has it. The wire has floats alone: what is whole becomes an int."""
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "list_value":
            return [to_json(item) for item in value.list_value.values]
        case "struct_value":
            return {name: to_json(item) for name, item in value.struct_value.fields.items()}
    return None
