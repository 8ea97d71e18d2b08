"""Held answers of ResolveTenant, by a hash of what requests carry."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from ..answers import Resolved
from ..clock import Clock
from .held import NEVER, HeldResolved

_HASH = blake2b(key=secrets.token_bytes(32), digest_size=16)
"""With a key that is made with the process: a hash tells nobody which token it was. To be copied."""


LONGEST_HOST = 255
"""A longer one is no name (RFC 1035), and would take up room."""

Key = bytes | tuple[bytes, bytes]
"""What is remembered of what a request carried: with a token a hash of all, or else what anybody may know: X-Tenant-ID
and Host, as they stand in the headers."""


def key_of(tenant_id: str, host: str, bearer_token: str) -> Key:
    """The key under which the answer for these is held."""
    if not bearer_token and len(host) <= LONGEST_HOST and tenant_id.isascii() and host.isascii():
        # Nothing secret: a hash of it would take longer than all else that is done with it. Only ASCII: headers are
        # looked for as they came, and those that are something else are to be refused, and not to be found.
        return tenant_id.encode(), host.encode()
    # Lengths first, so that no two requests look the same.
    carried = f"{len(tenant_id)}.{len(host)}.{tenant_id}{host}{bearer_token}"
    digest = _HASH.copy()
    digest.update(carried.encode("utf-8", "surrogatepass"))
    return digest.digest()


class ResolvedCache:
    """The newest so many answers. Changed under the core's lock; looks take none."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        self._capacity = capacity
        self._wall, self._mono = clock.wall, clock.mono
        self._answers: OrderedDict[Key, HeldResolved] = OrderedDict()
        self._of_tenant: dict[str, set[Key]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, tenant_id: str, host: str, bearer_token: str) -> Resolved | None:
        """Who it is, if that is held and good."""
        return self._if_good(self._answers.get(key_of(tenant_id, host, bearer_token)))

    def of_request(self, headers: Iterable[tuple[bytes, bytes]], with_token: bool) -> Resolved | None:
        """The same of a request, by its headers as ASGI has them. None also where they are to be read with more care, as
        `carried` does. Most requests end here.

        `with_token`: False: Authorization is not looked at.
        """
        tenant_id = host = authorization = None
        # To make a dict of them takes longer: it needs the hash of each name.
        for name, value in headers:
            if name == b"x-tenant-id":
                if tenant_id is not None:
                    return None
                tenant_id = value
            elif name == b"host":
                if host is not None:
                    return None
                host = value
            elif name == b"authorization" and with_token:
                if authorization is not None:
                    return None
                authorization = value
        if authorization:
            return self._with_token(tenant_id or b"", host or b"", authorization)
        held = self._answers.get((tenant_id or b"", host or b""))
        if held is not None and held.valid_until is NEVER and self._mono() < held.stream.sure_until:
            # As most are, and then nothing else can stand against it.
            return held.resolved
        return self._if_good(held)

    def _with_token(self, tenant_id: bytes, host: bytes, authorization: bytes) -> Resolved | None:
        try:
            token = authorization.decode("ascii")
            is_bearer = token[:7].lower() == "bearer "
            key = key_of(tenant_id.decode("ascii"), host.decode("ascii"), token if is_bearer else "")
        except UnicodeDecodeError:
            return None
        return self._if_good(self._answers.get(key))

    def _if_good(self, held: HeldResolved | None) -> Resolved | None:
        if held is None or (held.valid_until < NEVER and self._wall() >= held.valid_until):
            return None
        mono, stream = self._mono(), held.stream
        if mono < stream.sure_until:
            return held.resolved
        is_young = mono < held.kept_until and not stream.era.is_outdated and not stream.is_doubted(held.asked, mono)
        return held.resolved if is_young else None

    def whatever(self, key: Key) -> HeldResolved | None:
        """The answer, good or not: only an outage rule may look at it."""
        return self._answers.get(key)

    def refused(self, key: Key) -> None:
        """The server refuses whoever carries this."""
        self._drop(key)

    def keep(self, key: Key, answer: HeldResolved) -> None:
        self._drop(key)
        self._answers[key] = answer
        self._of_tenant.setdefault(answer.resolved.tenant.id, set()).add(key)
        while len(self._answers) > self._capacity:
            self._drop(next(iter(self._answers)))

    def forget(self, tenant: str) -> None:
        """The tenant has changed."""
        for key in self._of_tenant.pop(tenant, ()):
            self._answers.pop(key, None)

    def clear(self) -> None:
        self._answers.clear()
        self._of_tenant.clear()

    def _drop(self, key: Key) -> None:
        held = self._answers.pop(key, None)
        if held is None:
            return
        tenant = held.resolved.tenant.id
        keys = self._of_tenant.get(tenant, set())
        keys.discard(key)
        if not keys:
            self._of_tenant.pop(tenant, None)
