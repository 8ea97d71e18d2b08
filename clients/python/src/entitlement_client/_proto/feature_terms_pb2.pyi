import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExistingTenants(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXISTING_TENANTS_UNSPECIFIED: _ClassVar[ExistingTenants]
    EXISTING_TENANTS_KEEP: _ClassVar[ExistingTenants]
    EXISTING_TENANTS_APPLY: _ClassVar[ExistingTenants]
EXISTING_TENANTS_UNSPECIFIED: ExistingTenants
EXISTING_TENANTS_KEEP: ExistingTenants
EXISTING_TENANTS_APPLY: ExistingTenants

class TenantFlag(_message.Message):
    __slots__ = ("module_code", "feature_key", "enabled", "value")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    enabled: bool
    value: _struct_pb2.Value
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., enabled: bool = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class KeptFeature(_message.Message):
    __slots__ = ("module_code", "feature_key", "enabled", "value", "kept_at")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    KEPT_AT_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    enabled: bool
    value: _struct_pb2.Value
    kept_at: _timestamp_pb2.Timestamp
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., enabled: bool = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., kept_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeptLimit(_message.Message):
    __slots__ = ("limit_key", "limit", "kept_at")
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    KEPT_AT_FIELD_NUMBER: _ClassVar[int]
    limit_key: str
    limit: int
    kept_at: _timestamp_pb2.Timestamp
    def __init__(self, limit_key: _Optional[str] = ..., limit: _Optional[int] = ..., kept_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LimitOverride(_message.Message):
    __slots__ = ("limit_key", "limit", "ends_at", "reason")
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    limit_key: str
    limit: int
    ends_at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, limit_key: _Optional[str] = ..., limit: _Optional[int] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class TenantTimeZone(_message.Message):
    __slots__ = ("present", "next")
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    present: MonthTimeZone
    next: MonthTimeZone
    def __init__(self, present: _Optional[_Union[MonthTimeZone, _Mapping]] = ..., next: _Optional[_Union[MonthTimeZone, _Mapping]] = ...) -> None: ...

class MonthTimeZone(_message.Message):
    __slots__ = ("month", "starts_at", "time_zone", "is_own")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    month: str
    starts_at: _timestamp_pb2.Timestamp
    time_zone: str
    is_own: bool
    def __init__(self, month: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_zone: _Optional[str] = ..., is_own: bool = ...) -> None: ...
