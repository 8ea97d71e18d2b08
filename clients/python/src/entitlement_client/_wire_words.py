"""Single values of the wire, in our words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ._core.held import NEVER
from ._proto import decision_pb2
from .answers import UNSPECIFIED
from .clock import NS, instant


def ns(value: Timestamp | Duration) -> int:
    """Nanoseconds, since 1970 or as a span."""
    return value.seconds * NS + value.nanos


def word(enum: Any, number: int, prefix: str) -> str:
    """The name of an enum's value without its prefix. UNSPECIFIED where a newer server knows one more."""
    try:
        return str(enum.Name(number)).removeprefix(prefix)
    except ValueError:
        return UNSPECIFIED


def end_of(message: Any, field: str = "valid_until") -> int:
    """An instant that may be missing: then it never comes."""
    return ns(getattr(message, field)) if message.HasField(field) else NEVER


def instant_of(message: Any, field: str) -> datetime | None:
    return instant(ns(getattr(message, field))) if message.HasField(field) else None


def decision_reason(number: int) -> str:
    return word(decision_pb2.DecisionReason, number, "DECISION_REASON_")
