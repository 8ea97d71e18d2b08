import datetime

from . import decision_pb2 as _decision_pb2
from . import feature_pb2 as _feature_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnsettledRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNSETTLED_RULE_UNSPECIFIED: _ClassVar[UnsettledRule]
    UNSETTLED_RULE_SPENT: _ClassVar[UnsettledRule]
    UNSETTLED_RULE_RETURNED: _ClassVar[UnsettledRule]

class UsageOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_OUTCOME_UNSPECIFIED: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_COUNTED: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_REPEATED: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_CONFLICT: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_TOO_LATE: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_TOO_EARLY: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_UNKNOWN_TENANT: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_UNKNOWN_METER: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_UNKNOWN_MODULE: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_INVALID: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_NOT_ALLOWED: _ClassVar[UsageOutcome]
    USAGE_OUTCOME_NOTHING_TO_CORRECT: _ClassVar[UsageOutcome]

class UsageGranularity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_GRANULARITY_UNSPECIFIED: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_QUARTER_HOUR: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_HOUR: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_DAY: _ClassVar[UsageGranularity]
    USAGE_GRANULARITY_MONTH: _ClassVar[UsageGranularity]
UNSETTLED_RULE_UNSPECIFIED: UnsettledRule
UNSETTLED_RULE_SPENT: UnsettledRule
UNSETTLED_RULE_RETURNED: UnsettledRule
USAGE_OUTCOME_UNSPECIFIED: UsageOutcome
USAGE_OUTCOME_COUNTED: UsageOutcome
USAGE_OUTCOME_REPEATED: UsageOutcome
USAGE_OUTCOME_CONFLICT: UsageOutcome
USAGE_OUTCOME_TOO_LATE: UsageOutcome
USAGE_OUTCOME_TOO_EARLY: UsageOutcome
USAGE_OUTCOME_UNKNOWN_TENANT: UsageOutcome
USAGE_OUTCOME_UNKNOWN_METER: UsageOutcome
USAGE_OUTCOME_UNKNOWN_MODULE: UsageOutcome
USAGE_OUTCOME_INVALID: UsageOutcome
USAGE_OUTCOME_NOT_ALLOWED: UsageOutcome
USAGE_OUTCOME_NOTHING_TO_CORRECT: UsageOutcome
USAGE_GRANULARITY_UNSPECIFIED: UsageGranularity
USAGE_GRANULARITY_QUARTER_HOUR: UsageGranularity
USAGE_GRANULARITY_HOUR: UsageGranularity
USAGE_GRANULARITY_DAY: UsageGranularity
USAGE_GRANULARITY_MONTH: UsageGranularity

class ReserveUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "key", "amount", "module_code", "hold_for", "partial")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FOR_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    key: str
    amount: int
    module_code: str
    hold_for: _duration_pb2.Duration
    partial: bool
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., key: _Optional[str] = ..., amount: _Optional[int] = ..., module_code: _Optional[str] = ..., hold_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., partial: bool = ...) -> None: ...

class ReserveUsageResponse(_message.Message):
    __slots__ = ("granted", "granted_amount", "repeated_request", "state")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    GRANTED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REPEATED_REQUEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    granted_amount: int
    repeated_request: bool
    state: UsageState
    def __init__(self, granted: bool = ..., granted_amount: _Optional[int] = ..., repeated_request: bool = ..., state: _Optional[_Union[UsageState, _Mapping]] = ...) -> None: ...

class ReleaseUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "key", "only_held")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ONLY_HELD_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    key: str
    only_held: bool
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., key: _Optional[str] = ..., only_held: bool = ...) -> None: ...

class ReleaseUsageResponse(_message.Message):
    __slots__ = ("released_amount", "state")
    RELEASED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    released_amount: int
    state: UsageState
    def __init__(self, released_amount: _Optional[int] = ..., state: _Optional[_Union[UsageState, _Mapping]] = ...) -> None: ...

class ReconcileUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "keys", "as_of", "after_key", "up_to_key")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    UP_TO_KEY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    as_of: _timestamp_pb2.Timestamp
    after_key: str
    up_to_key: str
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after_key: _Optional[str] = ..., up_to_key: _Optional[str] = ...) -> None: ...

class ReconcileUsageResponse(_message.Message):
    __slots__ = ("counted", "released", "state")
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    counted: int
    released: int
    state: UsageState
    def __init__(self, counted: _Optional[int] = ..., released: _Optional[int] = ..., state: _Optional[_Union[UsageState, _Mapping]] = ...) -> None: ...

