"""Which requests are meant, by their paths."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope


class Paths:
    """Some paths, and all below some prefixes. A prefix ends where a segment does: "/api/admin" does not cover
    "/api/adminfoo"."""

    def __init__(self, exact: Iterable[str], prefixes: Iterable[str]) -> None:
        if isinstance(exact, str) or isinstance(prefixes, str):
            raise ValueError("paths and prefixes are lists, also of one")
        self._exact = frozenset(exact)
        trimmed = tuple(prefix.rstrip("/") for prefix in prefixes)
        for path in (*self._exact, *trimmed):
            if not path.startswith("/"):
                raise ValueError(f"a path begins with /, and a prefix names a segment: {path!r}")
        self._prefixes = tuple(f"{prefix}/" for prefix in trimmed)

    def __contains__(self, path: str) -> bool:
        if path in self._exact:
            return True
        # Somebody behind us may read dots as the way up.
        return f"{path}/".startswith(self._prefixes) and not {".", ".."} & set(path.split("/"))


def path_within(scope: Scope) -> str:
    """The path as the application's routes name it: without the prefix under which it is mounted, or that a proxy cuts
    off (`--root-path`)."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    below = path.removeprefix(root)
    return below if root and path.startswith(root) and below[:1] in ("", "/") else path
