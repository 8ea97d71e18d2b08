"""The rules of features and limits, for `features.json`."""

import random

import modules
from modules import (
    ACTIVE, SENTENCES, STATUSES, from_list, in_words, listed, reason, row, tenant_denial, valid_until, word,
)

FEATURES = [
    {"module": "finance", "key": "multi_currency", "type": "json", "enabled": False, "value": None},
    {"module": "finance", "key": "export", "type": "string", "enabled": True, "value": "csv"},
    {"module": "finance", "key": "rows", "type": "int64", "enabled": True, "value": 100},
    {"module": "finance", "key": "beta", "type": "bool", "enabled": False, "value": True},
    {"module": "hrms", "key": "export", "type": "json", "enabled": False, "value": {"formats": ["csv", "pdf"], "most": 1.5}},
]
PLANS = {
    "starter": {"features": [], "limits": {"users": 5, "transactions_monthly": 1000, "warehouses": 0}},
    "growth": {
        "features": [
            {"module": "finance", "key": "multi_currency", "enabled": True, "value": ["INR", "USD"]},
            {"module": "finance", "key": "export", "enabled": False, "value": "pdf"},
            {"module": "finance", "key": "rows", "enabled": True, "value": None},
            {"module": "hrms", "key": "export", "enabled": True, "value": "a value of any type"},
        ],
        "limits": {"users": 20, "warehouses": 3},
    },
}
LIMITS = {"transactions_monthly": "MONTHLY", "users": "LEVEL", "warehouses": "LEVEL"}
CATALOGUE = {"modules": modules.CATALOGUE, "features": FEATURES, "plans": PLANS, "limits": LIMITS}

FEATURE_SENTENCES = {
    "NOT_FOUND": "There is no feature '{key}' in module '{module}'.",
    "TENANT": "The feature '{key}' of module '{module}' is switched off.",
    "DEFAULT": "The feature '{key}' of module '{module}' is switched off.",
    "PLAN": "Your plan does not include the feature '{key}' of module '{module}'. Please upgrade your plan.",
    "VALUE_UNREADABLE": "The feature '{key}' of module '{module}' is not set up correctly.",
}
LIMIT_SENTENCES = {
    "EXCEEDED": "This would exceed the limit '{key}' of {limit}.",
    "OVER_LIMIT": "The limit '{key}' of {limit} has been exceeded.",
    "NOT_FOUND": "There is no limit '{key}'.",
}
KINDS = {"bool": bool, "int64": int, "string": str}
MOST = 2**63 - 1


def own(tenant, part):
    return (tenant or {}).get(part) or []


def of(things, module, key):
    return next((thing for thing in things if (thing["module"], thing["key"]) == (module, key)), None)


def state(tenant, module, key):
    """(on, reason, value) where the module may be used."""
    rows = [flag for flag in own(tenant, "flags") if (flag["module"], flag["key"]) == (module, key)]
    flag = max(rows, key=lambda flag: (flag["enabled"] is True, flag["updated_at"], flag["id"]), default=None)
    defined = of(FEATURES, module, key)
    planned = of(PLANS[tenant["plan"]]["features"], module, key) if defined and tenant["plan"] else None
    who = [("TENANT", flag), ("PLAN", planned), ("DEFAULT", defined)]
    said = [(why, what) for why, what in who if what is not None]
    if not said:
        return False, "NOT_FOUND", None
    why, decides = said[0]
    if decides["enabled"] is not True:
        return False, why, None
    value = next((what["value"] for _, what in said if what["value"] is not None), None)
    wanted = KINDS.get(defined["type"]) if defined else None
    if value is not None and wanted and type(value) is not wanted:
        return False, "VALUE_UNREADABLE", None
    return True, why, value


def feature(case, module, key, at):
    why = reason(case, module, at)
    until = valid_until(case, module, at)
    if why != "ENABLED":
        return {
            "enabled": False, "reason": "MODULE_DENIED", "value": None, "message": SENTENCES[why].format(module),
            "module_reason": why, "valid_until": until,
        }
    is_on, because, value = state(case["tenant"], module, key)
    message = "" if is_on else FEATURE_SENTENCES[because].format(module=module, key=key)
    return {
        "enabled": is_on, "reason": because, "value": value, "message": message, "module_reason": "ENABLED",
        "valid_until": until,
    }


