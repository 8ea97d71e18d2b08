"""Where the server is, and how to connect to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from . import _environment

Token = str | Callable[[], str]
"""Who the caller is: a bearer token, or what gives the present one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses and credentials. Raises ValueError where they cannot be used."""

    endpoints: tuple[str, ...]
    """ "host:port" or "unix:/path". One is used at a time; the next one when it does not answer."""
    credentials: grpc.ChannelCredentials | None = None
    """None: plaintext."""
    token: Token | None = None
    keepalive: float = 10.0
    """Seconds between signs of life. One that is not answered for 5 s ends the connection."""
    variable: str = ""
    """Of the environment, that has named the endpoints. Empty: none has."""

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("no endpoint: pass host:port, or unix:/path")
        if not self.keepalive > 0:
            raise ValueError(f"keepalive has to be above 0, and is {self.keepalive}")
        if self.token is not None and self.credentials is None:
            for endpoint in self.endpoints:
                if not _is_local(endpoint):
                    named = f"{self.variable} cannot be used: " if self.variable else ""
                    raise ValueError(f"{named}the token would cross the network to {endpoint} unencrypted: pass ca_file")

    def options(self, endpoint: str) -> list[tuple[str, int | str]]:
        """How a channel behaves. Tries are made in `ask`, which knows the deadline of a caller."""
        # grpc would send the path of the socket as the authority, which is none: servers reset such streams.
        authority = [("grpc.default_authority", "localhost")] if endpoint.startswith("unix:") else []
        return [
            *authority,
            ("grpc.enable_retries", 0),
            ("grpc.keepalive_time_ms", int(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.max_receive_message_length", 4 * 1024 * 1024),
        ]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with each call."""
        if self.token is None:
            return ()
        token = self.token() if callable(self.token) else self.token
        return (("authorization", f"Bearer {token}"),)


def make_target(
    endpoints: str | Sequence[str] | None,
    credentials: grpc.ChannelCredentials | None,
    ca_file: str | Path | None,
    token: Token | None,
    keepalive: float,
) -> Target:
    """Reads the constructor's arguments, and the environment where they name no endpoint. OSError where the file cannot
    be read."""
    if ca_file is not None:
        if credentials is not None:
            raise ValueError("credentials and ca_file: pass one of them")
        credentials = grpc.ssl_channel_credentials(Path(ca_file).read_bytes())
    if endpoints is None:
        named, variable = _environment.endpoints()
        return Target(named, credentials, token, keepalive, variable)
    given = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    named = tuple(endpoint.strip() for endpoint in given if endpoint.strip())
    return Target(named, credentials, token, keepalive)


def _is_local(endpoint: str) -> bool:
    """Does nobody else see what is sent there?"""
    if endpoint.startswith("unix:"):
        return True
    host = urlsplit(f"//{endpoint}").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Rotation:
    """Which of several endpoints is used now."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.now = 0

    def leave(self, index: int) -> None:
        """This one did not answer: the next one is used. Who finds that out late changes nothing any more."""
        if self.now == index:
            self.now = (index + 1) % self._count
