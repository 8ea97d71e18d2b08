"""For FastAPI: the middleware that finds the tenant, and gates for endpoints. Needs only Starlette, and works in other
ASGI frameworks too, such as Litestar.

client = EntitlementClient("entitlementd:50051", on_outage=OnOutage.serve_stale(timedelta(minutes=10)))
app.add_middleware(TenantMiddleware, client=client)

@app.get("/invoices")
@require_module("finance")
async def invoices(): ...
"""

from .context import current_resolved, current_tenant
from .counting import CountingMiddleware, counted
from .gate import FeatureGate, Gate, ModuleGate, require_any_module, require_feature, require_module
from .lifespan import client_lifespan
from .middleware import TenantMiddleware
from .problem import Problem
from .refusal import GateRefusedError
from .taking import UsageGate, require_usage

__all__ = [
    "CountingMiddleware",
    "FeatureGate",
    "Gate",
    "GateRefusedError",
    "ModuleGate",
    "Problem",
    "TenantMiddleware",
    "UsageGate",
    "client_lifespan",
    "counted",
    "current_resolved",
    "current_tenant",
    "require_any_module",
    "require_feature",
    "require_module",
    "require_usage",
]