def limit(tenant, key, at):
    """The limit in force; None: there is no such limit."""
    override = next((own_ for own_ in own(tenant, "overrides") if own_["key"] == key), None)
    kind = LIMITS.get(key, "LEVEL")
    if override and (override["ends_at"] is None or at < override["ends_at"]):
        return {
            "key": key, "limit": override["value"], "source": "OVERRIDE", "kind": kind, "no_plan": False,
            "valid_until": override["ends_at"],
        }
    if key not in LIMITS and not override:
        return None
    value = PLANS[tenant["plan"]]["limits"].get(key) if tenant["plan"] else None
    return {
        "key": key, "limit": value, "source": "NONE" if value is None else "PLAN", "kind": kind,
        "no_plan": tenant["plan"] is None, "valid_until": None,
    }


def within(case, key, observed, amount, at, enforcement):
    answer = {
        "limit": None, "used": observed, "remaining": None, "source": "NONE", "kind": None, "tenant_reason": None,
        "valid_until": None,
    }
    denial = tenant_denial(case["tenant"])
    holds = None if denial else limit(case["tenant"], key, at)
    if denial:
        why, message = "TENANT_DENIED", SENTENCES[denial]
        answer["tenant_reason"] = denial
    elif holds is None:
        why, message = "NOT_FOUND", LIMIT_SENTENCES["NOT_FOUND"].format(key=key)
    else:
        most = holds["limit"]
        if most is None:
            why = "NO_PLAN" if holds["no_plan"] else "UNLIMITED"
        else:
            why = "OVER_LIMIT" if observed > most else "EXCEEDED" if observed + amount > most else "WITHIN"
            answer["remaining"] = most - observed
        message = LIMIT_SENTENCES.get(why, "").format(key=key, limit=most)
        answer.update({name: holds[name] for name in ("limit", "source", "kind", "valid_until")})
    is_within = why in ("WITHIN", "UNLIMITED", "NO_PLAN")
    allowed = is_within or (enforcement != "ON" and why != "TENANT_DENIED")
    return {"allowed": allowed, "reason": why, "message": message, **answer}


def answered(case, at, enforcement, is_old):
    """ListEnabledModules with include_upcoming and include_features; None where there is no such tenant."""
    list_, tenant = listed(case, at), case["tenant"]
    if list_ is None:
        return None
    list_["tenant_status"] = STATUSES.get(word(tenant["status"]), "OTHER")
    is_denied = tenant_denial(tenant)
    ends = [override["ends_at"] for override in own(tenant, "overrides")]
    changes = [list_["valid_until"], *(None if is_old else end for end in ends if end is not None and at < end)]
    list_["valid_until"] = min((change for change in changes if change is not None), default=None)
    if is_denied:
        list_["modules"] = []
    for module in list_["modules"]:
        code = module["code"]
        said = [*FEATURES, *own(tenant, "flags")]
        keys = set() if is_old else {it["key"] for it in said if it["module"] == code}
        module["features"] = [
            dict(zip(("key", "enabled", "reason", "value"), (key, *state(tenant, code, key)))) for key in sorted(keys)
        ]
    keys = {*LIMITS, *(override["key"] for override in own(tenant, "overrides"))}
    list_["limits"] = [] if is_old or is_denied else [limit(tenant, key, at) for key in sorted(keys)]
    list_["limit_enforcement"] = "UNSPECIFIED" if is_old else enforcement
    return list_


def completed(name, tenant, rows, asked, listed_at=0, enforcement="ON", is_old=False):
    features, wanted = asked
    tenant = tenant and {"plan": None, "flags": [], "overrides": [], **tenant}
    case = {"tenant": tenant, "subscriptions": rows}
    list_ = answered(case, listed_at, enforcement, is_old)

    def lasts(answer, at):
        """The list says what holds until then: what comes after an override's end it does not say."""
        entries = (list_ or {"limits": []})["limits"]
        ends = [entry["valid_until"] for entry in entries if entry["key"] == answer["key"]]
        return not is_old and all(end is None or at < end for end in ends)

    questions = [
        {
            "module": module, "key": key, "at": at, **feature(case, module, key, at),
            "from_list": not is_old and from_list(list_, module, at),
        }
        for module, key, at in features
    ]
    limits = [
        {"key": key, "observed": observed, "amount": amount, "at": at, **within(case, key, observed, amount, at, enforcement)}
        for key, observed, amount, at in wanted
    ]
    for answer in limits:
        answer["from_list"] = lasts(answer, answer["at"])
    return in_words({
        "name": name, **case, "enforcement": enforcement, "listed_at": listed_at, "list": list_, "features": questions,
        "limits": limits,
    })


