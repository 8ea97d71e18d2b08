"""The tenant's invoices, and what it owes us."""

from fastapi import APIRouter
from sqlalchemy import select

from app.core.deps import DB, CurrentTenant, PublicDB
from app.core.module_decorators import require_module
from app.models import Invoice, Plan

router = APIRouter()


@router.get("/invoices")
@require_module("finance")
async def list_invoices(db: DB) -> list[str]:
    return list(await db.scalars(select(Invoice.number).order_by(Invoice.number)))


@router.get("/invoices/{number}/pdf")
@require_module("finance")
async def print_invoice(number: str) -> None:
    raise RuntimeError(f"No printer for {number}")


@router.get("/subscription-billing/current")
async def current(tenant: CurrentTenant, db: PublicDB) -> dict[str, str | None]:
    plan = await db.get(Plan, tenant.plan_id) if tenant.plan_id else None
    return {"id": tenant.id.hex, "status": tenant.status, "plan": plan.slug if plan else None}
