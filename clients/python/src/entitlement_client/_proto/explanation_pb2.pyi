import datetime

from . import decision_pb2 as _decision_pb2
from . import feature_pb2 as _feature_pb2
from . import feature_terms_pb2 as _feature_terms_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RuleOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_OUTCOME_UNSPECIFIED: _ClassVar[RuleOutcome]
    RULE_OUTCOME_PASSED: _ClassVar[RuleOutcome]
    RULE_OUTCOME_DECIDES: _ClassVar[RuleOutcome]
    RULE_OUTCOME_NOT_REACHED: _ClassVar[RuleOutcome]
RULE_OUTCOME_UNSPECIFIED: RuleOutcome
RULE_OUTCOME_PASSED: RuleOutcome
RULE_OUTCOME_DECIDES: RuleOutcome
RULE_OUTCOME_NOT_REACHED: RuleOutcome

class Rule(_message.Message):
    __slots__ = ("order", "condition", "outcome", "found")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    order: int
    condition: str
    outcome: RuleOutcome
    found: str
    def __init__(self, order: _Optional[int] = ..., condition: _Optional[str] = ..., outcome: _Optional[_Union[RuleOutcome, str]] = ..., found: _Optional[str] = ...) -> None: ...

class TenantFacts(_message.Message):
    __slots__ = ("id", "name", "subdomain", "database_schema", "status", "plan_slug")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBDOMAIN_FIELD_NUMBER: _ClassVar[int]
    DATABASE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    subdomain: str
    database_schema: str
    status: str
    plan_slug: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., subdomain: _Optional[str] = ..., database_schema: _Optional[str] = ..., status: _Optional[str] = ..., plan_slug: _Optional[str] = ...) -> None: ...

class ModuleFacts(_message.Message):
    __slots__ = ("code", "name", "is_active")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    is_active: bool
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., is_active: bool = ...) -> None: ...

class SubscriptionFacts(_message.Message):
    __slots__ = ("id", "status", "starts_at", "expires_at", "is_trial", "trial_ends_at", "reason", "decides")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    IS_TRIAL_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDES_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: str
    starts_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    is_trial: bool
    trial_ends_at: _timestamp_pb2.Timestamp
    reason: _decision_pb2.DecisionReason
    decides: bool
    def __init__(self, id: _Optional[str] = ..., status: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_trial: bool = ..., trial_ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., decides: bool = ...) -> None: ...

class CachedAnswer(_message.Message):
    __slots__ = ("held", "revision", "as_of", "decision", "feature", "limit")
    HELD_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    held: bool
    revision: int
    as_of: _timestamp_pb2.Timestamp
    decision: _decision_pb2.ModuleDecision
    feature: _feature_pb2.FeatureDecision
    limit: _feature_pb2.LimitDecision
    def __init__(self, held: bool = ..., revision: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decision: _Optional[_Union[_decision_pb2.ModuleDecision, _Mapping]] = ..., feature: _Optional[_Union[_feature_pb2.FeatureDecision, _Mapping]] = ..., limit: _Optional[_Union[_feature_pb2.LimitDecision, _Mapping]] = ...) -> None: ...

class FlagFacts(_message.Message):
    __slots__ = ("id", "module_code", "is_enabled", "config", "updated_at", "decides")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    IS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDES_FIELD_NUMBER: _ClassVar[int]
    id: str
    module_code: str
    is_enabled: bool
    config: str
    updated_at: _timestamp_pb2.Timestamp
    decides: bool
    def __init__(self, id: _Optional[str] = ..., module_code: _Optional[str] = ..., is_enabled: bool = ..., config: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decides: bool = ...) -> None: ...

class FeatureFacts(_message.Message):
    __slots__ = ("module_code", "key", "name", "description", "value_type", "is_on_by_default", "default_value")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_TYPE_FIELD_NUMBER: _ClassVar[int]
    IS_ON_BY_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    key: str
    name: str
    description: str
    value_type: str
    is_on_by_default: bool
    default_value: str
    def __init__(self, module_code: _Optional[str] = ..., key: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., value_type: _Optional[str] = ..., is_on_by_default: bool = ..., default_value: _Optional[str] = ...) -> None: ...

