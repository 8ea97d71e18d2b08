"""The decision table, for `named.json` and `generated.json`. Instants are whole minutes from 2026-06-01T00:00:00Z."""

import random
from datetime import datetime, timedelta, timezone

EPOCH = datetime(2026, 6, 1, tzinfo=timezone.utc)
CATALOGUE = ["oms_fulfillment", "finance", "hrms", "crm_service"]
ALWAYS, NEVER = float("-inf"), float("inf")

SENTENCES = {
    "ENABLED": "",
    "TENANT_NOT_FOUND": "This account does not exist. Please check your subdomain or sign in again.",
    "TENANT_SUSPENDED": "Your account is suspended. Please contact support.",
    "TENANT_CANCELLED": "Your account has been cancelled. Please contact support.",
    "TENANT_NOT_SERVED": "Your account is not ready yet. Please try again later or contact support.",
    "MODULE_NOT_FOUND": "Module '{}' does not exist.",
    "NOT_SUBSCRIBED": "Module '{}' is not enabled for your account. Please upgrade your subscription.",
    "SUBSCRIPTION_SUSPENDED": "Your subscription to module '{}' is suspended. Please contact support.",
    "SUBSCRIPTION_CANCELLED": "Your subscription to module '{}' has been cancelled. Please renew your subscription.",
    "SUBSCRIPTION_EXPIRED": "Your subscription to module '{}' has expired. Please renew your subscription.",
    "SUBSCRIPTION_INACTIVE": "Your subscription to module '{}' is not active. Please contact support.",
    "SUBSCRIPTION_NOT_STARTED": "Your subscription to module '{}' has not started yet.",
    "TRIAL_ENDED": "Your trial of module '{}' has ended. Please upgrade your subscription.",
}
TENANT_DENIALS = {"suspended": "TENANT_SUSPENDED", "cancelled": "TENANT_CANCELLED"}
ROW_DENIALS = {
    "suspended": "SUBSCRIPTION_SUSPENDED",
    "cancelled": "SUBSCRIPTION_CANCELLED",
    "expired": "SUBSCRIPTION_EXPIRED",
}


def word(text):
    return (text or "").strip().lower()


def tenant_denial(tenant):
    if tenant is None:
        return "TENANT_NOT_FOUND"
    status = word(tenant["status"])
    return None if status in ("active", "pending") else TENANT_DENIALS.get(status, "TENANT_NOT_SERVED")


def line_of_row(row, at):
    """Lines 5 to 9 for one row: (line, reason)."""
    if word(row["status"]) != "active":
        return 5, ROW_DENIALS.get(word(row["status"]), "SUBSCRIPTION_INACTIVE")
    if row["starts_at"] is not None and at < row["starts_at"]:
        return 6, "SUBSCRIPTION_NOT_STARTED"
    if row["expires_at"] is not None and row["expires_at"] <= at:
        return 7, "SUBSCRIPTION_EXPIRED"
    if row["is_trial"] and row["trial_ends_at"] is not None and row["trial_ends_at"] <= at:
        return 8, "TRIAL_ENDED"
    return 9, "ENABLED"


def reason(case, module, at):
    denial = tenant_denial(case["tenant"])
    if denial:
        return denial
    rows = [row for row in case["subscriptions"] if row["module"] == module]
    if not rows:
        return "NOT_SUBSCRIBED" if module in CATALOGUE else "MODULE_NOT_FOUND"

    def rank(row):
        start = ALWAYS if row["starts_at"] is None else row["starts_at"]
        return line_of_row(row, at)[0], start, row["id"]

    return line_of_row(max(rows, key=rank), at)[1]


def edges(case, module):
    """Every instant at which an answer about the module could change."""
    rows = [row for row in case["subscriptions"] if row["module"] == module]
    found = {row[key] for row in rows for key in ("starts_at", "expires_at", "trial_ends_at")}
    return sorted(found - {None})


def allowed(case, module, at):
    return reason(case, module, at) == "ENABLED"


def valid_until(case, module, at):
    now = allowed(case, module, at)
    changes = (edge for edge in edges(case, module) if edge > at and allowed(case, module, edge) != now)
    return next(changes, None)


