"""What can go wrong. A denial is an answer, and an error only for those who `require`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .answers import Answer, FeatureAnswer, LimitDecision, Reservation

OUTAGES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN"})
"""Statuses that say that the server does not answer. UNKNOWN and CANCELLED: how a connection that broke may look."""


class EntitlementError(Exception):
    """The root of all errors of this library."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        for tell in made:
            tell(self)


made: list[Callable[[EntitlementError], None]] = []
"""Who is told of each error before it is raised, so that frameworks know by then how it is answered."""


class ClientMisuseError(EntitlementError, RuntimeError):
    """The client cannot be used like this: it was closed, or belongs to another event loop or process."""


class ModuleDeniedError(EntitlementError):
    """The tenant may not use the module. `str()` is the sentence to show."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class FeatureOffError(EntitlementError):
    """The feature is off for the tenant. `str()` is the sentence to show."""

    def __init__(self, answer: FeatureAnswer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class LimitExceededError(EntitlementError):
    """The tenant may not have so much more. `str()` is the sentence to show."""

    def __init__(self, decision: LimitDecision) -> None:
        super().__init__(decision.message)
        self.decision = decision


class UsageRefusedError(EntitlementError):
    """So much of the limit was not to be had. `str()` is the sentence to show."""

    def __init__(self, reservation: Reservation) -> None:
        super().__init__(reservation.message)
        self.reservation = reservation


class EntitlementsUnavailableError(EntitlementError):
    """The server could not be asked, and what is held does not answer: try again, after `retry_after` seconds."""

    def __init__(self, message: str, *, code: str = "UNAVAILABLE", retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class RequestRefusedError(EntitlementError):
    """The server refused the question itself.

    `code` is the status, "INVALID_ARGUMENT" for example; `reason` the word of ErrorReason, "TENANT_CONFLICT" for example,
    or empty; `str()` says what is wrong.
    """

    def __init__(self, code: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed, as a value: those who waited for the same call each raise an error of their own."""

    code: str
    """The status: "UNAVAILABLE"."""
    message: str
    reason: str = ""
    """The word of ErrorInfo, where the server gave one."""
    retry_after: float | None = None
    """Seconds, where the server said."""
    asked: bool = True
    """False: nobody was asked, because an outage is known."""

    @property
    def is_outage(self) -> bool:
        return self.code in OUTAGES

    @property
    def is_of_server(self) -> bool:
        """The server itself said so, with its ErrorInfo: it is there, and says nothing of other tenants."""
        return self.reason != ""

    @property
    def names_nobody(self) -> bool:
        """The server says that what was carried names no tenant that is served, or is not valid. Other refusals concern
        the caller, or come from whoever is in between."""
        is_about_them = self.code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND")
        return is_about_them and self.is_of_server and not self.reason.startswith("CALLER_")

    def error(self) -> EntitlementError:
        """As an error to raise."""
        if self.is_outage:
            return EntitlementsUnavailableError(self.message, code=self.code, retry_after=self.retry_after or 1.0)
        return RequestRefusedError(self.code, self.message, self.reason)
