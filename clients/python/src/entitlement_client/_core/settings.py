"""What bounds a client."""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import NS


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds. All are above 0; ValueError names the one that is not."""

    deadline: float = 2.0
    """Seconds that an answer may take, all tries included."""
    max_tenants: int = 10_000
    """Tenants of which something is held."""
    max_denials: int = 100
    """Denials held of each tenant."""
    max_resolved: int = 10_000
    """Answers of ResolveTenant held."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} has to be above 0, and is {getattr(self, name)}")

    @property
    def deadline_ns(self) -> int:
        return int(self.deadline * NS)
