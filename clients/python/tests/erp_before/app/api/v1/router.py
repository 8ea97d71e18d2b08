"""Everything below /api/v1."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.v1.endpoints import (
    admin,
    admin_notes,
    auth,
    billing,
    hrms,
    modules,
    onboarding,
    orders,
    planning,
    storefront,
)

api_router = APIRouter()
api_router.include_router(auth.router, prefix="/auth")
api_router.include_router(orders.router, prefix="/orders")
api_router.include_router(billing.router, prefix="/billing")
api_router.include_router(hrms.router, prefix="/hrms")
api_router.include_router(planning.router, prefix="/planning")
api_router.include_router(modules.router, prefix="/modules")
api_router.include_router(onboarding.router, prefix="/onboarding")
api_router.include_router(storefront.router, prefix="/storefront")
api_router.include_router(admin.router, prefix="/admin")
api_router.include_router(admin_notes.router, prefix="/admin-notes")
