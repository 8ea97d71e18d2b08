import datetime

from . import decision_pb2 as _decision_pb2
from . import feature_pb2 as _feature_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
