"""What is answered while the server cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class OnOutage:
    """The outage rule. It is chosen when a client is made; `deny()` where nothing is said."""

    kind: str
    """ "deny", "serve_stale" or "allow"."""
    stale_ns: int = 0
    """For how long after the server last vouched for it what is held may be used, in nanoseconds."""

    def __str__(self) -> str:
        """What becomes of a question, as log lines say it."""
        if self.kind == "serve_stale":
            return f"given from what is held, for up to {timedelta(microseconds=self.stale_ns // 1000)}"
        return "granted" if self.kind == "allow" else "denied"

    @classmethod
    def deny(cls) -> OnOutage:
        """Denied, with the reason UNSPECIFIED: a gate answers 503."""
        return cls("deny")

    @classmethod
    def serve_stale(cls, longest: timedelta) -> OnOutage:
        """From what is held, if the server last vouched for it no longer ago than this; else denied.

        Raises ValueError where the span is not positive.
        """
        if longest <= timedelta(0):
            raise ValueError("serve_stale takes a span above 0: to serve nothing stale, choose OnOutage.deny()")
        return cls("serve_stale", int(longest.total_seconds() * 1_000_000_000))

    @classmethod
    def allow(cls) -> OnOutage:
        """Granted, whoever asks: for modules whose loss is worse than giving them away."""
        return cls("allow")
