"""What the ERP of `erp_before` is asked in the tests, by whom, and what it tells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
from conftest import Postgres, Server
from postgres import Cluster
from served import served

HERE = Path(__file__).resolve().parent
BEFORE = HERE / "erp_before"
SECRET = "a secret of the ERP, and of entitlementd"
PAGE = "https://app.erp.example"

_DIGITS = {"acme": "a", "beta": "b", "waiting": "c", "fresh": "d", "asleep": "e", "gone": "f", "unknown": "9"}
TENANTS = {name: f"00000000-0000-4000-8000-00000000000{digit}" for name, digit in _DIGITS.items()}
_WRITTEN = {**TENANTS, "ACME": TENANTS["acme"].upper(), "{acme}": f"{{{TENANTS['acme']}}}"}
_ADA, _BOB = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b1")
_VOLATILE = {"access", "refresh", "traceback"}


@dataclass(frozen=True)
class Row:
    """A request, what is answered before the move, and what after it where that must differ."""

    method: str
    path: str
    tenant: str
    """What X-Tenant-ID says: a name of `_WRITTEN`, or the text itself; two with a plus between them."""
    host: str
    token: str
    origin: str
    body: str
    before: str
    says: str
    after: str
    says_after: str
    why: str

    @property
    def expected(self) -> tuple[int, str]:
        """The status after the move, and what the body then says."""
        return (int(self.after), self.says_after) if self.after else (int(self.before), self.says)

    def __str__(self) -> str:
        who = filter(None, (self.tenant, self.host, self.token, self.origin))
        return f"{self.method} {self.path} {self.body} of {', '.join(who) or 'nobody'}"


def rows() -> list[Row]:
    with (HERE / "erp_requests.csv").open(newline="") as lines:
        return [Row(**line) for line in csv.DictReader(lines)]


@cache
def tokens() -> dict[str, str]:
    def token(subject: str, kind: str = "access", *, secret: str = SECRET, hours: int = 1, **claims: str) -> str:
        end = datetime.now(timezone.utc) + timedelta(hours=hours)
        return jwt.encode({"sub": subject, "type": kind, "exp": end, **claims}, secret, algorithm="HS256")

    return {
        "ada": token(_ADA),
        "ada-registered": token(_ADA, tenant_id=TENANTS["acme"]),
        "bob": token(_BOB),
        "bob-registered": token(_BOB, tenant_id=TENANTS["beta"]),
        "expired": token(_ADA, hours=-1),
        "forged": token(_ADA, secret="a secret of somebody else, as long as it"),
        "refresh": token(_ADA, "refresh", email="ada@acme.example"),
    }


def ask(browser: httpx.Client, row: Row) -> httpx.Response:
    known = tokens()
    headers = [("X-Tenant-ID", _WRITTEN.get(name, name)) for name in row.tenant.split("+") if name]
    if row.host:
        headers.append(("Host", row.host))
    if row.token:
        headers.append(("Authorization", f"Bearer {known[row.token]}"))
    if row.origin:
        headers.append(("Origin", PAGE))
    if row.method == "OPTIONS":
        headers.append(("Access-Control-Request-Method", "GET"))
    if row.body:
        headers.append(("Content-Type", "application/json"))
    body = row.body.replace("$refresh", known["refresh"])
    return browser.request(row.method, row.path, headers=headers, content=body)


def told(response: httpx.Response) -> Any:
    """What a program reads from a body: of a refusal its sentence, and nothing that is new each time."""
    if response.headers.get("content-type", "").endswith("json"):
        body = response.json()
        if isinstance(body, dict):
            return body.get("detail", {name: value for name, value in body.items() if name not in _VOLATILE})
        return body
    return response.text


@contextmanager
def entitlementd(cluster: Cluster, folder: Path) -> Iterator[Server]:
    """A server of the ERP's own database."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    database = Postgres(cluster)
    database.sql((BEFORE / "rows.sql").read_text())
    server = Server(database, "--jwt-secret-file", str(secret))
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def erp(server: Server, folder: Path, log: Path) -> Iterator[httpx.Client]:
    environment = {"DATABASE_URL": server.url, "SECRET_KEY": SECRET}
    with served("app.main:app", folder, environment, log=log) as browser:
        yield browser
