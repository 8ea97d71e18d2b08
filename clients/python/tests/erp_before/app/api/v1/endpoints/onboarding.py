"""For those who have no tenant yet."""

from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from app.core.deps import PublicDB
from app.models import Tenant

router = APIRouter()


@router.get("/ping")
async def ping() -> str:
    return "pong"


@router.get("/tenant-lookup")
async def lookup(subdomain: str, db: PublicDB) -> dict[str, str]:
    served = Tenant.status.in_(("active", "pending"))
    tenant = await db.scalar(select(Tenant).where(Tenant.subdomain == subdomain, served))
    if tenant is None:
        raise HTTPException(404, "Tenant not found")
    return {"tenant_id": str(tenant.id), "name": tenant.name}
