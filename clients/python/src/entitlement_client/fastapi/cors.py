"""Does a CORSMiddleware stand where refusals do not pass it?"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getattr_static
from types import MemberDescriptorType
from typing import Any

from starlette.types import ASGIApp, Scope

from .._base import log

_INNER = ("app", "router", "original_router", "middleware_stack", "asgi_handler")
"""Where middleware, mounts, routers, Starlette, FastAPI and Litestar have what stands inside of them."""
_WARNING = (
    "CORSMiddleware stands inside of TenantMiddleware, where refusals (400, 401, 403, 503) do not pass it: they lack "
    "access-control-allow-origin, and no browser lets a page of another origin read them. Let it stand outside: call "
    "app.add_middleware(CORSMiddleware, ...) after app.add_middleware(TenantMiddleware, ...), or in a list, "
    "middleware=[...], let it come first."
)


def warn_of_cors_inside(middleware: ASGIApp, inner: ASGIApp, scope: Scope) -> None:
    """Logs one warning where refusals of `middleware`, which wraps `inner`, pass no CORSMiddleware, but others do."""
    if any(map(_is_cors, _inside(inner))) and not any(map(_is_cors, _outside(middleware, scope.get("app")))):
        log.warning(_WARNING)


def _is_cors(kind: Any) -> bool:
    # By name: Litestar has one of its own.
    return any(base.__name__ == "CORSMiddleware" for base in getattr(kind, "__mro__", ()))


def _inside(app: Any) -> Iterator[Any]:
    """The classes of an application and of all that it leads to, as far as that can be seen."""
    seen: dict[int, Any] = {}
    ahead = [app]
    while ahead:
        each = ahead.pop()
        if each is None or id(each) in seen:
            continue
        # Kept, or another object could come to have its id.
        seen[id(each)] = each
        yield type(each)
        ahead += [_attribute(each, name) for name in _INNER]
        ahead += _items(each, "routes")
        # What an application was told to wrap around itself when it is first called.
        yield from (_attribute(added, "cls") for added in _items(each, "user_middleware"))


def _outside(middleware: Any, app: Any) -> Iterator[Any]:
    """The classes of what an application has put in front of a middleware."""
    each, steps = _attribute(app, "middleware_stack") or _attribute(app, "asgi_handler"), 0
    while each is not None and each is not middleware and steps < 1000:
        yield type(each)
        each, steps = _attribute(each, "app"), steps + 1


def _items(app: Any, name: str) -> list[Any]:
    found = _attribute(app, name)
    return list(found) if isinstance(found, (list, tuple)) else []


def _attribute(app: Any, name: str) -> Any:
    """What is stored there. Nothing is computed: somebody's property may fail, and a mock has everything."""
    found = getattr_static(app, name, None)
    return getattr(app, name, None) if isinstance(found, MemberDescriptorType) else found
