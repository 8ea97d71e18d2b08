"""Passwords, and tokens: one secret for all tenants, and no tenant in the tokens of a login."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import jwt

from app.core.config import settings

LIFETIMES = {"access": timedelta(minutes=30), "refresh": timedelta(days=7)}


def hash_password(password: str, salt: str) -> str:
    return f"{salt}${hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()}"


def verify_password(password: str, hashed: str) -> bool:
    return hmac.compare_digest(hash_password(password, hashed.partition("$")[0]), hashed)


def create_token(kind: str, subject: str, **claims: str) -> str:
    now = datetime.now(timezone.utc)
    times = {"iat": now, "exp": now + LIFETIMES[kind]}
    payload = {"sub": subject, "jti": str(uuid4()), "type": kind, **times, **claims}
    return jwt.encode(payload, settings.SECRET_KEY, algorithm=settings.ALGORITHM)


def decode_token(token: str, kind: str) -> dict[str, Any] | None:
    """Its claims; nothing where it is not valid."""
    try:
        claims: dict[str, Any] = jwt.decode(token, settings.SECRET_KEY, algorithms=[settings.ALGORITHM])
    except jwt.InvalidTokenError:
        return None
    return claims if claims.get("type") == kind else None
