"""Statuses to failures."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from .clock import NS
from .errors import Failure

_DETAILS = "grpc-status-details-bin"


def to_failure(error: Any) -> Failure:
    """The failure that an RpcError tells of."""
    code = error.code().name
    message = error.details() or ""
    if code == "CANCELLED" and message == "Timeout expired":
        # tonic says so where a deadline has passed.
        code = "DEADLINE_EXCEEDED"
    reason, retry_after = _details(error.trailing_metadata() or ())
    return Failure(code, message, reason, retry_after)


def _details(metadata: Any) -> tuple[str, float | None]:
    """ErrorInfo's reason and RetryInfo's delay in seconds, where there are any."""
    reason, retry_after = "", None
    packed = next((value for key, value in metadata if key == _DETAILS), b"")
    try:
        details = status_pb2.Status.FromString(packed).details
        for detail in details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == "entitlement.v1":
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / NS
    except DecodeError:
        # Somebody between us and the server wrote them: the code says enough.
        return "", None
    return reason, retry_after
