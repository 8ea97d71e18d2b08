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

class IssueLeaseRequest(_message.Message):
    __slots__ = ("tenant_id", "module_codes", "features", "ttl", "audience", "min_revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedCompositeFieldContainer[_feature_pb2.FeatureName]
    ttl: _duration_pb2.Duration
    audience: str
    min_revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[_Union[_feature_pb2.FeatureName, _Mapping]]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., audience: _Optional[str] = ..., min_revision: _Optional[int] = ...) -> None: ...

class IssueLeaseResponse(_message.Message):
    __slots__ = ("lease", "issued_at", "expires_at", "modules", "features", "freshness")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    issued_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    modules: _containers.RepeatedCompositeFieldContainer[LeasedModule]
    features: _containers.RepeatedCompositeFieldContainer[_feature_pb2.FeatureDecision]
    freshness: _decision_pb2.Freshness
    def __init__(self, lease: _Optional[str] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., modules: _Optional[_Iterable[_Union[LeasedModule, _Mapping]]] = ..., features: _Optional[_Iterable[_Union[_feature_pb2.FeatureDecision, _Mapping]]] = ..., freshness: _Optional[_Union[_decision_pb2.Freshness, _Mapping]] = ...) -> None: ...

class LeasedModule(_message.Message):
    __slots__ = ("module_code", "granted", "reason", "message", "until")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    granted: bool
    reason: _decision_pb2.DecisionReason
    message: str
    until: _timestamp_pb2.Timestamp
    def __init__(self, module_code: _Optional[str] = ..., granted: bool = ..., reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., message: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