class UsageState(_message.Message):
    __slots__ = ("meter", "reason", "message", "limit", "used", "held", "remaining", "source", "kind", "enforcement", "resets_at", "plan_slugs", "denial_reason")
    METER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    DENIAL_REASON_FIELD_NUMBER: _ClassVar[int]
    meter: str
    reason: _feature_pb2.LimitReason
    message: str
    limit: int
    used: int
    held: int
    remaining: int
    source: _feature_pb2.LimitSource
    kind: _feature_pb2.LimitKind
    enforcement: _feature_pb2.LimitEnforcement
    resets_at: _timestamp_pb2.Timestamp
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    denial_reason: _decision_pb2.DecisionReason
    def __init__(self, meter: _Optional[str] = ..., reason: _Optional[_Union[_feature_pb2.LimitReason, str]] = ..., message: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., held: _Optional[int] = ..., remaining: _Optional[int] = ..., source: _Optional[_Union[_feature_pb2.LimitSource, str]] = ..., kind: _Optional[_Union[_feature_pb2.LimitKind, str]] = ..., enforcement: _Optional[_Union[_feature_pb2.LimitEnforcement, str]] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., plan_slugs: _Optional[_Iterable[str]] = ..., denial_reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ...) -> None: ...

class AcquireUsageLeaseRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "lease_id", "wanted", "ttl", "holder", "unsettled", "module_code")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    lease_id: str
    wanted: int
    ttl: _duration_pb2.Duration
    holder: str
    unsettled: UnsettledRule
    module_code: str
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., lease_id: _Optional[str] = ..., wanted: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., holder: _Optional[str] = ..., unsettled: _Optional[_Union[UnsettledRule, str]] = ..., module_code: _Optional[str] = ...) -> None: ...

class AcquireUsageLeaseResponse(_message.Message):
    __slots__ = ("granted_amount", "ttl", "repeated_request", "state")
    GRANTED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REPEATED_REQUEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    granted_amount: int
    ttl: _duration_pb2.Duration
    repeated_request: bool
    state: UsageState
    def __init__(self, granted_amount: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., repeated_request: bool = ..., state: _Optional[_Union[UsageState, _Mapping]] = ...) -> None: ...

class SettleUsageLeaseRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "lease_id", "spent_amount", "final")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    SPENT_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    lease_id: str
    spent_amount: int
    final: bool
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., lease_id: _Optional[str] = ..., spent_amount: _Optional[int] = ..., final: bool = ...) -> None: ...

class SettleUsageLeaseResponse(_message.Message):
    __slots__ = ("spent_amount", "returned_amount", "state")
    SPENT_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    spent_amount: int
    returned_amount: int
    state: UsageState
    def __init__(self, spent_amount: _Optional[int] = ..., returned_amount: _Optional[int] = ..., state: _Optional[_Union[UsageState, _Mapping]] = ...) -> None: ...

class UsageEvent(_message.Message):
    __slots__ = ("key", "tenant_id", "meter", "amount", "module_code", "at", "corrects_key")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CORRECTS_KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    tenant_id: str
    meter: str
    amount: int
    module_code: str
    at: _timestamp_pb2.Timestamp
    corrects_key: str
    def __init__(self, key: _Optional[str] = ..., tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., amount: _Optional[int] = ..., module_code: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., corrects_key: _Optional[str] = ...) -> None: ...

class RecordUsageRequest(_message.Message):
    __slots__ = ("events", "producer_id", "sequence")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[UsageEvent]
    producer_id: str
    sequence: int
    def __init__(self, events: _Optional[_Iterable[_Union[UsageEvent, _Mapping]]] = ..., producer_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class RecordUsageResponse(_message.Message):
    __slots__ = ("outcomes", "sequence")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedScalarFieldContainer[UsageOutcome]
    sequence: int
    def __init__(self, outcomes: _Optional[_Iterable[_Union[UsageOutcome, str]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("tenant_id", "meter", "module_code", "by_module", "start_time", "end_time", "granularity")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    BY_MODULE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    meter: str
    module_code: str
    by_module: bool
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    granularity: UsageGranularity
    def __init__(self, tenant_id: _Optional[str] = ..., meter: _Optional[str] = ..., module_code: _Optional[str] = ..., by_module: bool = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., granularity: _Optional[_Union[UsageGranularity, str]] = ...) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("spans", "total_amount", "late_amount")
    SPANS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    LATE_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    spans: _containers.RepeatedCompositeFieldContainer[UsageSpan]
    total_amount: int
    late_amount: int
    def __init__(self, spans: _Optional[_Iterable[_Union[UsageSpan, _Mapping]]] = ..., total_amount: _Optional[int] = ..., late_amount: _Optional[int] = ...) -> None: ...

class UsageSpan(_message.Message):
    __slots__ = ("start_time", "end_time", "module_code", "amount", "event_count", "late_amount", "recorded_at")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LATE_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    module_code: str
    amount: int
    event_count: int
    late_amount: int
    recorded_at: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., module_code: _Optional[str] = ..., amount: _Optional[int] = ..., event_count: _Optional[int] = ..., late_amount: _Optional[int] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
