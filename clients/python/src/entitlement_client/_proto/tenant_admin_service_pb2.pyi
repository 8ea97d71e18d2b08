from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
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
