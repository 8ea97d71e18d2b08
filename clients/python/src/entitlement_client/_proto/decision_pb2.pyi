import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_REASON_UNSPECIFIED: _ClassVar[DecisionReason]
    DECISION_REASON_ENABLED: _ClassVar[DecisionReason]
    DECISION_REASON_TENANT_NOT_FOUND: _ClassVar[DecisionReason]
    DECISION_REASON_TENANT_SUSPENDED: _ClassVar[DecisionReason]
    DECISION_REASON_TENANT_CANCELLED: _ClassVar[DecisionReason]
    DECISION_REASON_TENANT_NOT_SERVED: _ClassVar[DecisionReason]
    DECISION_REASON_MODULE_NOT_FOUND: _ClassVar[DecisionReason]
    DECISION_REASON_NOT_SUBSCRIBED: _ClassVar[DecisionReason]
    DECISION_REASON_SUBSCRIPTION_SUSPENDED: _ClassVar[DecisionReason]
    DECISION_REASON_SUBSCRIPTION_CANCELLED: _ClassVar[DecisionReason]
    DECISION_REASON_SUBSCRIPTION_EXPIRED: _ClassVar[DecisionReason]
    DECISION_REASON_SUBSCRIPTION_INACTIVE: _ClassVar[DecisionReason]
    DECISION_REASON_SUBSCRIPTION_NOT_STARTED: _ClassVar[DecisionReason]
    DECISION_REASON_TRIAL_ENDED: _ClassVar[DecisionReason]
DECISION_REASON_UNSPECIFIED: DecisionReason
DECISION_REASON_ENABLED: DecisionReason
DECISION_REASON_TENANT_NOT_FOUND: DecisionReason
DECISION_REASON_TENANT_SUSPENDED: DecisionReason
DECISION_REASON_TENANT_CANCELLED: DecisionReason
DECISION_REASON_TENANT_NOT_SERVED: DecisionReason
DECISION_REASON_MODULE_NOT_FOUND: DecisionReason
DECISION_REASON_NOT_SUBSCRIBED: DecisionReason
DECISION_REASON_SUBSCRIPTION_SUSPENDED: DecisionReason
DECISION_REASON_SUBSCRIPTION_CANCELLED: DecisionReason
DECISION_REASON_SUBSCRIPTION_EXPIRED: DecisionReason
DECISION_REASON_SUBSCRIPTION_INACTIVE: DecisionReason
DECISION_REASON_SUBSCRIPTION_NOT_STARTED: DecisionReason
DECISION_REASON_TRIAL_ENDED: DecisionReason

class Freshness(_message.Message):
    __slots__ = ("revision", "as_of", "valid_until", "max_age", "stale", "catalogue_revision")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    as_of: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    max_age: _duration_pb2.Duration
    stale: bool
    catalogue_revision: int
    def __init__(self, revision: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stale: bool = ..., catalogue_revision: _Optional[int] = ...) -> None: ...

class ModuleDecision(_message.Message):
    __slots__ = ("module_code", "allowed", "reason", "message", "plan_slugs", "valid_until", "max_age")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    allowed: bool
    reason: DecisionReason
    message: str
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    valid_until: _timestamp_pb2.Timestamp
    max_age: _duration_pb2.Duration
    def __init__(self, module_code: _Optional[str] = ..., allowed: bool = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., message: _Optional[str] = ..., plan_slugs: _Optional[_Iterable[str]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
