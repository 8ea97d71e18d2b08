"""Refusals, as RFC 9457 writes them: `application/problem+json`, with the sentence as `detail`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any

from starlette.responses import Response

from .._core.features import is_known
from ..answers import Answer, FeatureAnswer, Reservation
from ..errors import (
    EntitlementError,
    EntitlementsUnavailableError,
    FeatureOffError,
    LimitExceededError,
    ModuleDeniedError,
    RequestRefusedError,
    UsageRefusedError,
)

NO_TENANT_SENTENCE = "Tenant context not found. Please login."
BROKEN_SENTENCE = "The request cannot be judged at the moment. Please try again later."

_STATUS = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "NOT_FOUND": 401, "PERMISSION_DENIED": 403}
_OUR_OWN_FAULT = frozenset({"CALLER_UNAUTHENTICATED", "CALLER_NOT_ALLOWED"})
"""The server refuses this service, and not the request that it was asked about."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal."""

    status: int
    detail: str
    """A sentence that can be shown to a person."""
    reason: str
    """A word for programs: "NOT_SUBSCRIBED", "TENANT_CONFLICT", or "UNSPECIFIED" where nobody knows."""
    plan_slugs: tuple[str, ...] = ()
    retry_after: float | None = None
    """Seconds."""

    def body(self) -> dict[str, Any]:
        """What `application/problem+json` says, for who makes a response of another framework."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.plan_slugs:
            body["plan_slugs"] = self.plan_slugs
        return body

    def headers(self) -> dict[str, str]:
        """The headers that belong to it, besides its content type."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, ceil(self.retry_after)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return headers

    def response(self) -> Response:
        return Response(json.dumps(self.body()), self.status, self.headers(), media_type="application/problem+json")


ANSWERED = (ModuleDeniedError, FeatureOffError, LimitExceededError, UsageRefusedError, EntitlementsUnavailableError)
"""Errors that are no fault of the endpoint that raises them."""

NO_TENANT = Problem(401, NO_TENANT_SENTENCE, "TENANT_NOT_FOUND")
BROKEN = Problem(500, BROKEN_SENTENCE, "UNSPECIFIED")


def of_denial(answer: Answer) -> Problem:
    """403, or 503 where the outage rule denied: nobody knows that the tenant may not."""
    if answer.by_outage_rule:
        return Problem(503, answer.message, answer.reason, retry_after=1.0)
    return Problem(403, answer.message, answer.reason, answer.plan_slugs)


def of_feature(answer: FeatureAnswer) -> Problem:
    """The same of a feature that is off, with the module's reason where that is denied. What a list that is held says is
    known, also in an outage."""
    if not is_known(answer):
        return Problem(503, answer.message, answer.reason, retry_after=1.0)
    reason = answer.module_reason if answer.reason == "MODULE_DENIED" else answer.reason
    return Problem(403, answer.message, reason, answer.plan_slugs)


def of_reservation(reservation: Reservation) -> Problem:
    """Of what was not granted."""
    return Problem(403, reservation.message, reservation.word, reservation.plan_slugs)


def of_error(error: EntitlementError) -> Problem | None:
    """What an endpoint's own question comes to, where that raises ANSWERED: 403 for what the tenant may not, 503 in an
    outage. None: it is another error, which is a fault of the service."""
    match error:
        case ModuleDeniedError():
            return of_denial(error.answer)
        case FeatureOffError():
            return of_feature(error.answer)
        case LimitExceededError(decision=decision):
            reason = decision.tenant_reason if decision.reason == "TENANT_DENIED" else decision.reason
            return Problem(403, decision.message, reason, decision.plan_slugs)
        case UsageRefusedError(reservation=reservation):
            return of_reservation(reservation)
        case EntitlementsUnavailableError():
            return of_outage(error)
    return None


def of_refusal(error: RequestRefusedError) -> Problem:
    """What the server says of a request that names no tenant, or one that is not served."""
    status = _STATUS.get(error.code)
    if status is None or error.reason in _OUR_OWN_FAULT:
        return BROKEN
    if error.code == "NOT_FOUND":
        return NO_TENANT
    return Problem(status, str(error), error.reason or "UNSPECIFIED")


def of_outage(error: EntitlementsUnavailableError) -> Problem:
    return Problem(503, BROKEN_SENTENCE, "UNSPECIFIED", retry_after=error.retry_after)
