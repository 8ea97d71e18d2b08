import datetime

from . import feature_pb2 as _feature_pb2
from . import feature_terms_pb2 as _feature_terms_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureValueType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_VALUE_TYPE_UNSPECIFIED: _ClassVar[FeatureValueType]
    FEATURE_VALUE_TYPE_BOOL: _ClassVar[FeatureValueType]
    FEATURE_VALUE_TYPE_INT64: _ClassVar[FeatureValueType]
    FEATURE_VALUE_TYPE_STRING: _ClassVar[FeatureValueType]
    FEATURE_VALUE_TYPE_JSON: _ClassVar[FeatureValueType]
FEATURE_VALUE_TYPE_UNSPECIFIED: FeatureValueType
FEATURE_VALUE_TYPE_BOOL: FeatureValueType
FEATURE_VALUE_TYPE_INT64: FeatureValueType
FEATURE_VALUE_TYPE_STRING: FeatureValueType
FEATURE_VALUE_TYPE_JSON: FeatureValueType

class DefinedFeature(_message.Message):
    __slots__ = ("module_code", "feature_key", "name", "description", "value_type", "default_enabled", "default_value", "plans", "keeping")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ENABLED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    KEEPING_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    name: str
    description: str
    value_type: FeatureValueType
    default_enabled: bool
    default_value: _struct_pb2.Value
    plans: _containers.RepeatedCompositeFieldContainer[PlanFeature]
    keeping: _containers.RepeatedCompositeFieldContainer[KeepingTenants]
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., value_type: _Optional[_Union[FeatureValueType, str]] = ..., default_enabled: bool = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., plans: _Optional[_Iterable[_Union[PlanFeature, _Mapping]]] = ..., keeping: _Optional[_Iterable[_Union[KeepingTenants, _Mapping]]] = ...) -> None: ...

class KeepingTenants(_message.Message):
    __slots__ = ("plan_slug", "tenants")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    tenants: int
    def __init__(self, plan_slug: _Optional[str] = ..., tenants: _Optional[int] = ...) -> None: ...

