from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TenantStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_STATUS_UNSPECIFIED: _ClassVar[TenantStatus]
    TENANT_STATUS_ACTIVE: _ClassVar[TenantStatus]
    TENANT_STATUS_PENDING: _ClassVar[TenantStatus]
    TENANT_STATUS_PENDING_SETUP: _ClassVar[TenantStatus]
    TENANT_STATUS_SUSPENDED: _ClassVar[TenantStatus]
    TENANT_STATUS_CANCELLED: _ClassVar[TenantStatus]
    TENANT_STATUS_FAILED: _ClassVar[TenantStatus]
    TENANT_STATUS_OTHER: _ClassVar[TenantStatus]

class TenantSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_SOURCE_UNSPECIFIED: _ClassVar[TenantSource]
    TENANT_SOURCE_BEARER_TOKEN: _ClassVar[TenantSource]
    TENANT_SOURCE_TENANT_ID: _ClassVar[TenantSource]
    TENANT_SOURCE_HOST: _ClassVar[TenantSource]
    TENANT_SOURCE_CERTIFICATE: _ClassVar[TenantSource]
TENANT_STATUS_UNSPECIFIED: TenantStatus
TENANT_STATUS_ACTIVE: TenantStatus
TENANT_STATUS_PENDING: TenantStatus
TENANT_STATUS_PENDING_SETUP: TenantStatus
TENANT_STATUS_SUSPENDED: TenantStatus
TENANT_STATUS_CANCELLED: TenantStatus
TENANT_STATUS_FAILED: TenantStatus
TENANT_STATUS_OTHER: TenantStatus
TENANT_SOURCE_UNSPECIFIED: TenantSource
TENANT_SOURCE_BEARER_TOKEN: TenantSource
TENANT_SOURCE_TENANT_ID: TenantSource
TENANT_SOURCE_HOST: TenantSource
TENANT_SOURCE_CERTIFICATE: TenantSource

class Tenant(_message.Message):
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
    status: TenantStatus
    plan_slug: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., subdomain: _Optional[str] = ..., database_schema: _Optional[str] = ..., status: _Optional[_Union[TenantStatus, str]] = ..., plan_slug: _Optional[str] = ...) -> None: ...
