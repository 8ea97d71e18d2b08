"""Notes of a tenant's administrators."""

from fastapi import APIRouter, Request

router = APIRouter()


@router.get("")
async def list_notes(request: Request) -> dict[str, str | None]:
    return {"of": getattr(request.state, "tenant_id", None)}
