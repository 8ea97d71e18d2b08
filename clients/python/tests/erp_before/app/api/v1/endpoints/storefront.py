"""The shop: open to everybody, but for what is recommended."""

from fastapi import APIRouter

from app.core.module_decorators import require_module

router = APIRouter()


@router.get("/products")
async def list_products() -> list[str]:
    return ["fan", "mixer"]


@router.get("/recommendations")
@require_module("d2c_storefront")
async def recommend() -> list[str]:
    return ["mixer"]
