"""What the double answers: a small entitlementd on dictionaries."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from . import _in_memory_leases as in_memory_leases
from . import _in_memory_over_time as in_memory_over_time
from . import _in_memory_terms as in_memory_terms
from . import _in_memory_usage as in_memory_usage
from . import _wire as wire
from ._core import sentences
from ._in_memory_terms import TenantTerms
from ._in_memory_usage import Usage
from ._proto import decision_pb2, tenant_pb2
from ._stubs import RECORD_USAGE
from .answers import LimitAnswer
from .clock import instant
from .errors import Failure

pb = wire.pb

_MOST_CALLS = 10_000


@dataclass
class Right:
    """What the double says of one module: a right with its ends, or a denial with its reason."""

    reason: str
    starts: datetime | None = None
    until: datetime | None = None

    def at(self, now: datetime) -> str:
        """The reason at an instant."""
        if self.reason == "ENABLED" and self.starts is not None and now < self.starts:
            return "SUBSCRIPTION_NOT_STARTED"
        if self.reason == "ENABLED" and self.until is not None and self.until <= now:
            return "SUBSCRIPTION_EXPIRED"
        return self.reason

    def next_change(self, now: datetime) -> datetime | None:
        ahead = [at for at in (self.starts, self.until) if self.reason == "ENABLED" and at is not None and at > now]
        return min(ahead, default=None)


@dataclass
class TenantRow:
    id: str
    subdomain: str = ""
    database_schema: str = ""
    token: str = ""
    token_until: datetime | None = None
    status: str = "ACTIVE"
    revision: int = 0
    rights: dict[str, Right] = field(default_factory=dict)
    terms: TenantTerms = field(default_factory=TenantTerms)

    @property
    def refusal(self) -> str | None:
        """Why it is not served, if it is not."""
        return sentences.denial_of_tenant(self.status)


class Answers:
    """Rows, and what the methods of the service say of them."""

    def __init__(self) -> None:
        self.base_domain = ""
        self.enforcement = "ON"
        self.rows: dict[str, TenantRow] = {}
        self.calls: deque[str] = deque(maxlen=_MOST_CALLS)
        self._usage = Usage()
        self._recorder = in_memory_over_time.Recorder(self._usage, self._limit, self._modules)

    def row(self, tenant: str) -> TenantRow:
        """The tenant's row. It is made where there is none."""
        if tenant not in self.rows:
            label = f"t{tenant[-12:].lstrip('0') or '0'}"
            self.rows[tenant] = TenantRow(tenant, label, f"tenant_{label}")
        return self.rows[tenant]

    def answer(self, method: str, request: Any, wall: int) -> Any:
        self.calls.append(method)
        now = instant(wall)
        if method == "ListEnabledModules":
            return self._list(request, now)
        if method == "CheckModule":
            return self._check(request, now)
        if method == "CheckFeature":
            return self._check_feature(request, now)
        if method == "CheckLimit":
            return self._check_limit(request, now)
        if method == RECORD_USAGE:
            return self._recorder.record(request, now)
        if method in in_memory_usage.METHODS:
            return self._count(method, request, now)
        if method == "IssueLease":
            return Failure("UNIMPLEMENTED", "the double signs no leases")
        row = self._named(request, now)
        if isinstance(row, Failure):
            return row
        return self._authorize(request, row, now) if method == "Authorize" else self._resolve(request, row, now)

    def _list(self, request: Any, now: datetime) -> Any:
        row = self.rows.get(request.tenant_id)
        if row is None:
            return Failure("NOT_FOUND", "no such tenant", "TENANT_NOT_FOUND")
        response = pb.ListEnabledModulesResponse(tenant_status=f"TENANT_STATUS_{row.status}")
        changes = [right.next_change(now) for right in row.rights.values()]
        if request.include_features:
            changes.append(row.terms.next_change(now))
        self._fresh(response.freshness, row, now, min((at for at in changes if at), default=None))
        for code, right in sorted(row.rights.items()):
            if row.refusal is None and right.at(now) in ("ENABLED", "SUBSCRIPTION_NOT_STARTED"):
                entry = response.modules.add(code=code, name=code)
                for name, at in (("starts_at", right.starts), ("expires_at", right.until), ("valid_until", right.until)):
                    if at is not None:
                        getattr(entry, name).FromDatetime(at.astimezone(timezone.utc))
        if request.include_features:
            (row.terms if row.refusal is None else TenantTerms(limits={})).put(response, now, self.enforcement)
        return response

    def _check(self, request: Any, now: datetime) -> Any:
        row = self.rows.get(request.tenant_id) or TenantRow(request.tenant_id)
        reason, change = self._judge(request.tenant_id, request.module_code, now)
        response: Any = pb.CheckModuleResponse(
            allowed=reason == "ENABLED", message=sentences.of_decision(reason, request.module_code)
        )
        response.reason = decision_pb2.DecisionReason.Value(f"DECISION_REASON_{reason}")
        self._fresh(response.freshness, row, now, change)
        return response

    def _check_feature(self, request: Any, now: datetime) -> Any:
        row = self.rows.get(request.tenant_id) or TenantRow(request.tenant_id)
        reason, change = self._judge(request.tenant_id, request.module_code, now)
        response = in_memory_terms.feature_response(request, row.terms, reason)
        self._fresh(response.freshness, row, now, change)
        return response

    def _check_limit(self, request: Any, now: datetime) -> Any:
        row = self.rows.get(request.tenant_id) or TenantRow(request.tenant_id)
        limit = self._limit(request.tenant_id, request.limit_key, now)
        response = in_memory_terms.limit_response(request, limit)
        self._fresh(response.freshness, row, now, limit.valid_until)
        return response

    def _limit(self, tenant: str, key: str, now: datetime) -> LimitAnswer:
        """The limit that holds for a tenant, or that it is denied."""
        row = self.rows.get(tenant) or TenantRow(tenant)
        refusal = row.refusal if tenant in self.rows else "TENANT_NOT_FOUND"
        if refusal is not None:
            return LimitAnswer(None, "TENANT_DENIED", enforcement=self.enforcement, tenant_reason=refusal)
        return row.terms.limit(key, now, self.enforcement)

    def _count(self, method: str, request: Any, now: datetime) -> Any:
        limit = self._limit(request.tenant_id, request.meter, now)
        if method == "ReleaseUsage":
            return self._usage.release(request, limit, now)
        if method == "ReconcileUsage":
            return self._usage.reconcile(request, limit, now)
        if method == "QueryUsage":
            return in_memory_over_time.query(self._usage, request, limit, now)
        if method == "SettleUsageLease":
            return in_memory_leases.settle(self._usage, request, limit, now)
        reason = self._judge(request.tenant_id, request.module_code, now)[0] if request.module_code else "ENABLED"
        denial = None if reason == "ENABLED" else reason
        if method == "AcquireUsageLease":
            return in_memory_leases.acquire(self._usage, request, limit, denial, now)
        return self._usage.reserve(request, limit, denial, now)

    def _modules(self) -> set[str]:
        """Those that anybody was given or refused."""
        return {code for row in list(self.rows.values()) for code in list(row.rights)}

    def _judge(self, tenant: str, module: str, now: datetime) -> tuple[str, datetime | None]:
        row = self.rows.get(tenant)
        if row is None:
            return "TENANT_NOT_FOUND", None
        if row.refusal is not None:
            return row.refusal, None
        right = row.rights.get(module, Right("NOT_SUBSCRIBED"))
        return right.at(now), right.next_change(now)

    def _named(self, request: Any, now: datetime) -> TenantRow | Failure:
        """The tenant that a request names, as ResolveTenant finds it."""
        label, _, domain = request.host.lower().partition(":")[0].partition(".")
        token = request.bearer_token.removeprefix("Bearer ")
        if not (request.tenant_id or request.host or token):
            return Failure("INVALID_ARGUMENT", "invalid request: nothing was handed over", "INVALID_FIELD")
        if request.tenant_id and not _is_id(request.tenant_id):
            return Failure("INVALID_ARGUMENT", "invalid request: tenant_id must be a UUID", "INVALID_FIELD")
        by_token = next((row for row in self.rows.values() if row.token and row.token == token), None)
        if token and (by_token is None or (by_token.token_until is not None and by_token.token_until <= now)):
            return Failure("UNAUTHENTICATED", "the bearer token is not valid", "TOKEN_INVALID")
        by_host = next((row for row in self.rows.values() if row.subdomain == label and domain == self.base_domain), None)
        by_id = self.rows.get(request.tenant_id.lower())
        named = [row for row, said in ((by_token, token), (by_id, request.tenant_id), (by_host, by_host)) if said]
        if any(row is not named[0] for row in named):
            return Failure("PERMISSION_DENIED", "token, id and host name different tenants", "TENANT_CONFLICT")
        if not named or named[0] is None:
            return Failure("NOT_FOUND", "no tenant is named, or it is unknown", "TENANT_NOT_FOUND")
        refusal = named[0].refusal
        return Failure("PERMISSION_DENIED", sentences.OF_DECISIONS[refusal], refusal) if refusal else named[0]

    def _resolve(self, request: Any, row: TenantRow, now: datetime) -> Any:
        response: Any = pb.ResolveTenantResponse(tenant=_tenant(row), verified=bool(request.bearer_token))
        response.source = _source(request)
        self._fresh(response.freshness, row, now, _end_of_token(request, row))
        return response

    def _authorize(self, request: Any, row: TenantRow, now: datetime) -> Any:
        codes = list(request.any_of_module_codes)
        judged = {code: self._judge(row.id, code, now) for code in codes}
        code = next((code for code in codes if judged[code][0] == "ENABLED"), codes[0])
        reason, change = judged[code]
        response: Any = pb.AuthorizeResponse(tenant=_tenant(row), verified=bool(request.bearer_token))
        response.source = _source(request)
        response.decision.module_code = code
        response.decision.allowed = reason == "ENABLED"
        response.decision.message = sentences.of_decision(reason, code)
        response.decision.reason = decision_pb2.DecisionReason.Value(f"DECISION_REASON_{reason}")
        ends = [at for at in (change, _end_of_token(request, row)) if at is not None]
        self._fresh(response.freshness, row, now, min(ends, default=None))
        return response

    @staticmethod
    def _fresh(freshness: Any, row: TenantRow, now: datetime, change: datetime | None) -> None:
        age = timedelta(seconds=30)
        freshness.revision = row.revision
        freshness.as_of.FromDatetime(now)
        if change is not None:
            freshness.valid_until.FromDatetime(change.astimezone(timezone.utc))
            age = min(age, change - now)
        freshness.max_age.FromTimedelta(age)


def _end_of_token(request: Any, row: TenantRow) -> datetime | None:
    return row.token_until if request.bearer_token else None


def _source(request: Any) -> Any:
    word = "BEARER_TOKEN" if request.bearer_token else "TENANT_ID" if request.tenant_id else "HOST"
    return tenant_pb2.TenantSource.Value(f"TENANT_SOURCE_{word}")


def _tenant(row: TenantRow) -> Any:
    tenant: Any = tenant_pb2.Tenant(
        id=row.id, name=row.subdomain, subdomain=row.subdomain, database_schema=row.database_schema
    )
    tenant.status = tenant_pb2.TenantStatus.Value(f"TENANT_STATUS_{row.status}")
    return tenant


def _is_id(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(
        c in "0123456789abcdefABCDEF" for c in "".join(parts)
    )