class PlanFeature(_message.Message):
    __slots__ = ("plan_slug", "enabled", "value")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    enabled: bool
    value: _struct_pb2.Value
    def __init__(self, plan_slug: _Optional[str] = ..., enabled: bool = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class DefinedLimit(_message.Message):
    __slots__ = ("limit_key", "name", "unit", "kind", "built_in", "plans", "keeping")
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    KEEPING_FIELD_NUMBER: _ClassVar[int]
    limit_key: str
    name: str
    unit: str
    kind: _feature_pb2.LimitKind
    built_in: bool
    plans: _containers.RepeatedCompositeFieldContainer[PlanLimit]
    keeping: _containers.RepeatedCompositeFieldContainer[KeepingTenants]
    def __init__(self, limit_key: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., kind: _Optional[_Union[_feature_pb2.LimitKind, str]] = ..., built_in: bool = ..., plans: _Optional[_Iterable[_Union[PlanLimit, _Mapping]]] = ..., keeping: _Optional[_Iterable[_Union[KeepingTenants, _Mapping]]] = ...) -> None: ...

class PlanLimit(_message.Message):
    __slots__ = ("plan_slug", "limit")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    limit: int
    def __init__(self, plan_slug: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class FeatureEdit(_message.Message):
    __slots__ = ("before", "after", "kept_tenants", "changed_tenants")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    KEPT_TENANTS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TENANTS_FIELD_NUMBER: _ClassVar[int]
    before: DefinedFeature
    after: DefinedFeature
    kept_tenants: int
    changed_tenants: int
    def __init__(self, before: _Optional[_Union[DefinedFeature, _Mapping]] = ..., after: _Optional[_Union[DefinedFeature, _Mapping]] = ..., kept_tenants: _Optional[int] = ..., changed_tenants: _Optional[int] = ...) -> None: ...

class LimitEdit(_message.Message):
    __slots__ = ("before", "after", "kept_tenants", "changed_tenants")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    KEPT_TENANTS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TENANTS_FIELD_NUMBER: _ClassVar[int]
    before: DefinedLimit
    after: DefinedLimit
    kept_tenants: int
    changed_tenants: int
    def __init__(self, before: _Optional[_Union[DefinedLimit, _Mapping]] = ..., after: _Optional[_Union[DefinedLimit, _Mapping]] = ..., kept_tenants: _Optional[int] = ..., changed_tenants: _Optional[int] = ...) -> None: ...

class TenantFlagChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: _feature_terms_pb2.TenantFlag
    after: _feature_terms_pb2.TenantFlag
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[_feature_terms_pb2.TenantFlag, _Mapping]] = ..., after: _Optional[_Union[_feature_terms_pb2.TenantFlag, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class LimitOverrideChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: _feature_terms_pb2.LimitOverride
    after: _feature_terms_pb2.LimitOverride
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[_feature_terms_pb2.LimitOverride, _Mapping]] = ..., after: _Optional[_Union[_feature_terms_pb2.LimitOverride, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class KeptFeatureChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: _feature_terms_pb2.KeptFeature
    after: _feature_terms_pb2.KeptFeature
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[_feature_terms_pb2.KeptFeature, _Mapping]] = ..., after: _Optional[_Union[_feature_terms_pb2.KeptFeature, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class KeptLimitChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: _feature_terms_pb2.KeptLimit
    after: _feature_terms_pb2.KeptLimit
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[_feature_terms_pb2.KeptLimit, _Mapping]] = ..., after: _Optional[_Union[_feature_terms_pb2.KeptLimit, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class TimeZoneChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: _feature_terms_pb2.TenantTimeZone
    after: _feature_terms_pb2.TenantTimeZone
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[_feature_terms_pb2.TenantTimeZone, _Mapping]] = ..., after: _Optional[_Union[_feature_terms_pb2.TenantTimeZone, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListFeaturesRequest(_message.Message):
    __slots__ = ("module_code",)
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    def __init__(self, module_code: _Optional[str] = ...) -> None: ...

class ListFeaturesResponse(_message.Message):
    __slots__ = ("features",)
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedCompositeFieldContainer[DefinedFeature]
    def __init__(self, features: _Optional[_Iterable[_Union[DefinedFeature, _Mapping]]] = ...) -> None: ...

class ListLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[DefinedLimit]
    def __init__(self, limits: _Optional[_Iterable[_Union[DefinedLimit, _Mapping]]] = ...) -> None: ...

class UpsertFeatureRequest(_message.Message):
    __slots__ = ("module_code", "feature_key", "name", "description", "value_type", "default_enabled", "default_value", "reason", "request_id")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ENABLED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    feature_key: str
    name: str
    description: str
    value_type: FeatureValueType
    default_enabled: bool
    default_value: _struct_pb2.Value
    reason: str
    request_id: str
    def __init__(self, module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., value_type: _Optional[_Union[FeatureValueType, str]] = ..., default_enabled: bool = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpsertFeatureResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: FeatureEdit
    def __init__(self, change: _Optional[_Union[FeatureEdit, _Mapping]] = ...) -> None: ...

class UpsertLimitRequest(_message.Message):
    __slots__ = ("limit_key", "name", "unit", "kind", "reason", "request_id")
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    limit_key: str
    name: str
    unit: str
    kind: _feature_pb2.LimitKind
    reason: str
    request_id: str
    def __init__(self, limit_key: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., kind: _Optional[_Union[_feature_pb2.LimitKind, str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpsertLimitResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: LimitEdit
    def __init__(self, change: _Optional[_Union[LimitEdit, _Mapping]] = ...) -> None: ...

class SetTenantFlagRequest(_message.Message):
    __slots__ = ("tenant", "module_code", "feature_key", "enabled", "value", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_code: str
    feature_key: str
    enabled: bool
    value: _struct_pb2.Value
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., enabled: bool = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetTenantFlagResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantFlagChange
    def __init__(self, change: _Optional[_Union[TenantFlagChange, _Mapping]] = ...) -> None: ...

class DeleteTenantFlagRequest(_message.Message):
    __slots__ = ("tenant", "module_code", "feature_key", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_code: str
    feature_key: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteTenantFlagResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantFlagChange
    def __init__(self, change: _Optional[_Union[TenantFlagChange, _Mapping]] = ...) -> None: ...

class SetLimitOverrideRequest(_message.Message):
    __slots__ = ("tenant", "limit_key", "limit", "ends_at", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    limit_key: str
    limit: int
    ends_at: _timestamp_pb2.Timestamp
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., limit_key: _Optional[str] = ..., limit: _Optional[int] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetLimitOverrideResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: LimitOverrideChange
    def __init__(self, change: _Optional[_Union[LimitOverrideChange, _Mapping]] = ...) -> None: ...

class EndLimitOverrideRequest(_message.Message):
    __slots__ = ("tenant", "limit_key", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    limit_key: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., limit_key: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EndLimitOverrideResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: LimitOverrideChange
    def __init__(self, change: _Optional[_Union[LimitOverrideChange, _Mapping]] = ...) -> None: ...

class EndKeptFeatureRequest(_message.Message):
    __slots__ = ("tenant", "module_code", "feature_key", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_code: str
    feature_key: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EndKeptFeatureResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: KeptFeatureChange
    def __init__(self, change: _Optional[_Union[KeptFeatureChange, _Mapping]] = ...) -> None: ...

class EndKeptLimitRequest(_message.Message):
    __slots__ = ("tenant", "limit_key", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    limit_key: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., limit_key: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EndKeptLimitResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: KeptLimitChange
    def __init__(self, change: _Optional[_Union[KeptLimitChange, _Mapping]] = ...) -> None: ...

class SetTimeZoneRequest(_message.Message):
    __slots__ = ("tenant", "time_zone", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    time_zone: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., time_zone: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetTimeZoneResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TimeZoneChange
    def __init__(self, change: _Optional[_Union[TimeZoneChange, _Mapping]] = ...) -> None: ...

class SetPlanFeatureRequest(_message.Message):
    __slots__ = ("plan_slug", "module_code", "feature_key", "enabled", "value", "existing_tenants", "reason", "request_id")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXISTING_TENANTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    module_code: str
    feature_key: str
    enabled: bool
    value: _struct_pb2.Value
    existing_tenants: _feature_terms_pb2.ExistingTenants
    reason: str
    request_id: str
    def __init__(self, plan_slug: _Optional[str] = ..., module_code: _Optional[str] = ..., feature_key: _Optional[str] = ..., enabled: bool = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., existing_tenants: _Optional[_Union[_feature_terms_pb2.ExistingTenants, str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPlanFeatureResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: FeatureEdit
    def __init__(self, change: _Optional[_Union[FeatureEdit, _Mapping]] = ...) -> None: ...

class SetPlanLimitRequest(_message.Message):
    __slots__ = ("plan_slug", "limit_key", "limit", "existing_tenants", "reason", "request_id")
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EXISTING_TENANTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    plan_slug: str
    limit_key: str
    limit: int
    existing_tenants: _feature_terms_pb2.ExistingTenants
    reason: str
    request_id: str
    def __init__(self, plan_slug: _Optional[str] = ..., limit_key: _Optional[str] = ..., limit: _Optional[int] = ..., existing_tenants: _Optional[_Union[_feature_terms_pb2.ExistingTenants, str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPlanLimitResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: LimitEdit
    def __init__(self, change: _Optional[_Union[LimitEdit, _Mapping]] = ...) -> None: ...

class PreviewFeatureChangeRequest(_message.Message):
    __slots__ = ("upsert_feature", "upsert_limit", "set_tenant_flag", "delete_tenant_flag", "set_limit_override", "end_limit_override", "set_plan_feature", "set_plan_limit", "end_kept_feature", "end_kept_limit", "set_time_zone")
    UPSERT_FEATURE_FIELD_NUMBER: _ClassVar[int]
    UPSERT_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SET_TENANT_FLAG_FIELD_NUMBER: _ClassVar[int]
    DELETE_TENANT_FLAG_FIELD_NUMBER: _ClassVar[int]
    SET_LIMIT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    END_LIMIT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    SET_PLAN_FEATURE_FIELD_NUMBER: _ClassVar[int]
    SET_PLAN_LIMIT_FIELD_NUMBER: _ClassVar[int]
    END_KEPT_FEATURE_FIELD_NUMBER: _ClassVar[int]
    END_KEPT_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SET_TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    upsert_feature: UpsertFeatureRequest
    upsert_limit: UpsertLimitRequest
    set_tenant_flag: SetTenantFlagRequest
    delete_tenant_flag: DeleteTenantFlagRequest
    set_limit_override: SetLimitOverrideRequest
    end_limit_override: EndLimitOverrideRequest
    set_plan_feature: SetPlanFeatureRequest
    set_plan_limit: SetPlanLimitRequest
    end_kept_feature: EndKeptFeatureRequest
    end_kept_limit: EndKeptLimitRequest
    set_time_zone: SetTimeZoneRequest
    def __init__(self, upsert_feature: _Optional[_Union[UpsertFeatureRequest, _Mapping]] = ..., upsert_limit: _Optional[_Union[UpsertLimitRequest, _Mapping]] = ..., set_tenant_flag: _Optional[_Union[SetTenantFlagRequest, _Mapping]] = ..., delete_tenant_flag: _Optional[_Union[DeleteTenantFlagRequest, _Mapping]] = ..., set_limit_override: _Optional[_Union[SetLimitOverrideRequest, _Mapping]] = ..., end_limit_override: _Optional[_Union[EndLimitOverrideRequest, _Mapping]] = ..., set_plan_feature: _Optional[_Union[SetPlanFeatureRequest, _Mapping]] = ..., set_plan_limit: _Optional[_Union[SetPlanLimitRequest, _Mapping]] = ..., end_kept_feature: _Optional[_Union[EndKeptFeatureRequest, _Mapping]] = ..., end_kept_limit: _Optional[_Union[EndKeptLimitRequest, _Mapping]] = ..., set_time_zone: _Optional[_Union[SetTimeZoneRequest, _Mapping]] = ...) -> None: ...

class PreviewFeatureChangeResponse(_message.Message):
    __slots__ = ("feature", "limit", "flag", "limit_override", "kept_feature", "kept_limit", "time_zone")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    LIMIT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FEATURE_FIELD_NUMBER: _ClassVar[int]
    KEPT_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    feature: FeatureEdit
    limit: LimitEdit
    flag: TenantFlagChange
    limit_override: LimitOverrideChange
    kept_feature: KeptFeatureChange
    kept_limit: KeptLimitChange
    time_zone: TimeZoneChange
    def __init__(self, feature: _Optional[_Union[FeatureEdit, _Mapping]] = ..., limit: _Optional[_Union[LimitEdit, _Mapping]] = ..., flag: _Optional[_Union[TenantFlagChange, _Mapping]] = ..., limit_override: _Optional[_Union[LimitOverrideChange, _Mapping]] = ..., kept_feature: _Optional[_Union[KeptFeatureChange, _Mapping]] = ..., kept_limit: _Optional[_Union[KeptLimitChange, _Mapping]] = ..., time_zone: _Optional[_Union[TimeZoneChange, _Mapping]] = ...) -> None: ...
