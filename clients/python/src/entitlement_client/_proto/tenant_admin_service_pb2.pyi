import datetime

from . import decision_pb2 as _decision_pb2
from . import explanation_pb2 as _explanation_pb2
from . import feature_pb2 as _feature_pb2
from . import feature_terms_pb2 as _feature_terms_pb2
from . import tenant_pb2 as _tenant_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BillingCycle(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_CYCLE_UNSPECIFIED: _ClassVar[BillingCycle]
    BILLING_CYCLE_MONTHLY: _ClassVar[BillingCycle]
    BILLING_CYCLE_YEARLY: _ClassVar[BillingCycle]

class SubdomainReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBDOMAIN_REASON_UNSPECIFIED: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_AVAILABLE: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_INVALID: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_RESERVED: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_TAKEN: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_SCHEMA_TAKEN: _ClassVar[SubdomainReason]
BILLING_CYCLE_UNSPECIFIED: BillingCycle
BILLING_CYCLE_MONTHLY: BillingCycle
BILLING_CYCLE_YEARLY: BillingCycle
SUBDOMAIN_REASON_UNSPECIFIED: SubdomainReason
SUBDOMAIN_REASON_AVAILABLE: SubdomainReason
SUBDOMAIN_REASON_INVALID: SubdomainReason
SUBDOMAIN_REASON_RESERVED: SubdomainReason
SUBDOMAIN_REASON_TAKEN: SubdomainReason
SUBDOMAIN_REASON_SCHEMA_TAKEN: SubdomainReason

class OnboardTenantRequest(_message.Message):
    __slots__ = ("name", "subdomain", "plan_slug", "module_codes", "billing_cycle", "trial_days", "settings", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBDOMAIN_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    TRIAL_DAYS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    subdomain: str
    plan_slug: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    billing_cycle: BillingCycle
    trial_days: int
    settings: _struct_pb2.Struct
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., subdomain: _Optional[str] = ..., plan_slug: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., billing_cycle: _Optional[_Union[BillingCycle, str]] = ..., trial_days: _Optional[int] = ..., settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class OnboardTenantResponse(_message.Message):
    __slots__ = ("change", "database_schema", "applied_files")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    DATABASE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FILES_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    database_schema: str
    applied_files: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ..., database_schema: _Optional[str] = ..., applied_files: _Optional[_Iterable[str]] = ...) -> None: ...

class RetryProvisioningRequest(_message.Message):
    __slots__ = ("tenant", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetryProvisioningResponse(_message.Message):
    __slots__ = ("change", "database_schema", "applied_files")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    DATABASE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FILES_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    database_schema: str
    applied_files: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ..., database_schema: _Optional[str] = ..., applied_files: _Optional[_Iterable[str]] = ...) -> None: ...

class SetTenantStatusRequest(_message.Message):
    __slots__ = ("tenant", "status", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    status: _tenant_pb2.TenantStatus
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., status: _Optional[_Union[_tenant_pb2.TenantStatus, str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetTenantStatusResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class EnableModulesRequest(_message.Message):
    __slots__ = ("tenant", "module_codes", "include_dependencies", "billing_cycle", "expires_at", "trial_ends_at", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TRIAL_ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    include_dependencies: bool
    billing_cycle: BillingCycle
    expires_at: _timestamp_pb2.Timestamp
    trial_ends_at: _timestamp_pb2.Timestamp
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., include_dependencies: bool = ..., billing_cycle: _Optional[_Union[BillingCycle, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trial_ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EnableModulesResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class DisableModulesRequest(_message.Message):
    __slots__ = ("tenant", "module_codes", "include_dependents", "at_period_end", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DEPENDENTS_FIELD_NUMBER: _ClassVar[int]
    AT_PERIOD_END_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    include_dependents: bool
    at_period_end: bool
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., include_dependents: bool = ..., at_period_end: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DisableModulesResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class ChangePlanRequest(_message.Message):
    __slots__ = ("tenant", "plan_slug", "billing_cycle", "include_dependents", "removed_at_period_end", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DEPENDENTS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_AT_PERIOD_END_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    plan_slug: str
    billing_cycle: BillingCycle
    include_dependents: bool
    removed_at_period_end: bool
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., plan_slug: _Optional[str] = ..., billing_cycle: _Optional[_Union[BillingCycle, str]] = ..., include_dependents: bool = ..., removed_at_period_end: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ChangePlanResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class DeleteTenantRequest(_message.Message):
    __slots__ = ("tenant", "name", "force", "reason", "request_id", "keep_schema")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEEP_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    name: str
    force: bool
    reason: str
    request_id: str
    keep_schema: bool
    def __init__(self, tenant: _Optional[str] = ..., name: _Optional[str] = ..., force: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., keep_schema: bool = ...) -> None: ...

class DeleteTenantResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class PreviewChangeRequest(_message.Message):
    __slots__ = ("set_status", "enable", "disable", "change_plan")
    SET_STATUS_FIELD_NUMBER: _ClassVar[int]
    ENABLE_FIELD_NUMBER: _ClassVar[int]
    DISABLE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_PLAN_FIELD_NUMBER: _ClassVar[int]
    set_status: SetTenantStatusRequest
    enable: EnableModulesRequest
    disable: DisableModulesRequest
    change_plan: ChangePlanRequest
    def __init__(self, set_status: _Optional[_Union[SetTenantStatusRequest, _Mapping]] = ..., enable: _Optional[_Union[EnableModulesRequest, _Mapping]] = ..., disable: _Optional[_Union[DisableModulesRequest, _Mapping]] = ..., change_plan: _Optional[_Union[ChangePlanRequest, _Mapping]] = ...) -> None: ...

class PreviewChangeResponse(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: TenantChange
    def __init__(self, change: _Optional[_Union[TenantChange, _Mapping]] = ...) -> None: ...

class TenantChange(_message.Message):
    __slots__ = ("tenant_id", "before", "after", "added_module_codes", "removed_module_codes", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ADDED_MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    before: TenantEntitlements
    after: TenantEntitlements
    added_module_codes: _containers.RepeatedScalarFieldContainer[str]
    removed_module_codes: _containers.RepeatedScalarFieldContainer[str]
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., before: _Optional[_Union[TenantEntitlements, _Mapping]] = ..., after: _Optional[_Union[TenantEntitlements, _Mapping]] = ..., added_module_codes: _Optional[_Iterable[str]] = ..., removed_module_codes: _Optional[_Iterable[str]] = ..., revision: _Optional[int] = ...) -> None: ...

class TenantEntitlements(_message.Message):
    __slots__ = ("status", "plan_slug", "modules", "price_monthly", "price_yearly", "plan_price", "plan_billing_cycle", "modules_beside_plan", "beside_plan_monthly", "beside_plan_yearly", "total_monthly", "total_yearly")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    PRICE_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    PRICE_YEARLY_FIELD_NUMBER: _ClassVar[int]
    PLAN_PRICE_FIELD_NUMBER: _ClassVar[int]
    PLAN_BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    MODULES_BESIDE_PLAN_FIELD_NUMBER: _ClassVar[int]
    BESIDE_PLAN_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    BESIDE_PLAN_YEARLY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_YEARLY_FIELD_NUMBER: _ClassVar[int]
    status: str
    plan_slug: str
    modules: _containers.RepeatedCompositeFieldContainer[ModuleHolding]
    price_monthly: str
    price_yearly: str
    plan_price: str
    plan_billing_cycle: BillingCycle
    modules_beside_plan: _containers.RepeatedScalarFieldContainer[str]
    beside_plan_monthly: str
    beside_plan_yearly: str
    total_monthly: str
    total_yearly: str
    def __init__(self, status: _Optional[str] = ..., plan_slug: _Optional[str] = ..., modules: _Optional[_Iterable[_Union[ModuleHolding, _Mapping]]] = ..., price_monthly: _Optional[str] = ..., price_yearly: _Optional[str] = ..., plan_price: _Optional[str] = ..., plan_billing_cycle: _Optional[_Union[BillingCycle, str]] = ..., modules_beside_plan: _Optional[_Iterable[str]] = ..., beside_plan_monthly: _Optional[str] = ..., beside_plan_yearly: _Optional[str] = ..., total_monthly: _Optional[str] = ..., total_yearly: _Optional[str] = ...) -> None: ...

class ModuleHolding(_message.Message):
    __slots__ = ("module_code", "starts_at", "ends_at", "is_trial")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    IS_TRIAL_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    is_trial: bool
    def __init__(self, module_code: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_trial: bool = ...) -> None: ...

class ListAuditEventsRequest(_message.Message):
    __slots__ = ("tenant_id", "actor", "since", "until", "page_size", "page_token")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    actor: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, tenant_id: _Optional[str] = ..., actor: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("id", "made_at", "actor", "actor_kind", "action", "tenant_id", "subject", "reason", "request", "before", "after", "request_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ACTOR_KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    made_at: _timestamp_pb2.Timestamp
    actor: str
    actor_kind: str
    action: str
    tenant_id: str
    subject: str
    reason: str
    request: _struct_pb2.Struct
    before: _struct_pb2.Struct
    after: _struct_pb2.Struct
    request_id: str
    def __init__(self, id: _Optional[int] = ..., made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., actor_kind: _Optional[str] = ..., action: _Optional[str] = ..., tenant_id: _Optional[str] = ..., subject: _Optional[str] = ..., reason: _Optional[str] = ..., request: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., before: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., after: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListModulesRequest(_message.Message):
    __slots__ = ("on_sale_only",)
    ON_SALE_ONLY_FIELD_NUMBER: _ClassVar[int]
    on_sale_only: bool
    def __init__(self, on_sale_only: bool = ...) -> None: ...

class ListModulesResponse(_message.Message):
    __slots__ = ("modules",)
    MODULES_FIELD_NUMBER: _ClassVar[int]
    modules: _containers.RepeatedCompositeFieldContainer[CatalogueModule]
    def __init__(self, modules: _Optional[_Iterable[_Union[CatalogueModule, _Mapping]]] = ...) -> None: ...

class CatalogueModule(_message.Message):
    __slots__ = ("code", "name", "description", "category", "display_order", "is_base_module", "on_sale", "dependencies", "price_monthly", "price_yearly", "sections", "frontend_routes")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_ORDER_FIELD_NUMBER: _ClassVar[int]
    IS_BASE_MODULE_FIELD_NUMBER: _ClassVar[int]
    ON_SALE_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    PRICE_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    PRICE_YEARLY_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_ROUTES_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    description: str
    category: str
    display_order: int
    is_base_module: bool
    on_sale: bool
    dependencies: _containers.RepeatedScalarFieldContainer[str]
    price_monthly: str
    price_yearly: str
    sections: _containers.RepeatedScalarFieldContainer[int]
    frontend_routes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., category: _Optional[str] = ..., display_order: _Optional[int] = ..., is_base_module: bool = ..., on_sale: bool = ..., dependencies: _Optional[_Iterable[str]] = ..., price_monthly: _Optional[str] = ..., price_yearly: _Optional[str] = ..., sections: _Optional[_Iterable[int]] = ..., frontend_routes: _Optional[_Iterable[str]] = ...) -> None: ...

class UpsertModuleRequest(_message.Message):
    __slots__ = ("code", "new_code", "name", "description", "category", "display_order", "is_base_module", "on_sale", "dependencies", "price_monthly", "price_yearly", "sections", "frontend_routes", "reason", "request_id")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NEW_CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_ORDER_FIELD_NUMBER: _ClassVar[int]
    IS_BASE_MODULE_FIELD_NUMBER: _ClassVar[int]
    ON_SALE_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    PRICE_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    PRICE_YEARLY_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_ROUTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    code: str
    new_code: str
    name: str
    description: str
    category: str
    display_order: int
    is_base_module: bool
    on_sale: bool
    dependencies: CodeList
    price_monthly: str
    price_yearly: str
    sections: SectionList
    frontend_routes: RouteList
    reason: str
    request_id: str
    def __init__(self, code: _Optional[str] = ..., new_code: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., category: _Optional[str] = ..., display_order: _Optional[int] = ..., is_base_module: bool = ..., on_sale: bool = ..., dependencies: _Optional[_Union[CodeList, _Mapping]] = ..., price_monthly: _Optional[str] = ..., price_yearly: _Optional[str] = ..., sections: _Optional[_Union[SectionList, _Mapping]] = ..., frontend_routes: _Optional[_Union[RouteList, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CodeList(_message.Message):
    __slots__ = ("codes",)
    CODES_FIELD_NUMBER: _ClassVar[int]
    codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, codes: _Optional[_Iterable[str]] = ...) -> None: ...

class SectionList(_message.Message):
    __slots__ = ("sections",)
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    sections: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sections: _Optional[_Iterable[int]] = ...) -> None: ...

class RouteList(_message.Message):
    __slots__ = ("routes",)
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, routes: _Optional[_Iterable[str]] = ...) -> None: ...

class UpsertModuleResponse(_message.Message):
    __slots__ = ("module",)
    MODULE_FIELD_NUMBER: _ClassVar[int]
    module: CatalogueModule
    def __init__(self, module: _Optional[_Union[CatalogueModule, _Mapping]] = ...) -> None: ...

class UpsertPlanRequest(_message.Message):
    __slots__ = ("slug", "name", "on_sale", "price", "billing_cycle", "modules", "max_users", "max_transactions_monthly", "reason", "request_id", "existing_tenants")
    SLUG_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ON_SALE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    MAX_USERS_FIELD_NUMBER: _ClassVar[int]
    MAX_TRANSACTIONS_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXISTING_TENANTS_FIELD_NUMBER: _ClassVar[int]
    slug: str
    name: str
    on_sale: bool
    price: str
    billing_cycle: BillingCycle
    modules: CodeList
    max_users: int
    max_transactions_monthly: int
    reason: str
    request_id: str
    existing_tenants: _feature_terms_pb2.ExistingTenants
    def __init__(self, slug: _Optional[str] = ..., name: _Optional[str] = ..., on_sale: bool = ..., price: _Optional[str] = ..., billing_cycle: _Optional[_Union[BillingCycle, str]] = ..., modules: _Optional[_Union[CodeList, _Mapping]] = ..., max_users: _Optional[int] = ..., max_transactions_monthly: _Optional[int] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., existing_tenants: _Optional[_Union[_feature_terms_pb2.ExistingTenants, str]] = ...) -> None: ...

class UpsertPlanResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: CataloguePlan
    def __init__(self, plan: _Optional[_Union[CataloguePlan, _Mapping]] = ...) -> None: ...

class ListPlansRequest(_message.Message):
    __slots__ = ("on_sale_only",)
    ON_SALE_ONLY_FIELD_NUMBER: _ClassVar[int]
    on_sale_only: bool
    def __init__(self, on_sale_only: bool = ...) -> None: ...

class ListPlansResponse(_message.Message):
    __slots__ = ("plans",)
    PLANS_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[CataloguePlan]
    def __init__(self, plans: _Optional[_Iterable[_Union[CataloguePlan, _Mapping]]] = ...) -> None: ...

class CataloguePlan(_message.Message):
    __slots__ = ("slug", "name", "on_sale", "price", "billing_cycle", "module_codes", "max_users", "max_transactions_monthly")
    SLUG_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ON_SALE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    BILLING_CYCLE_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODES_FIELD_NUMBER: _ClassVar[int]
    MAX_USERS_FIELD_NUMBER: _ClassVar[int]
    MAX_TRANSACTIONS_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    slug: str
    name: str
    on_sale: bool
    price: str
    billing_cycle: str
    module_codes: _containers.RepeatedScalarFieldContainer[str]
    max_users: int
    max_transactions_monthly: int
    def __init__(self, slug: _Optional[str] = ..., name: _Optional[str] = ..., on_sale: bool = ..., price: _Optional[str] = ..., billing_cycle: _Optional[str] = ..., module_codes: _Optional[_Iterable[str]] = ..., max_users: _Optional[int] = ..., max_transactions_monthly: _Optional[int] = ...) -> None: ...

class GetTenantRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class GetTenantResponse(_message.Message):
    __slots__ = ("tenant", "modules", "revision", "as_of", "flags", "limit_overrides", "limits", "entitlements", "kept_features", "kept_limits", "time_zone")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FEATURES_FIELD_NUMBER: _ClassVar[int]
    KEPT_LIMITS_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    tenant: _explanation_pb2.TenantFacts
    modules: _containers.RepeatedCompositeFieldContainer[TenantModule]
    revision: int
    as_of: _timestamp_pb2.Timestamp
    flags: _containers.RepeatedCompositeFieldContainer[_feature_terms_pb2.TenantFlag]
    limit_overrides: _containers.RepeatedCompositeFieldContainer[_feature_terms_pb2.LimitOverride]
    limits: _containers.RepeatedCompositeFieldContainer[_feature_pb2.Limit]
    entitlements: TenantEntitlements
    kept_features: _containers.RepeatedCompositeFieldContainer[_feature_terms_pb2.KeptFeature]
    kept_limits: _containers.RepeatedCompositeFieldContainer[_feature_terms_pb2.KeptLimit]
    time_zone: _feature_terms_pb2.TenantTimeZone
    def __init__(self, tenant: _Optional[_Union[_explanation_pb2.TenantFacts, _Mapping]] = ..., modules: _Optional[_Iterable[_Union[TenantModule, _Mapping]]] = ..., revision: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., flags: _Optional[_Iterable[_Union[_feature_terms_pb2.TenantFlag, _Mapping]]] = ..., limit_overrides: _Optional[_Iterable[_Union[_feature_terms_pb2.LimitOverride, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[_feature_pb2.Limit, _Mapping]]] = ..., entitlements: _Optional[_Union[TenantEntitlements, _Mapping]] = ..., kept_features: _Optional[_Iterable[_Union[_feature_terms_pb2.KeptFeature, _Mapping]]] = ..., kept_limits: _Optional[_Iterable[_Union[_feature_terms_pb2.KeptLimit, _Mapping]]] = ..., time_zone: _Optional[_Union[_feature_terms_pb2.TenantTimeZone, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("statuses", "plan_slug", "module_code", "text", "page_size", "page_token")
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedScalarFieldContainer[_tenant_pb2.TenantStatus]
    plan_slug: str
    module_code: str
    text: str
    page_size: int
    page_token: str
    def __init__(self, statuses: _Optional[_Iterable[_Union[_tenant_pb2.TenantStatus, str]]] = ..., plan_slug: _Optional[str] = ..., module_code: _Optional[str] = ..., text: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "next_page_token", "total")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[ListedTenant]
    next_page_token: str
    total: int
    def __init__(self, tenants: _Optional[_Iterable[_Union[ListedTenant, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class ListedTenant(_message.Message):
    __slots__ = ("id", "name", "subdomain", "database_schema", "status", "status_word", "plan_slug")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBDOMAIN_FIELD_NUMBER: _ClassVar[int]
    DATABASE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_WORD_FIELD_NUMBER: _ClassVar[int]
    PLAN_SLUG_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    subdomain: str
    database_schema: str
    status: _tenant_pb2.TenantStatus
    status_word: str
    plan_slug: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., subdomain: _Optional[str] = ..., database_schema: _Optional[str] = ..., status: _Optional[_Union[_tenant_pb2.TenantStatus, str]] = ..., status_word: _Optional[str] = ..., plan_slug: _Optional[str] = ...) -> None: ...

class TenantModule(_message.Message):
    __slots__ = ("module_code", "allowed", "reason", "valid_until", "subscriptions")
    MODULE_CODE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    module_code: str
    allowed: bool
    reason: _decision_pb2.DecisionReason
    valid_until: _timestamp_pb2.Timestamp
    subscriptions: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.SubscriptionFacts]
    def __init__(self, module_code: _Optional[str] = ..., allowed: bool = ..., reason: _Optional[_Union[_decision_pb2.DecisionReason, str]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subscriptions: _Optional[_Iterable[_Union[_explanation_pb2.SubscriptionFacts, _Mapping]]] = ...) -> None: ...

class CheckSubdomainRequest(_message.Message):
    __slots__ = ("subdomain",)
    SUBDOMAIN_FIELD_NUMBER: _ClassVar[int]
    subdomain: str
    def __init__(self, subdomain: _Optional[str] = ...) -> None: ...

class CheckSubdomainResponse(_message.Message):
    __slots__ = ("available", "reason", "message", "database_schema")
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DATABASE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    available: bool
    reason: SubdomainReason
    message: str
    database_schema: str
    def __init__(self, available: bool = ..., reason: _Optional[_Union[SubdomainReason, str]] = ..., message: _Optional[str] = ..., database_schema: _Optional[str] = ...) -> None: ...
