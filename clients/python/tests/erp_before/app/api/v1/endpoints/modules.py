"""Which modules a tenant has."""

from datetime import datetime, timezone

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select

from app.core.deps import CurrentTenant, PublicDB
from app.core.module_decorators import clear_tenant_cache, require_module
from app.models import Module, TenantSubscription

router = APIRouter()


class Subscription(BaseModel):
    modules: list[str]


@router.get("/subscriptions")
@require_module("system_admin")
async def list_subscriptions(tenant: CurrentTenant, db: PublicDB) -> dict[str, str]:
    query = select(Module.code, TenantSubscription.status).join(Module, Module.id == TenantSubscription.module_id)
    rows = await db.execute(query.where(TenantSubscription.tenant_id == tenant.id))
    return dict(sorted(row.tuple() for row in rows))


@router.post("/subscribe")
@require_module("system_admin")
async def subscribe(body: Subscription, tenant: CurrentTenant, db: PublicDB) -> list[str]:
    now = datetime.now(timezone.utc)
    found = list(await db.scalars(select(Module).where(Module.code.in_(body.modules)).order_by(Module.code)))
    for module in found:
        db.add(TenantSubscription(tenant_id=tenant.id, module_id=module.id, status="active", starts_at=now))
    await db.commit()
    clear_tenant_cache(tenant.id)
    return [module.code for module in found]