def listed(case, at):
    """ListEnabledModules with include_upcoming; None where there is no such tenant."""
    if case["tenant"] is None:
        return None
    modules, changes = [], []
    for module in sorted({row["module"] for row in case["subscriptions"]}):
        change = valid_until(case, module, at)
        changes += [] if change is None else [change]
        granted_at = at if allowed(case, module, at) else change
        if granted_at is None:
            continue

        def end(row):
            trial = row["trial_ends_at"] if row["is_trial"] else None
            ends = min(NEVER if instant is None else instant for instant in (row["expires_at"], trial))
            return ends, ALWAYS if row["starts_at"] is None else row["starts_at"], row["id"]

        grants = [
            row
            for row in case["subscriptions"]
            if row["module"] == module and line_of_row(row, granted_at)[1] == "ENABLED"
        ]
        row = max(grants, key=end)
        modules.append({
            "code": module,
            "is_trial": row["is_trial"] is True,
            "starts_at": row["starts_at"],
            "expires_at": row["expires_at"],
            "trial_ends_at": row["trial_ends_at"],
            "valid_until": valid_until(case, module, granted_at),
        })
    # The vectors' catalogue shows modules in this order, and what it does not know first.
    modules.sort(key=lambda module: (CATALOGUE.index(module["code"]) + 1 if module["code"] in CATALOGUE else 0))
    return {"tenant_status": None, "valid_until": min(changes, default=None), "modules": modules}


def from_list(list_, module, at):
    """May a library that holds the list grant by itself?"""
    for entry in list_["modules"] if list_ else []:
        starts = ALWAYS if entry["starts_at"] is None else entry["starts_at"]
        ends = NEVER if entry["valid_until"] is None else entry["valid_until"]
        if entry["code"] == module and starts <= at < ends:
            return True
    return False


