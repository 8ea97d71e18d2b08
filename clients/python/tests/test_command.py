"""`python -m entitlement_client`, as a person runs it."""

from __future__ import annotations

import subprocess
import sys

from conftest import Server, tenant_id, until

from entitlement_client import SyncEntitlementClient


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "entitlement_client", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def check(address: str, tenant: str, module: str) -> subprocess.CompletedProcess[str]:
    return run("check", "--address", address, "--tenant", tenant, "--module", module)


def test_it_prints_the_decision_and_its_code_says_it(server: Server) -> None:
    server.subscribe(1, "finance")
    with SyncEntitlementClient(server.address) as client:
        until(lambda: client.check(tenant_id(1), "finance").allowed)
    allowed = check(server.address, tenant_id(1), "finance")
    assert (allowed.returncode, allowed.stderr) == (0, "")
    assert allowed.stdout.startswith("decision     ALLOWED  ENABLED\n")
    denied = check(server.address, tenant_id(1), "hrms")
    assert (denied.returncode, denied.stderr) == (1, "")
    assert "DENIED  NOT_SUBSCRIBED" in denied.stdout
    assert "Please upgrade your subscription." in denied.stdout


def test_trouble_is_told_apart_from_a_denial(server: Server) -> None:
    wrong = check(server.address, "not-an-id", "finance")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "tenant_id" in wrong.stderr
    server.kill()
    away = check(server.address, tenant_id(1), "finance")
    assert (away.returncode, away.stdout) == (2, "")
    assert away.stderr == f"trouble: entitlementd at {server.address} does not answer\n"
    assert run("check").returncode == 2


def test_help_names_the_exit_codes() -> None:
    told = run("check", "--help")
    assert told.returncode == 0
    assert "Exit code 0: allowed, 1: denied, 2: trouble." in " ".join(told.stdout.split())
