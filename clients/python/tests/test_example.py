"""The example, as its users run it: uvicorn with several workers, and the real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from conftest import Server, tenant_id, until
from served import served

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ONE = {"X-Tenant-ID": tenant_id(1)}


@contextmanager
def erp(server: Server, workers: int) -> Iterator[httpx.Client]:
    server.subscribe(1, "finance")
    with served("erp:app", EXAMPLES, {"ENTITLEMENTD": server.address}, workers=workers) as browser:
        yield browser


def agree(erp: httpx.Client, path: str, status: int) -> bool:
    """Do so many requests in a row get this status that workers have had their turns?"""
    return all(erp.get(path, headers=ONE).status_code == status for _ in range(30))


def test_every_worker_admits_who_may_and_hears_of_changes(server: Server) -> None:
    with erp(server, workers=3) as browser:
        until(lambda: agree(browser, "/finance/invoices", 200))
        assert browser.get("/finance/invoices", headers=ONE).json() == {"tenant": "t1", "invoices": [], "limit": 10}
        assert browser.get("/reports", headers=ONE).json() == ["balance", "orders"]
        assert browser.get("/me/modules", headers=ONE).json() == ["finance"]
        for path in ("/hrms/employees", "/orders"):
            refused = browser.get(path, headers=ONE)
            assert (refused.status_code, refused.json()["reason"]) == (403, "NOT_SUBSCRIBED")
        refused = browser.get("/finance/invoices", headers={"Origin": "https://app.erp.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.erp.example"
        server.sql("UPDATE tenant_subscriptions SET status = 'suspended'")
        until(lambda: agree(browser, "/finance/invoices", 403))


def test_an_outage_changes_nothing_for_tenants_that_are_known(server: Server) -> None:
    # One worker, for each knows only whom it has met.
    with erp(server, workers=1) as browser:
        until(lambda: agree(browser, "/finance/invoices", 200))
        server.kill()
        assert agree(browser, "/finance/invoices", 200)
        refused = browser.get("/finance/invoices", headers={"X-Tenant-ID": tenant_id(2)})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "Traceback" not in refused.text