def written(minutes):
    return None if minutes is None else (EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_words(value):
    """The same with instants written out."""
    instants = ("starts_at", "expires_at", "trial_ends_at", "valid_until", "at", "listed_at", "ends_at", "updated_at")
    if isinstance(value, dict):
        return {
            key: written(inner) if key in instants and not isinstance(inner, (dict, list)) else in_words(inner)
            for key, inner in value.items()
        }
    return [in_words(inner) for inner in value] if isinstance(value, list) else value


def row(module, status="active", starts=None, expires=None, trial=None, trial_ends=None, number=1):
    return {
        "id": f"00000000-0000-4000-9000-{number:012d}",
        "module": module,
        "status": status,
        "starts_at": starts,
        "expires_at": expires,
        "is_trial": trial,
        "trial_ends_at": trial_ends,
    }


STATUSES = {
    "active": "ACTIVE",
    "pending": "PENDING",
    "pending_setup": "PENDING_SETUP",
    "suspended": "SUSPENDED",
    "cancelled": "CANCELLED",
    "failed": "FAILED",
}


def completed(name, tenant, rows, listed_at, asked):
    case = {"tenant": tenant, "subscriptions": rows}
    list_ = listed(case, listed_at)
    if list_ is not None:
        list_["tenant_status"] = STATUSES.get(word(tenant["status"]), "OTHER")
        if tenant_denial(tenant):
            list_.update(valid_until=None, modules=[])
    questions = []
    for module, at in asked:
        why = reason(case, module, at)
        questions.append({
            "module": module,
            "at": at,
            "allowed": why == "ENABLED",
            "reason": why,
            "message": SENTENCES[why].format(module),
            "valid_until": valid_until(case, module, at),
            "from_list": from_list(list_, module, at),
        })
    return in_words({"name": name, **case, "listed_at": listed_at, "list": list_, "questions": questions})


ACTIVE = {"status": "active"}


def around(module, *instants):
    return [(module, at) for instant in instants for at in (instant - 1, instant, instant + 1)]


def named():
    f = "finance"
    now = [(f, 0)]
    for line in (
        ("line 1: no such tenant", None, [], now),
        ("line 2: the tenant is suspended", {"status": "suspended"}, [row(f)], now),
        ("line 2: the tenant is cancelled", {"status": "cancelled"}, [row(f)], now),
        ("line 2: the tenant's schema is still being made", {"status": "pending_setup"}, [row(f)], now),
        ("line 2: the tenant's setup has failed", {"status": "failed"}, [row(f)], now),
        ("line 2: the tenant's status is a word that nobody knows", {"status": "frozen"}, [row(f)], now),
        ("line 2: the tenant's status is NULL", {"status": None}, [row(f)], now),
        ("a pending tenant is served", {"status": "pending"}, [row(f)], now),
        ("words compare without regard to case and blanks", {"status": " Active "}, [row(f, " ACTIVE\t")], now),
        ("line 3: no module with this code", ACTIVE, [row(f)], [("teleport", 0)]),
        ("line 3: codes compare byte for byte", ACTIVE, [row(f)], [("Finance", 0), ("finance ", 0)]),
        ("line 4: no subscription", ACTIVE, [row("hrms")], now),
        ("line 5: the subscription is suspended", ACTIVE, [row(f, "suspended")], now),
        ("line 5: the subscription is cancelled", ACTIVE, [row(f, "cancelled")], now),
        ("line 5: the subscription's status is expired", ACTIVE, [row(f, "expired")], now),
        ("line 5: the subscription's status is a word that nobody knows", ACTIVE, [row(f, "paused")], now),
        ("line 5: the subscription's status is NULL", ACTIVE, [row(f, None)], now),
        ("line 6: it starts later, and on the dot", ACTIVE, [row(f, starts=10)], around(f, 10)),
        ("line 7: it expires, and on the dot", ACTIVE, [row(f, expires=10)], around(f, 10)),
        ("line 8: the trial ends, and on the dot", ACTIVE, [row(f, trial=True, trial_ends=10)], around(f, 10)),
        ("a trial's end counts only where it is a trial", ACTIVE, [row(f, trial=False, trial_ends=-5)], now),
        ("a flag that is NULL is false", ACTIVE, [row(f, trial=None, trial_ends=-5)], now),
        ("a trial without an end of its own", ACTIVE, [row(f, trial=True)], now),
        ("of expiry and trial's end the earlier counts", ACTIVE,
         [row(f, expires=20, trial=True, trial_ends=10)], around(f, 10, 20)),
        ("line 9: it has always run and never ends", ACTIVE, [row(f)], now),
        ("a subscription brings its module though the catalogue lacks it", ACTIVE, [row("brand_new")], [("brand_new", 0)]),
        ("a window that ends before it begins grants never", ACTIVE, [row(f, starts=10, expires=5)], around(f, 5, 10)),
        ("a window without a length grants never", ACTIVE, [row(f, starts=5, expires=5)], around(f, 5)),
        ("of two rows one that grants wins", ACTIVE,
         [row(f, "cancelled", starts=-1, number=1), row(f, number=2)], now),
        ("where none grants, the row that got furthest gives the reason", ACTIVE,
         [row(f, "suspended", starts=-1, number=1), row(f, expires=-5, number=2)], now),
        ("where rows got equally far, the later start does", ACTIVE,
         [row(f, "suspended", starts=-20, number=2), row(f, "cancelled", starts=-10, number=1)], now),
        ("where that is equal too, the higher id does", ACTIVE,
         [row(f, "cancelled", number=1), row(f, "suspended", number=2)], now),
        ("windows that touch are one right", ACTIVE,
         [row(f, starts=-10, expires=10, number=1), row(f, starts=10, expires=30, number=2)], around(f, 10, 30)),
        ("windows with a gap are two rights", ACTIVE,
         [row(f, starts=-10, expires=10, number=1), row(f, starts=20, expires=30, number=2)], around(f, 10, 20, 30)),
        ("a window within another changes nothing", ACTIVE,
         [row(f, starts=-10, expires=40, number=1), row(f, starts=5, expires=10, number=2)], around(f, 5, 10, 40)),
        ("a trial that is followed by the paid right", ACTIVE,
         [row(f, trial=True, trial_ends=10, number=1), row(f, starts=8, number=2)], around(f, 8, 10)),
        ("a module that starts next month is listed as upcoming", ACTIVE,
         [row(f, starts=43_200), row("hrms", number=2)], [(f, 0), ("hrms", 0), *around(f, 43_200)]),
    ):
        name, tenant, rows, asked = line
        yield completed(name, tenant, rows, 0, asked)


def generated(count, seed):
    dice = random.Random(seed)
    maybe = lambda: None if dice.random() < 0.3 else dice.randint(-6, 6)  # noqa: E731
    words = ["active"] * 6 + ["Active ", "suspended", "cancelled", "expired", "odd", None]
    for number in range(count):
        tenant = {"status": dice.choice(["active"] * 8 + ["pending", "suspended", "odd"])}
        rows = [
            row(
                dice.choice(CATALOGUE[1:]), dice.choice(words), maybe(), maybe(), dice.choice([True, False, None]),
                maybe(), number=dice.randint(1, 10**9),
            )
            for _ in range(dice.randint(0, 5))
        ]
        asked = [(dice.choice(CATALOGUE), dice.randint(-7, 7)) for _ in range(4)]
        asked += [(module, at) for module in CATALOGUE[1:3] for at in edges({"subscriptions": rows}, module)]
        yield completed(f"generated {number}", tenant, rows, dice.randint(-7, 7), asked)
