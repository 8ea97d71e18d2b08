"""For ourselves."""

from fastapi import APIRouter
from sqlalchemy import select

from app.core.deps import PublicDB
from app.models import Tenant

router = APIRouter()


@router.get("/tenants")
async def list_tenants(db: PublicDB) -> list[str]:
    return list(await db.scalars(select(Tenant.subdomain).order_by(Tenant.subdomain)))