def flag(module, key, enabled=True, value=None, updated=0, number=1):
    return {
        "id": f"00000000-0000-4000-a000-{number:012d}", "module": module, "key": key, "enabled": enabled, "value": value,
        "updated_at": updated,
    }


def override(key, value, ends=None):
    return {"key": key, "value": value, "ends_at": ends}


def named():
    f, currency, users = "finance", "multi_currency", "users"
    every = [(it["module"], it["key"], 0) for it in FEATURES]
    some = [(users, 0, 1, 0), (users, 4, 1, 0), (users, 5, 1, 0), (users, 5, 0, 0), (users, 6, 0, 0)]
    flagged = lambda *flags: {**ACTIVE, "plan": "growth", "flags": list(flags)}  # noqa: E731
    limited = lambda *overrides: {**ACTIVE, "plan": "starter", "overrides": list(overrides)}  # noqa: E731
    ends = [(users, 5, 1, at) for at in (9, 10, 11)]
    for name, tenant, rows, asked, options in (
        ("the definition's default decides where nobody else does", ACTIVE, [row(f)], (every, []), {}),
        ("the plan decides before the definition", flagged(), [row(f), row("hrms", number=2)], (every, []), {}),
        ("the tenant's flag decides before the plan", flagged(flag(f, currency, False), flag(f, "export")), [row(f)], (every, []), {}),
        ("a flag's value comes before the plan's", flagged(flag(f, currency, value=["EUR"])), [row(f)], (every, []), {}),
        ("a flag that is NULL is off", flagged(flag(f, currency, None)), [row(f)], (every, []), {}),
        ("of several rows one that is on wins", flagged(flag(f, currency, False, updated=5), flag(f, currency, number=2)), [row(f)], (every, []), {}),
        ("then the one that was updated last", flagged(flag(f, "rows", value=1, updated=5), flag(f, "rows", value=2, number=2)), [row(f)], (every, []), {}),
        ("then the one with the greatest id", flagged(flag(f, "rows", value=1), flag(f, "rows", value=2, number=2)), [row(f)], (every, []), {}),
        ("a value of another type is off", flagged(flag(f, "rows", value="many"), flag(f, "beta", value=1)), [row(f)], (every, []), {}),
        ("a flag without a definition takes any value", flagged(flag(f, "zz", value={"a": [1, True]}), flag(f, "aa", False)), [row(f)],
         ([(f, "zz", 0), (f, "aa", 0)], []), {}),
        ("values of every kind", flagged(*(flag(f, f"k{number}", value=value, number=number) for number, value in enumerate(
            (True, False, 0, -7, 2**53, 1.5, "", "text", [], {}, {"a": {"b": [1, "2", False]}}, {"none": None})))), [row(f)],
         ([(f, f"k{number}", 0) for number in range(12)], []), {}),
        ("a key that is not in the list is off: the list is complete", flagged(), [row(f)],
         ([(f, "teleport", 0), (f, "Multi_Currency", 0), (f, "", 0), ("hrms", "export", 0)], []), {}),
        ("a key of another module is another feature", flagged(flag("hrms", currency)), [row(f), row("hrms", number=2)],
         ([(f, currency, 0), ("hrms", currency, 0)], []), {}),
        ("features are off where their module is denied, whatever the flag says", flagged(flag(f, currency)), [row(f, "suspended")],
         ([(f, currency, 0), ("teleport", currency, 0)], []), {}),
        ("a feature ends with its module, on the dot", flagged(), [row(f, expires=10)], ([(f, currency, at) for at in (9, 10, 11)], []), {}),
        ("a feature of a module that starts later", flagged(), [row(f, starts=10)], ([(f, currency, at) for at in (9, 10, 11)], []), {}),
        ("a tenant that is not served has no features and no limits", {"status": "suspended", "plan": "growth"}, [row(f)], (every, some), {}),
        ("a pending tenant is served", {"status": "pending", "plan": "growth"}, [row(f)], (every, some), {}),
        ("nobody is there", None, [], (every, some), {}),
        ("the plan's limit", limited(), [row(f)], ([], some), {}),
        ("a tenant without a module has limits", limited(), [], ([], some), {}),
        ("a tenant without a plan has no limit", ACTIVE, [row(f)], ([], some), {}),
        ("a plan that does not say is unlimited", {**ACTIVE, "plan": "growth"}, [row(f)],
         ([], [("transactions_monthly", 10**9, 1, 0), ("transactions_monthly", MOST, MOST, 0)]), {}),
        ("a limit of zero", limited(), [row(f)], ([], [("warehouses", 0, 0, 0), ("warehouses", 0, 1, 0), ("warehouses", 1, 0, 0)]), {}),
        ("a limit by the month", limited(), [row(f)], ([], [("transactions_monthly", 999, 1, 0), ("transactions_monthly", 999, 2, 0)]), {}),
        ("there is no such limit", limited(), [row(f)], ([], [("teleports", 0, 0, 0), ("Users", 0, 1, 0)]), {}),
        ("numbers that cannot be added", limited(override(users, MOST)), [row(f)],
         ([], [(users, MOST, MOST, 0), (users, MOST, 0, 0), (users, 0, MOST, 0), (users, 1, MOST, 0)]), {}),
        ("an override wins over the plan", limited(override(users, 7)), [row(f)], ([], [*some, (users, 7, 1, 0)]), {}),
        ("an override of zero", limited(override(users, 0)), [row(f)], ([], some), {}),
        ("an override may take the limit away", limited(override(users, None)), [row(f)], ([], some), {}),
        ("an override without a plan", {**ACTIVE, "overrides": [override(users, 2)]}, [row(f)], ([], some), {}),
        ("an override of what nobody has defined", limited(override("printers", 2)), [row(f)],
         ([], [("printers", 2, 0, 0), ("printers", 2, 1, 0)]), {}),
        ("an override ends, on the dot", limited(override(users, 50, 10)), [row(f)], ([], ends), {}),
        ("an override that has ended", limited(override(users, 50, -1), override("printers", 1, -1)), [row(f)],
         ([], [*some, ("printers", 9, 9, 0)]), {}),
        ("the list ends with the first override or right", limited(override(users, 50, 10)), [row(f, expires=5)],
         ([(f, "export", 4), (f, "export", 5)], ends), {}),
        ("what is refused is allowed in the shadow, and said", limited(), [row(f)], ([], [*some, ("teleports", 0, 0, 0)]), {"enforcement": "SHADOW"}),
        ("nothing is refused where limits are off", limited(), [row(f)], ([], [*some, ("teleports", 0, 0, 0)]), {"enforcement": "OFF"}),
        ("a tenant is denied whatever its limits are", {"status": "cancelled"}, [row(f)], ([], some), {"enforcement": "OFF"}),
        ("an older server says nothing of features and limits", flagged(), [row(f)], (every, some), {"is_old": True}),
    ):
        yield completed(name, tenant, rows, asked, **options)


