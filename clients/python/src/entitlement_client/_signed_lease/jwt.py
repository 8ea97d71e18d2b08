"""From a token to what it says, if one of the keys has signed it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, NoReturn

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError as error:
    raise ImportError("signed leases need the extra `leases`: pip install 'entitlement-client[leases]'") from error

LEASE_TYPE = "entitlement-lease+jwt"
"""`typ` of the header of a lease: no other token has it."""

MAX_LEASE_BYTES = 32 * 1024
"""Servers sign none that is larger."""

MAX_SET_BYTES, MAX_KEYS = 256 * 1024, 100
KEY_BYTES = 32


class Refusal(Exception):  # noqa: N818 - it never leaves the library
    """Why a lease is not accepted: a word, and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def malformed() -> Refusal:
    return Refusal("MALFORMED", "it is no JWT, or one that is not read in one way only")


class Keys:
    """Public keys by their names."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    @classmethod
    def parse(cls, jwks: bytes) -> Keys:
        """Reads a set. Members that are for something else are passed over (RFC 7517, section 5). Raises ValueError."""
        members = _members(jwks)
        if any(isinstance(member, dict) and "d" in member for member in members):
            raise ValueError("it holds a private key, which must not leave the server: take the published set")
        keys: dict[str, Ed25519PublicKey] = {}
        for kid, key in _usable(members):
            if kid in keys:
                raise ValueError("two of its keys have one kid")
            keys[kid] = key
        if not keys:
            raise ValueError("it holds no Ed25519 key that has a kid")
        return cls(keys)

    def named(self, kid: object) -> Ed25519PublicKey:
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Refusal("UNKNOWN_KEY", "none of the keys has signed it: fetch the published set again")
        return key


def read_payload(keys: Keys, lease: str) -> bytes:
    """What a lease says, as far as it is one and signed by one of these keys."""
    if len(lease) > MAX_LEASE_BYTES:
        raise Refusal("TOO_LARGE", f"it is longer than {MAX_LEASE_BYTES} bytes")
    parts = lease.split(".")
    if len(parts) != 3 or not lease.isascii():
        raise malformed()
    header, payload, signature = parts
    key = _signer(keys, _decoded(header))
    try:
        key.verify(_decoded(signature), f"{header}.{payload}".encode())
    except InvalidSignature:
        raise Refusal("BAD_SIGNATURE", "its signature is not that of its key") from None
    return _decoded(payload)


def read_object(text: bytes) -> dict[str, Any]:
    """JSON that can be read in one way only: no name stands twice in an object. Two libraries that take different ones of
    two claims would disagree on what was signed. Raises ValueError."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


def _signer(keys: Keys, header: bytes) -> Ed25519PublicKey:
    """The key that a header names. Type and algorithm are pinned: nothing that a token says of itself chooses how it is
    verified."""
    try:
        said = read_object(header)
    except ValueError:
        raise malformed() from None
    if said.get("alg") != "EdDSA":
        raise Refusal("WRONG_ALGORITHM", "it is not signed with EdDSA")
    if said.get("typ") != LEASE_TYPE:
        raise Refusal("WRONG_TYPE", "it is a token of another kind")
    # RFC 7515, section 4.1.11: what must be understood, and is not.
    if "crit" in said:
        raise malformed()
    return keys.named(said.get("kid"))


def _decoded(part: str) -> bytes:
    """Base64url without padding, in the one way in which it can be written."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise malformed() from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise malformed()
    return data


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) != len(members):
        raise ValueError("a name stands there twice")
    return read


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _members(jwks: bytes) -> list[Any]:
    wrong = "it is no JWK set (RFC 7517), or larger than one may be"
    if len(jwks) > MAX_SET_BYTES:
        raise ValueError(wrong)
    try:
        members = read_object(jwks).get("keys")
    except ValueError:
        raise ValueError(wrong) from None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ValueError(wrong)
    return members


def _usable(members: list[Any]) -> Iterator[tuple[str, Ed25519PublicKey]]:
    """The keys that verify EdDSA with Ed25519, and their names."""
    for member in members:
        if not isinstance(member, dict) or (member.get("kty"), member.get("crv")) != ("OKP", "Ed25519"):
            continue
        operations = member.get("key_ops", ["verify"])
        is_for_it = (
            member.get("use", "sig") == "sig"
            and member.get("alg", "EdDSA") in ("EdDSA", "Ed25519")
            and isinstance(operations, list)
            and "verify" in operations
        )
        kid, x = member.get("kid"), member.get("x")
        if not is_for_it or not isinstance(kid, str) or not isinstance(x, str):
            continue
        try:
            point = _decoded(x)
            if len(point) == KEY_BYTES:
                yield kid, Ed25519PublicKey.from_public_bytes(point)
        except (Refusal, ValueError):
            continue
