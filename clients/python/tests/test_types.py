"""What a type checker says of code that uses the library."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

GOOD = """
from datetime import timedelta
from entitlement_client import EntitlementClient, OnOutage, SyncEntitlementClient, Taken
from entitlement_client.fastapi import require_module

client = EntitlementClient("127.0.0.1:50051", on_outage=OnOutage.serve_stale(timedelta(hours=1)), deadline=2.0)
sync = SyncEntitlementClient(["a:1", "b:1"], ca_file="ca.pem", token=lambda: "x")

@require_module("finance")
async def invoices(limit: int = 10) -> list[str]:
    return []

@require_module("finance")
def orders(limit: int) -> int:
    return limit

async def use() -> None:
    some: list[str] = await invoices(limit=3)
    one: int = await orders(3)
    leased, counters = client.leased("a", "m", size=10), sync.counters()
    counters.add("a", "m", 2)
    taken: Taken = await leased.take(2)
    print(some, one, taken)
"""


def errors(code: str, folder: Path) -> list[str]:
    path = folder / "service.py"
    path.write_text(code)
    shown, _, _ = api.run(["--strict", "--no-error-summary", "--cache-dir", str(folder / "cache"), str(path)])
    return [line for line in shown.splitlines() if "service.py" in line and " error: " in line]


def test_good_code_passes(tmp_path: Path) -> None:
    assert errors(GOOD, tmp_path) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("deadline=2.0", 'deadline="2s"'),
        ('ca_file="ca.pem"', "cafile=3"),
        ("invoices(limit=3)", 'invoices(limit="three")'),
        ("invoices(limit=3)", "invoices(most=3)"),
        ("one: int", "one: str"),
        ("size=10", 'size=10, unsettled="KEPT"'),
        ('add("a", "m", 2)', 'add("a", "m", "2")'),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, right: str, wrong: str) -> None:
    assert right in GOOD
    assert len(errors(GOOD.replace(right, wrong), tmp_path)) == 1
