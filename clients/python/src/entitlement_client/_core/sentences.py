"""What people are shown, in the server's own sentences, where this library answers by itself."""

from __future__ import annotations

UNKNOWN = "It cannot be checked at the moment whether your account may use this. Please try again in a moment."
"""Where the outage rule denied."""

OF_DECISIONS = {
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
"""By the reason. A module's name belongs into the braces."""

_SWITCHED_OFF = "The feature '{key}' of module '{module}' is switched off."
_OF_FEATURES = {
    "NOT_FOUND": "There is no feature '{key}' in module '{module}'.",
    "TENANT": _SWITCHED_OFF,
    "DEFAULT": _SWITCHED_OFF,
    "PLAN": "Your plan does not include the feature '{key}' of module '{module}'. Please upgrade your plan.",
    "VALUE_UNREADABLE": "The feature '{key}' of module '{module}' is not set up correctly.",
}
_OF_LIMITS = {
    "EXCEEDED": "This would exceed the limit '{key}' of {limit}.",
    "OVER_LIMIT": "The limit '{key}' of {limit} has been exceeded.",
    "NOT_FOUND": "There is no limit '{key}'.",
}

_NOT_SERVED = {"SUSPENDED": "TENANT_SUSPENDED", "CANCELLED": "TENANT_CANCELLED"}
_SERVED = frozenset({"ACTIVE", "PENDING"})


def of_decision(reason: str, module: str) -> str:
    return OF_DECISIONS.get(reason, "Module '{}' is not enabled for your account.").format(module)


def of_feature(reason: str, module: str, key: str) -> str:
    """Of one that is off. A reason of a newer server's is one like any other."""
    return _OF_FEATURES.get(reason, _SWITCHED_OFF).format(module=module, key=key)


def of_limit(reason: str, key: str, limit: int | None) -> str:
    """Empty where it is within the limit."""
    return _OF_LIMITS.get(reason, "").format(key=key, limit=limit)


def denial_of_tenant(status: str) -> str | None:
    """Why a tenant with this status is not served, if it is not."""
    return None if status in _SERVED else _NOT_SERVED.get(status, "TENANT_NOT_SERVED")
