"""What a lease says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..clock import NS
from .jwt import Refusal, malformed, read_object

LATEST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970: no instant lies beyond."""

Feature = tuple[bool, Any]
"""Is it on, and its value."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a lease. Instants are nanoseconds since 1970."""

    issuer: str
    tenant: UUID
    audience: str | None
    issued_at: int
    not_before: int
    expires_at: int
    revision: int
    as_of: int
    asked: frozenset[str] | None
    """The modules that were asked for; None: all."""
    modules: Mapping[str, int]
    features: Mapping[str, Mapping[str, Feature]]

    @classmethod
    def read(cls, payload: bytes) -> Claims:
        """Reads a payload whose signature is good. Claims that are not known are passed over."""
        try:
            claims = read_object(payload)
        except ValueError:
            raise malformed() from None
        return cls(
            issuer=_text(claims, "iss"),
            tenant=_tenant(claims),
            audience=_text(claims, "aud") if "aud" in claims else None,
            issued_at=_instant(claims, "iat"),
            not_before=_instant(claims, "nbf"),
            expires_at=_instant(claims, "exp"),
            revision=_whole(claims, "revision", 2**64 - 1),
            as_of=_instant(claims, "as_of"),
            asked=_asked(claims),
            modules=_modules(claims),
            features=_features(claims),
        )

    def belongs(self, issuer: str, tenant: UUID, audience: str | None) -> None:
        """Refuses what is not of this issuer, tenant and audience."""
        if self.issuer != issuer:
            raise Refusal("WRONG_ISSUER", "it is of another issuer")
        if self.tenant != tenant:
            raise Refusal("WRONG_TENANT", "it is of another tenant")
        # RFC 7519, section 4.1.3: whoever is no part of the audience must refuse it.
        if self.audience != audience:
            raise Refusal("WRONG_AUDIENCE", "it is for another audience")

    def was_asked_for(self, module: str) -> bool:
        return self.asked is None or module in self.asked


def _bad(name: str) -> Refusal:
    return Refusal("BAD_CLAIM", f"its claim {name!r} is missing or not as wanted")


def _text(claims: dict[str, Any], name: str) -> str:
    text = claims.get(name)
    if not isinstance(text, str):
        raise _bad(name)
    return text


def _whole(claims: dict[str, Any], name: str, most: int) -> int:
    number = claims.get(name)
    # A bool is an int here, and not in JSON.
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= most:
        raise _bad(name)
    return number


def _instant(claims: dict[str, Any], name: str) -> int:
    """Whole seconds since 1970, as servers write them."""
    return _whole(claims, name, LATEST) * NS


def _tenant(claims: dict[str, Any]) -> UUID:
    text = _text(claims, "sub")
    try:
        tenant = UUID(text)
    except ValueError:
        raise _bad("sub") from None
    # UUID() takes braces and other spellings.
    if str(tenant) != text.lower():
        raise _bad("sub")
    return tenant


def _asked(claims: dict[str, Any]) -> frozenset[str] | None:
    asked = claims.get("asked")
    if asked == "*":
        return None
    if not isinstance(asked, list) or not all(isinstance(code, str) for code in asked):
        raise _bad("asked")
    return frozenset(asked)


def _modules(claims: dict[str, Any]) -> dict[str, int]:
    modules = claims.get("modules")
    if not isinstance(modules, dict):
        raise _bad("modules")
    try:
        return {code: _instant(modules, code) for code in modules}
    except Refusal:
        raise _bad("modules") from None


def _features(claims: dict[str, Any]) -> dict[str, dict[str, Feature]]:
    features = claims.get("features", {})
    if not isinstance(features, dict):
        raise _bad("features")
    return {code: _features_of(said) for code, said in features.items()}


def _features_of(features: Any) -> dict[str, Feature]:
    if not isinstance(features, dict):
        raise _bad("features")
    read = {}
    for key, said in features.items():
        if not isinstance(said, dict) or not isinstance(said.get("on"), bool):
            raise _bad("features")
        read[key] = (said["on"], said.get("value"))
    return read
