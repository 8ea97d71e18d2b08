"""Signed leases: what a tenant may use, verified without a connection.

from entitlement_client.signed_lease import LeaseVerifier

verifier = LeaseVerifier(Path("jwks.json").read_bytes())
lease = verifier.verify(tenant, token)
lease.allows("finance")

It needs the extra `leases`: pip install 'entitlement-client[leases]'. It has nothing to do with the leases of usage,
which are slices of a limit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from ._signed_lease.claims import Claims
from ._signed_lease.guard import Guard
from ._signed_lease.jwt import Keys, Refusal, read_payload
from .clock import Clock, instant
from .errors import EntitlementError

__all__ = ["LeaseAnswer", "LeaseFeature", "LeaseKeysError", "LeaseRefusedError", "LeaseVerifier", "SignedLease"]

ISSUER = "entitlementd"
"""The `iss` of leases, unless a server was given another one (`--lease-issuer`)."""

SKEW = timedelta(seconds=60)
"""How far two clocks may be apart, unless something else is said."""

BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux has it."""


class LeaseKeysError(EntitlementError, ValueError):
    """A set of keys that cannot be used. `str()` says why."""


class LeaseRefusedError(EntitlementError):
    """A lease that is not accepted.

    `reason` is a word, and `str()` says it to people: "TOO_LARGE", "MALFORMED", "WRONG_TYPE", "WRONG_ALGORITHM",
    "UNKNOWN_KEY" (the keys may have changed: fetch them again), "BAD_SIGNATURE", "BAD_CLAIM", "WRONG_ISSUER",
    "WRONG_TENANT", "WRONG_AUDIENCE", "NOT_YET_VALID" (this clock is behind), "EXPIRED" (get a new one) or
    "CLOCK_SET_BACK" (it has ended, and the clock says otherwise).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """May a module be used by a lease? It is true or false as `allowed` is."""

    module: str
    """The code as it was asked for."""
    allowed: bool
    reason: str
    """Why, or why not: "GRANTED", "DENIED" (it was asked for, and the tenant did not have it), "NOT_ASKED_FOR" (the lease
    does not say), "ENDED" (the tenant's right has ended, before the lease), "EXPIRED" (the lease has ended) or
    "CLOCK_SET_BACK" (one of them has ended, and the clock says otherwise)."""
    until: datetime | None = None
    """Until when the lease grants it, or did; None: it never did."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class LeaseFeature:
    """Is a feature on by a lease? It is true or false as `enabled` is."""

    module: str
    key: str
    enabled: bool
    reason: str
    """As of an answer; or "OFF": it was switched off when the lease was issued, or there was none."""
    value: Any = None
    """What it is set to; None: nothing, or it is off."""

    def __bool__(self) -> bool:
        return self.enabled


class LeaseVerifier:
    """Verifies signed leases, without a connection. Any number of threads may use one: make one for a process.

    Whoever sets the device's clock back must not make a lease last longer. So a verifier knows an instant before which it
    cannot be: what the clock showed when it was made, and the latest that it has seen since, in leases and on the clock;
    from there it counts by a clock that nobody sets. Where the device or the application may be started again, keep
    `latest()`, and give it to the next verifier. A clock that was wrong, and ahead, is believed no further than the lease
    reaches that was verified by it.
    """

    def __init__(
        self,
        jwks: bytes | str,
        *,
        issuer: str = ISSUER,
        audience: str | None = None,
        skew: timedelta = SKEW,
        latest: datetime | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`jwks`: the set of public keys that servers publish at /.well-known/jwks.json. Raises LeaseKeysError.

        - `issuer`: the `iss` that leases must have, where servers have `--lease-issuer`.
        - `audience`: who this is. Only leases for this audience are accepted; None: only those that are for anybody.
        - `skew`: how far this clock and the server's may be apart. So much longer, too, everything lasts that a lease
          grants.
        - `latest`: it cannot be before this instant, which another verifier gave before the application was started
          again.
        - `clock`: for tests.
        """
        self._keys = _keys(jwks)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock or Clock(mono=_since_boot)
        self._guard = Guard(self._clock.wall(), self._clock.mono(), skew // timedelta(microseconds=1) * 1000)
        if latest is not None:
            self._guard.begin_at(_nanoseconds(latest), self._clock.mono())

    def replace_keys(self, jwks: bytes | str) -> None:
        """Verifies with these keys from now on: those that servers publish now. Leases that were verified before go on.
        Raises LeaseKeysError, and then the keys before stay."""
        self._keys = _keys(jwks)

    def latest(self) -> datetime | None:
        """The latest instant that is known to have passed, by the leases that were verified and the time since: for the
        next verifier, after the application was started again. Where you keep it, whoever can change it can make a lease
        last longer. None: no lease was verified yet."""
        latest = self._guard.latest(self._clock.mono())
        return None if latest is None else instant(latest)

    def verify(self, tenant: str | UUID, lease: str) -> SignedLease:
        """Verifies a lease of this tenant. Raises LeaseRefusedError, whose `reason` says why it is not accepted, and
        ValueError for what is no tenant's id."""
        wanted = tenant if isinstance(tenant, UUID) else UUID(tenant)
        wall, mono = self._clock.wall(), self._clock.mono()
        try:
            claims = Claims.read(read_payload(self._keys, lease))
            claims.belongs(self._issuer, wanted, self._audience)
            if self._guard.is_ahead(max(claims.issued_at, claims.not_before), wall, mono):
                raise Refusal("NOT_YET_VALID", f"it begins at {instant(claims.not_before)}, and the clock is behind that")
            self._guard.observe(claims.issued_at, claims.expires_at, wall, mono)
            ended = self._guard.ended(claims.expires_at, wall, mono)
            if ended is not None:
                why = ", and the clock was set back" if ended == "CLOCK_SET_BACK" else ""
                raise Refusal(ended, f"it has ended at {instant(claims.expires_at)}{why}")
        except Refusal as refusal:
            # Not the cause: what cannot be read may be anything, and as long as it likes.
            raise LeaseRefusedError(refusal.reason, refusal.message) from None
        return SignedLease(claims, self._guard, self._clock)


class SignedLease:
    """A lease that was verified. What it answers depends on the time at which it is asked: one that is kept ends by
    itself."""

    def __init__(self, claims: Claims, guard: Guard, clock: Clock) -> None:
        self._claims = claims
        self._guard = guard
        self._clock = clock

    def __repr__(self) -> str:
        return (
            f"SignedLease(tenant={self.tenant}, expires_at={self.expires_at.isoformat()}, modules={list(self.modules)})"
        )

    @property
    def tenant(self) -> UUID:
        """The tenant whose lease it is."""
        return self._claims.tenant

    @property
    def issued_at(self) -> datetime:
        """When it was issued."""
        return instant(self._claims.issued_at)

    @property
    def expires_at(self) -> datetime:
        """When it ends. A module may end before."""
        return instant(self._claims.expires_at)

    @property
    def revision(self) -> int:
        """The revision of the tenant's facts that it rests on; 0: the server does not count."""
        return self._claims.revision

    @property
    def as_of(self) -> datetime:
        """When those facts were read."""
        return instant(self._claims.as_of)

    @property
    def modules(self) -> Mapping[str, datetime]:
        """The modules that it grants, each with its end; those that have ended meanwhile among them."""
        return MappingProxyType({code: instant(until) for code, until in sorted(self._claims.modules.items())})

    def allows(self, module: str) -> bool:
        """May the tenant use this module now, by this lease?"""
        return self.check(module).allowed

    def check(self, module: str) -> LeaseAnswer:
        """The same, with the reason."""
        claims, guard = self._claims, self._guard
        wall, mono = self._clock.wall(), self._clock.mono()
        guard.observe(claims.issued_at, claims.expires_at, wall, mono)
        until = claims.modules.get(module)
        reason = guard.ended(claims.expires_at, wall, mono)
        if reason is None and until is not None:
            ended = guard.ended(until, wall, mono)
            reason = "ENDED" if ended == "EXPIRED" else ended
        if reason is None:
            absent = "DENIED" if claims.was_asked_for(module) else "NOT_ASKED_FOR"
            reason = absent if until is None else "GRANTED"
        return LeaseAnswer(module, reason == "GRANTED", reason, None if until is None else instant(until))

    def feature(self, module: str, key: str) -> LeaseFeature:
        """Is a feature of a module on, and what is it set to?"""
        answer = self.check(module)
        if not answer.allowed:
            return LeaseFeature(module, key, False, answer.reason)
        said = self._claims.features.get(module, {}).get(key)
        if said is None:
            return LeaseFeature(module, key, False, "NOT_ASKED_FOR")
        is_on, value = said
        return LeaseFeature(module, key, True, "GRANTED", value) if is_on else LeaseFeature(module, key, False, "OFF")


def _keys(jwks: bytes | str) -> Keys:
    try:
        return Keys.parse(jwks.encode() if isinstance(jwks, str) else jwks)
    except ValueError as error:
        raise LeaseKeysError(str(error)) from None


def _nanoseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return (at - instant(0)) // timedelta(microseconds=1) * 1000


def _since_boot() -> int:
    """A clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
    return time.monotonic_ns() if BOOT is None else time.clock_gettime_ns(BOOT)
