"""Small modules, one endpoint each."""

from fastapi import APIRouter, Request

from app.core.module_decorators import require_module

router = APIRouter()


@router.get("/leads")
@require_module("crm_service")
async def list_leads() -> list[str]:
    return []


@router.get("/campaigns")
@require_module("marketing")
async def list_campaigns() -> list[str]:
    return []


@router.get("/forecast")
@require_module("scm_ai")
async def forecast(request: Request) -> dict[str, str]:
    return {"schema": request.state.schema}


@router.get("/purchase-orders")
@require_module("procurement")
async def list_purchase_orders() -> list[str]:
    return []


@router.get("/price-lists")
@require_module("sales_distribution")
async def list_price_lists() -> list[str]:
    return []


@router.get("/pick-lists")
@require_module("wms_ai")
async def list_pick_lists() -> list[str]:
    return []
