"""Leases that the real server has signed, of both clients."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from conftest import PATIENCE, Server, published, tenant_id

from entitlement_client import EntitlementClient, RequestRefusedError, SyncEntitlementClient
from entitlement_client.signed_lease import LeaseRefusedError, LeaseVerifier

ONE = tenant_id(1)


def test_what_the_server_signs_is_verified_and_says_what_was_asked_for(signing: Server, lease_keys: str) -> None:
    signing.subscribe(1, "finance")
    with SyncEntitlementClient(signing.address, deadline=PATIENCE) as client:
        issued = client.issue_lease(ONE, ["hrms"], features=[("finance", "export")], ttl=timedelta(minutes=5))
        everything = client.issue_lease(ONE)
        for_till = client.issue_lease(ONE, ["finance"], audience="till-7")
    assert issued.expires_at - issued.issued_at == timedelta(minutes=5)
    assert everything.expires_at - everything.issued_at == timedelta(hours=2), "as long as the server allows"
    assert abs(issued.issued_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    hrms, finance = issued.modules
    assert (hrms.code, hrms.granted, hrms.reason, hrms.until) == ("hrms", False, "NOT_SUBSCRIBED", None)
    assert "Please upgrade" in hrms.message
    assert (finance.code, finance.granted, finance.until) == ("finance", True, issued.expires_at)
    assert issued.token not in repr(issued)

    verifier = LeaseVerifier(published(lease_keys))
    lease = verifier.verify(ONE, issued.token)
    assert (lease.expires_at, lease.revision) == (issued.expires_at, issued.revision)
    reasons = [lease.check(code).reason for code in ("finance", "hrms", "crm_service")]
    assert reasons == ["GRANTED", "DENIED", "NOT_ASKED_FOR"]
    assert lease.feature("finance", "export").reason == "OFF"
    assert list(verifier.verify(ONE, everything.token).modules) == ["finance"]
    with pytest.raises(LeaseRefusedError) as refused:
        verifier.verify(ONE, for_till.token)
    assert refused.value.reason == "WRONG_AUDIENCE"
    assert LeaseVerifier(published(lease_keys), audience="till-7").verify(ONE, for_till.token).allows("finance")


async def test_what_is_refused_is_an_error_that_says_so(signing: Server) -> None:
    signing.subscribe(1, "finance")
    signing.sql("UPDATE tenants SET status = 'suspended'")
    async with EntitlementClient(signing.address, deadline=PATIENCE) as client:
        for tenant, code, reason in (
            (ONE, "PERMISSION_DENIED", "TENANT_SUSPENDED"),
            (tenant_id(9), "NOT_FOUND", "TENANT_NOT_FOUND"),
            ("acme", "INVALID_ARGUMENT", "INVALID_FIELD"),
        ):
            with pytest.raises(RequestRefusedError) as refused:
                await client.issue_lease(tenant, ["finance"])
            assert (refused.value.code, refused.value.reason) == (code, reason)
        with pytest.raises(ValueError, match="not a string"):
            await client.issue_lease(ONE, "finance")


def test_a_server_without_keys_says_so(server: Server) -> None:
    server.subscribe(1, "finance")
    with (
        SyncEntitlementClient(server.address, deadline=PATIENCE) as client,
        pytest.raises(RequestRefusedError) as refused,
    ):
        client.issue_lease(ONE, ["finance"])
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "LEASES_OFF")
