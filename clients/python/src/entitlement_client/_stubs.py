"""The methods of the services that clients call, of one channel."""

from __future__ import annotations

from typing import Any

from ._proto.entitlement_service_pb2_grpc import EntitlementServiceStub
from ._proto.usage_service_pb2_grpc import UsageServiceStub


class Stubs(EntitlementServiceStub, UsageServiceStub):
    """Each method by its name: no two services have one with the same."""

    def __init__(self, channel: Any) -> None:
        EntitlementServiceStub.__init__(self, channel)  # type: ignore[no-untyped-call]
        UsageServiceStub.__init__(self, channel)  # type: ignore[no-untyped-call]
