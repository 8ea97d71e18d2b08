"""A double of a server as it was before features and limits."""

from __future__ import annotations

from typing import Any

from entitlement_client.errors import Failure
from entitlement_client.testing import InMemoryEntitlements


def older(double: InMemoryEntitlements) -> None:
    """A server that knows neither features nor limits."""
    real = double.answer

    def answer(method: str, request: Any) -> Any:
        response = real(method, request)
        if method in ("CheckFeature", "CheckLimit"):
            return Failure("UNIMPLEMENTED", "")
        if method == "ListEnabledModules":
            response.ClearField("limits")
            response.ClearField("limit_enforcement")
            for module in response.modules:
                module.ClearField("features")
        return response

    double.answer = answer  # type: ignore[method-assign]
