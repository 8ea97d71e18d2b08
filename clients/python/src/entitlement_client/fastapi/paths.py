"""Which requests are meant, by their paths."""

from __future__ import annotations

from collections.abc import Container, Iterable


def paths_of(exact: Iterable[str], prefixes: Iterable[str]) -> Container[str]:
    """Some paths, and all below some prefixes. One slash at the end makes no difference, and a prefix ends where a
    segment does: "/api/admin" does not cover "/api/adminfoo"."""
    if isinstance(exact, str) or isinstance(prefixes, str):
        raise ValueError("paths and prefixes are lists, also of one")
    paths, trimmed = tuple(exact), tuple(prefix.rstrip("/") for prefix in prefixes)
    for path in (*paths, *trimmed):
        if not path.startswith("/"):
            raise ValueError(f"a path begins with /, and a prefix names a segment: {path!r}")
    spellings = frozenset(spelling for path in paths for spelling in _with_and_without_slash(path))
    # Each request's path is looked for. In a set alone that takes no call.
    return _WithPrefixes(spellings, tuple(f"{prefix}/" for prefix in trimmed)) if trimmed else spellings


class _WithPrefixes:
    def __init__(self, exact: frozenset[str], prefixes: tuple[str, ...]) -> None:
        self._exact, self._prefixes = exact, prefixes

    def __contains__(self, path: object) -> bool:
        return path in self._exact or self._is_below(str(path))

    def _is_below(self, path: str) -> bool:
        # Somebody behind us may read dots as the way up.
        return f"{path}/".startswith(self._prefixes) and not {".", ".."} & set(path.split("/"))


def _with_and_without_slash(path: str) -> tuple[str, ...]:
    """Routers redirect from "/health/" to "/health", or the other way, and whoever follows has to be let in twice."""
    if path.endswith("//"):
        return (path,)
    bare = path.removesuffix("/")
    return bare, f"{bare}/"


def path_within(path: str, root: str) -> str:
    """The path as the application's routes name it: without the prefix under which it is mounted, or that a proxy cuts
    off."""
    if not path.startswith(root):
        return path
    below = path.removeprefix(root)
    return below if below[:1] in ("", "/") else path
