"""By what name a log knows a request: the route's path, and not each invoice's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.types import Scope


def route_path(scope: Scope, path: str) -> str:
    """The template of a path that has been answered: "/api/invoices/{id}". The path itself where no route has it.

    A route knows only the part below what it is mounted or included in, in newer versions of FastAPI. What is missing
    stands in the path.
    """
    template = scope.get("path_template")
    if isinstance(template, str):
        # Litestar knows all of it.
        return template
    named: Mapping[str, Any] = scope.get("path_params") or {}
    route = scope.get("route")
    own, regex = getattr(route, "path", None), getattr(route, "path_regex", None)
    if not isinstance(own, str) or regex is None:
        return _with_names(path, named)
    for before, below in _cuts(path):
        match = regex.match(below)
        if match is not None:
            return (
                _with_names(before, {name: value for name, value in named.items() if name not in match.groupdict()}) + own
            )
    return own


def _cuts(path: str) -> Iterator[tuple[str, str]]:
    """A path, cut before each of its segments, and at its end."""
    for at, character in enumerate(path):
        if character == "/":
            yield path[:at], path[at:]
    yield path, ""


def _with_names(path: str, values: Mapping[str, Any]) -> str:
    """With the names of what stands in its segments."""
    segments = path.split("/")
    for name, value in values.items():
        text = str(value)
        if text and text in segments:
            segments[segments.index(text)] = f"{{{name}}}"
    return "/".join(segments)
