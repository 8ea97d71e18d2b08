import datetime

from . import decision_pb2 as _decision_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_REASON_UNSPECIFIED: _ClassVar[FeatureReason]
    FEATURE_REASON_MODULE_DENIED: _ClassVar[FeatureReason]
    FEATURE_REASON_NOT_FOUND: _ClassVar[FeatureReason]
    FEATURE_REASON_TENANT: _ClassVar[FeatureReason]
    FEATURE_REASON_PLAN: _ClassVar[FeatureReason]
    FEATURE_REASON_DEFAULT: _ClassVar[FeatureReason]
    FEATURE_REASON_VALUE_UNREADABLE: _ClassVar[FeatureReason]

class LimitReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_REASON_UNSPECIFIED: _ClassVar[LimitReason]
    LIMIT_REASON_WITHIN: _ClassVar[LimitReason]
    LIMIT_REASON_UNLIMITED: _ClassVar[LimitReason]
    LIMIT_REASON_EXCEEDED: _ClassVar[LimitReason]
    LIMIT_REASON_OVER_LIMIT: _ClassVar[LimitReason]
    LIMIT_REASON_TENANT_DENIED: _ClassVar[LimitReason]
    LIMIT_REASON_NOT_FOUND: _ClassVar[LimitReason]
    LIMIT_REASON_NO_PLAN: _ClassVar[LimitReason]
    LIMIT_REASON_MODULE_DENIED: _ClassVar[LimitReason]

class LimitSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_SOURCE_UNSPECIFIED: _ClassVar[LimitSource]
    LIMIT_SOURCE_NONE: _ClassVar[LimitSource]
    LIMIT_SOURCE_PLAN: _ClassVar[LimitSource]
    LIMIT_SOURCE_OVERRIDE: _ClassVar[LimitSource]

class LimitKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_KIND_UNSPECIFIED: _ClassVar[LimitKind]
    LIMIT_KIND_LEVEL: _ClassVar[LimitKind]
    LIMIT_KIND_MONTHLY: _ClassVar[LimitKind]

class LimitEnforcement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_ENFORCEMENT_UNSPECIFIED: _ClassVar[LimitEnforcement]
    LIMIT_ENFORCEMENT_OFF: _ClassVar[LimitEnforcement]
    LIMIT_ENFORCEMENT_SHADOW: _ClassVar[LimitEnforcement]
    LIMIT_ENFORCEMENT_ON: _ClassVar[LimitEnforcement]
FEATURE_REASON_UNSPECIFIED: FeatureReason
FEATURE_REASON_MODULE_DENIED: FeatureReason
FEATURE_REASON_NOT_FOUND: FeatureReason
FEATURE_REASON_TENANT: FeatureReason
FEATURE_REASON_PLAN: FeatureReason
FEATURE_REASON_DEFAULT: FeatureReason
FEATURE_REASON_VALUE_UNREADABLE: FeatureReason
LIMIT_REASON_UNSPECIFIED: LimitReason
LIMIT_REASON_WITHIN: LimitReason
LIMIT_REASON_UNLIMITED: LimitReason
LIMIT_REASON_EXCEEDED: LimitReason
LIMIT_REASON_OVER_LIMIT: LimitReason
LIMIT_REASON_TENANT_DENIED: LimitReason
LIMIT_REASON_NOT_FOUND: LimitReason
LIMIT_REASON_NO_PLAN: LimitReason
LIMIT_REASON_MODULE_DENIED: LimitReason
LIMIT_SOURCE_UNSPECIFIED: LimitSource
LIMIT_SOURCE_NONE: LimitSource
LIMIT_SOURCE_PLAN: LimitSource
LIMIT_SOURCE_OVERRIDE: LimitSource
LIMIT_KIND_UNSPECIFIED: LimitKind
LIMIT_KIND_LEVEL: LimitKind
LIMIT_KIND_MONTHLY: LimitKind
LIMIT_ENFORCEMENT_UNSPECIFIED: LimitEnforcement
LIMIT_ENFORCEMENT_OFF: LimitEnforcement
LIMIT_ENFORCEMENT_SHADOW: LimitEnforcement
LIMIT_ENFORCEMENT_ON: LimitEnforcement

class FeatureName(_message.Message):
    __slots__ = ("module_code", "feature_key")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ...) -> None: ...

class FeatureDecision(_message.Message):
    __slots__ = ("module_code", "feature_key", "enabled", "reason", "message", "value", "plan_slugs", "module_reason")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    MODULE_REASON_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    enabled: bool
    reason: FeatureReason
    message: str
    value: _struct_pb2.Value
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    module_reason: _decision_pb2.DecisionReason
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., enabled: bool = ..., reason: _Optional[_Union[FeatureReason, str]] = ..., message: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., plan_slugs: _Optional[_Iterable[str]] = ..., module_reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("key", "enabled", "reason", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    enabled: bool
    reason: FeatureReason
    value: _struct_pb2.Value
    def __init__(self, key: _Optional[str] = ..., enabled: bool = ..., reason: _Optional[_Union[FeatureReason, str]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class Limit(_message.Message):
    __slots__ = ("key", "limit", "source", "kind", "valid_until", "no_plan")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    NO_PLAN_FIELD_NUMBER: _ClassVar[int]
    key: str
    limit: int
    source: LimitSource
    kind: LimitKind
    valid_until: _timestamp_pb2.Timestamp
    no_plan: bool
    def __init__(self, key: _Optional[str] = ..., limit: _Optional[int] = ..., source: _Optional[_Union[LimitSource, str]] = ..., kind: _Optional[_Union[LimitKind, str]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., no_plan: bool = ...) -> None: ...

class LimitDecision(_message.Message):
    __slots__ = ("limit_key", "allowed", "reason", "message", "limit", "used", "remaining", "source", "kind", "enforcement", "plan_slugs", "tenant_reason", "valid_until")
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUGS_FIELD_NUMBER: _ClassVar[int]
    TENANT_REASON_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    limit_key: str
    allowed: bool
    reason: LimitReason
    message: str
    limit: int
    used: int
    remaining: int
    source: LimitSource
    kind: LimitKind
    enforcement: LimitEnforcement
    plan_slugs: _containers.RepeatedScalarFieldContainer[str]
    tenant_reason: _decision_pb2.DecisionReason
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, limit_key: _Optional[str] = ..., allowed: bool = ..., reason: _Optional[_Union[LimitReason, str]] = ..., message: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., remaining: _Optional[int] = ..., source: _Optional[_Union[LimitSource, str]] = ..., kind: _Optional[_Union[LimitKind, str]] = ..., enforcement: _Optional[_Union[LimitEnforcement, str]] = ..., plan_slugs: _Optional[_Iterable[str]] = ..., tenant_reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
