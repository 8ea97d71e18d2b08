"""The methods of the services that clients call, of one channel."""

from __future__ import annotations

from typing import Any

from ._proto.entitlement_service_pb2_grpc import EntitlementServiceStub
from ._proto.lease_service_pb2_grpc import LeaseServiceStub
from ._proto.usage_service_pb2_grpc import UsageServiceStub
from .errors import Failure

RECORD_USAGE = "RecordUsage"
"""The one that is a stream, and is called with one message: its answer is the first of the stream."""

ENDED = Failure("UNAVAILABLE", "the server has ended the stream before it answered")
"""It is about to stop, and may have counted the message."""


class Stubs(EntitlementServiceStub, LeaseServiceStub, UsageServiceStub):
    """Each method by its name: no two services have one with the same."""

    def __init__(self, channel: Any) -> None:
        EntitlementServiceStub.__init__(self, channel)  # type: ignore[no-untyped-call]
        LeaseServiceStub.__init__(self, channel)  # type: ignore[no-untyped-call]
        UsageServiceStub.__init__(self, channel)  # type: ignore[no-untyped-call]