def generated(count, seed):
    dice = random.Random(seed)
    values = [None, None, True, 7, "text", [1, "a"], {"a": 1.5}]
    maybe = lambda: None if dice.random() < 0.6 else dice.randint(-6, 6)  # noqa: E731
    for number in range(count):
        flags = [
            flag(dice.choice(["finance", "hrms"]), dice.choice(["multi_currency", "export", "rows", "own"]),
                 dice.choice([True, True, False, None]), dice.choice(values), dice.randint(-3, 3), place)
            for place in range(dice.randint(0, 6))
        ]
        keys = dice.sample(["users", "warehouses", "printers"], dice.randint(0, 3))
        overrides = [override(key, dice.choice([None, 0, 2, 9]), maybe()) for key in sorted(keys)]
        tenant = {
            "status": dice.choice(["active"] * 8 + ["suspended"]), "plan": dice.choice([None, "starter", "growth"]),
            "flags": flags, "overrides": overrides,
        }
        rows = [row(module, expires=maybe(), starts=maybe(), number=place) for place, module in enumerate(("finance", "hrms"))]
        features = [
            (dice.choice(["finance", "finance", "hrms", "hrms", "crm_service"]), dice.choice(["multi_currency", "export", "rows", "own", "none"]), dice.randint(-7, 7))
            for _ in range(6)
        ]
        listed_at = dice.randint(-7, 7)
        # A list says nothing of what was before it.
        wanted = [
            (dice.choice([*LIMITS, "printers", "none"]), dice.randint(0, 21), dice.randint(0, 3), dice.randint(listed_at, 8))
            for _ in range(6)
        ]
        yield completed(f"generated {number}", tenant, rows, (features, wanted), listed_at, dice.choice(["ON", "ON", "SHADOW", "OFF"]))
