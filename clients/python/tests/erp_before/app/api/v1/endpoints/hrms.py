"""People."""

from fastapi import APIRouter
from sqlalchemy import select

from app.core.deps import DB
from app.core.module_decorators import require_module
from app.models import Employee

router = APIRouter()


@router.get("/employees")
@require_module("hrms")
async def list_employees(db: DB) -> list[str]:
    return list(await db.scalars(select(Employee.code).order_by(Employee.code)))
