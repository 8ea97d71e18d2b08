"""Signing in: in the tenant's own schema, so a tenant has to be named."""

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import select

from app.core.deps import DB, CurrentUser
from app.core.module_decorators import require_module
from app.core.security import create_token, decode_token, verify_password
from app.models import User

router = APIRouter()


class Credentials(BaseModel):
    email: str
    password: str


class Refresh(BaseModel):
    refresh_token: str


@router.post("/login")
async def login(credentials: Credentials, db: DB) -> dict[str, str]:
    user = await db.scalar(select(User).where(User.email == credentials.email))
    if user is None or not verify_password(credentials.password, user.password_hash):
        raise HTTPException(401, "Incorrect email or password")
    return {kind: create_token(kind, str(user.id), email=user.email) for kind in ("access", "refresh")}


@router.post("/refresh")
async def refresh(body: Refresh) -> dict[str, str]:
    claims = decode_token(body.refresh_token, "refresh")
    if claims is None:
        raise HTTPException(401, "Invalid refresh token")
    return {"access": create_token("access", claims["sub"], email=claims["email"])}


@router.get("/me")
@require_module("system_admin")
async def me(user: CurrentUser) -> dict[str, str]:
    return {"email": user.email}
