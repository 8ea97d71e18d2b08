"""Where the server is, when the code does not say."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

VARIABLE = "ENTITLEMENTD_ENDPOINT"
"""Names the endpoints, with commas."""
SOCKET = "/run/entitlementd/edge.sock"
"""Where an instance on the same machine listens, or in the same pod."""


def endpoints() -> tuple[tuple[str, ...], str]:
    """Those of the environment, and the variable that names them; empty: it is the socket. ValueError where there is
    neither, or where the variable cannot be used."""
    if found := find():
        return found
    raise ValueError(
        f"nothing says where entitlementd is: {VARIABLE} is not set, and {_what_is_wrong_with(SOCKET)}: set the variable "
        "to host:port or unix:/path, run an edge that listens there, or pass the endpoint"
    )


def find() -> tuple[tuple[str, ...], str] | None:
    """`endpoints`, or None where there is neither."""
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return None if _what_is_wrong_with(SOCKET) else ((f"unix:{SOCKET}",), "")
    named = tuple(endpoint.strip() for endpoint in text.split(",") if endpoint.strip())
    if not named:
        raise ValueError(f"{VARIABLE} cannot be used: {text!r} names no endpoint")
    for endpoint in named:
        if not _is_address(endpoint):
            raise ValueError(f"{VARIABLE} cannot be used: expected host:port or unix:/path, and found {endpoint!r}")
    return named, VARIABLE


def _what_is_wrong_with(socket: str) -> str | None:
    """None: somebody may listen there."""
    try:
        mode = Path(socket).stat().st_mode
    except FileNotFoundError:
        return f"there is no socket {socket}"
    except OSError as error:
        return f"{socket} cannot be looked at: {error.strerror}"
    return None if stat.S_ISSOCK(mode) else f"{socket} is not a socket"


def _is_address(endpoint: str) -> bool:
    """grpc would look for what it cannot read in vain, and the service would believe in an outage."""
    if endpoint.startswith("unix:"):
        return len(endpoint) > len("unix:")
    try:
        parts = urlsplit(f"//{endpoint}")
        return bool(parts.hostname) and parts.port is not None and parts.path == ""
    except ValueError:
        return False