class PlanFeatureFacts(_message.Message):
    __slots__ = ("plan_slug", "enabled", "value")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    enabled: bool
    value: str
    def __init__(self, plan_slug: _Optional[str] = ..., enabled: bool = ..., value: _Optional[str] = ...) -> None: ...

class KeptFeatureFacts(_message.Message):
    __slots__ = ("enabled", "value", "kept_at")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    KEPT_AT_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    value: str
    kept_at: _timestamp_pb2.Timestamp
    def __init__(self, enabled: bool = ..., value: _Optional[str] = ..., kept_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LimitFacts(_message.Message):
    __slots__ = ("key", "name", "unit", "kind", "is_column_of_plans")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    IS_COLUMN_OF_PLANS_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    unit: str
    kind: _feature_pb2.LimitKind
    is_column_of_plans: bool
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., kind: _Optional[_Union[_feature_pb2.LimitKind, str]] = ..., is_column_of_plans: bool = ...) -> None: ...

class UsageFacts(_message.Message):
    __slots__ = ("used", "held", "period", "resets_at", "keys", "refusals", "time_zone")
    USED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    used: int
    held: int
    period: str
    resets_at: _timestamp_pb2.Timestamp
    keys: _containers.RepeatedCompositeFieldContainer[UsageKeyFacts]
    refusals: _containers.RepeatedCompositeFieldContainer[UsageRefusalFacts]
    time_zone: _feature_terms_pb2.TenantTimeZone
    def __init__(self, used: _Optional[int] = ..., held: _Optional[int] = ..., period: _Optional[str] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[UsageKeyFacts, _Mapping]]] = ..., refusals: _Optional[_Iterable[_Union[UsageRefusalFacts, _Mapping]]] = ..., time_zone: _Optional[_Union[_feature_terms_pb2.TenantTimeZone, _Mapping]] = ...) -> None: ...

class UsageRefusalFacts(_message.Message):
    __slots__ = ("key", "amount", "reason", "refused_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFUSED_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    amount: int
    reason: _feature_pb2.LimitReason
    refused_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., amount: _Optional[int] = ..., reason: _Optional[_Union[_feature_pb2.LimitReason, str]] = ..., refused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UsageKeyFacts(_message.Message):
    __slots__ = ("key", "amount", "state", "changed_at", "held_until", "period", "module_code", "used_amount", "lease_holder", "corrects_key")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    USED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    LEASE_HOLDER_FIELD_NUMBER: _ClassVar[int]
    CORRECTS_KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    amount: int
    state: str
    changed_at: _timestamp_pb2.Timestamp
    held_until: _timestamp_pb2.Timestamp
    period: str
    module_code: str
    used_amount: int
    lease_holder: str
    corrects_key: str
    def __init__(self, key: _Optional[str] = ..., amount: _Optional[int] = ..., state: _Optional[str] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., period: _Optional[str] = ..., module_code: _Optional[str] = ..., used_amount: _Optional[int] = ..., lease_holder: _Optional[str] = ..., corrects_key: _Optional[str] = ...) -> None: ...

class PlanLimitFacts(_message.Message):
    __slots__ = ("plan_slug", "limit")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    limit: int
    def __init__(self, plan_slug: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class KeptLimitFacts(_message.Message):
    __slots__ = ("limit", "kept_at")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    KEPT_AT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    kept_at: _timestamp_pb2.Timestamp
    def __init__(self, limit: _Optional[int] = ..., kept_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LimitOverrideFacts(_message.Message):
    __slots__ = ("value", "ends_at", "reason", "is_over")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IS_OVER_FIELD_NUMBER: _ClassVar[int]
    value: int
    ends_at: _timestamp_pb2.Timestamp
    reason: str
    is_over: bool
    def __init__(self, value: _Optional[int] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., is_over: bool = ...) -> None: ...
