"""Orders."""

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import select

from app.core.deps import DB, CurrentUser
from app.core.module_decorators import require_module
from app.models import Order

router = APIRouter()


class NewOrder(BaseModel):
    customer: str


@router.get("")
@require_module("oms_fulfillment")
async def list_orders(db: DB, limit: int = 10) -> list[str]:
    return list(await db.scalars(select(Order.customer).order_by(Order.id).limit(limit)))


@router.get("/{order_id}")
@require_module("oms_fulfillment")
async def get_order(order_id: int, db: DB) -> dict[str, str]:
    order = await db.get(Order, order_id)
    if order is None:
        raise HTTPException(404, "Order not found")
    return {"customer": order.customer}


@router.post("", status_code=201)
@require_module("oms_fulfillment")
async def create_order(body: NewOrder, db: DB, user: CurrentUser) -> dict[str, str]:
    db.add(Order(customer=body.customer))
    return {"customer": body.customer, "by": user.email}


@router.delete("/{order_id}")
@require_module("oms_fulfillment")
async def delete_order(order_id: int, user: CurrentUser) -> None:
    """Only for those who may: nobody yet."""
    raise HTTPException(403, "Permission denied: orders.delete")
