import datetime

from . import decision_pb2 as _decision_pb2
from . import explanation_pb2 as _explanation_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubdomainReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBDOMAIN_REASON_UNSPECIFIED: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_AVAILABLE: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_INVALID: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_RESERVED: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_TAKEN: _ClassVar[SubdomainReason]
    SUBDOMAIN_REASON_SCHEMA_TAKEN: _ClassVar[SubdomainReason]
SUBDOMAIN_REASON_UNSPECIFIED: SubdomainReason
SUBDOMAIN_REASON_AVAILABLE: SubdomainReason
SUBDOMAIN_REASON_INVALID: SubdomainReason
SUBDOMAIN_REASON_RESERVED: SubdomainReason
SUBDOMAIN_REASON_TAKEN: SubdomainReason
SUBDOMAIN_REASON_SCHEMA_TAKEN: SubdomainReason

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
    __slots__ = ("tenant", "modules", "revision", "as_of")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    tenant: _explanation_pb2.TenantFacts
    modules: _containers.RepeatedCompositeFieldContainer[TenantModule]
    revision: int
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[_Union[_explanation_pb2.TenantFacts, _Mapping]] = ..., modules: _Optional[_Iterable[_Union[TenantModule, _Mapping]]] = ..., revision: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
