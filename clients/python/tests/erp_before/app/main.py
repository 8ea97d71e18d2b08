"""The application: uvicorn app.main:app"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from app.api.v1.router import api_router
from app.core.config import settings
from app.database import engine
from app.middleware.audit import AuditMiddleware
from app.middleware.tenant import TenantMiddleware


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.is_ready = True
    yield
    await engine.dispose()


app = FastAPI(title=settings.PROJECT_NAME, lifespan=lifespan)

app.add_middleware(CORSMiddleware, allow_origins=settings.CORS_ORIGINS, allow_methods=["*"], allow_headers=["*"])
app.add_middleware(AuditMiddleware)
app.add_middleware(TenantMiddleware)

app.include_router(api_router, prefix="/api/v1")


@app.exception_handler(Exception)
async def handle_exception(request: Request, error: Exception) -> JSONResponse:
    """Whatever was raised outside of the routes, and whatever they did not expect."""
    told = {
        "error": error.detail if isinstance(error, HTTPException) else str(error),
        "type": type(error).__name__,
        "path": request.url.path,
        "method": request.method,
        "traceback": traceback.format_exc(),
    }
    return JSONResponse(told, error.status_code if isinstance(error, HTTPException) else 500)


@app.get("/")
async def root() -> dict[str, str]:
    return {"name": settings.PROJECT_NAME}


@app.get("/health")
async def health(request: Request) -> dict[str, bool]:
    return {"is_ready": request.app.state.is_ready}
