"""A provider for OpenFeature. A flag is a feature of a module, and the targeting key is the tenant.

api.set_provider_and_wait(EntitlementProvider(SyncEntitlementClient("127.0.0.1:50051")))
tenant = EvaluationContext(targeting_key="00000000-0000-4000-8000-000000000001")
api.get_client().get_boolean_value("finance/multi_currency", False, tenant)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast
from uuid import UUID

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    ProviderFatalError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagMetadata, FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from ._openfeature_states import States
from .aio import EntitlementClient
from .answers import UNSPECIFIED, FeatureAnswer
from .errors import ClientMisuseError, EntitlementError
from .sync import SyncEntitlementClient

__all__ = ["EntitlementProvider"]

T = TypeVar("T")
Structure = Sequence[FlagValueType] | Mapping[str, FlagValueType]
Context = EvaluationContext | None

_REASONS = {"TENANT": Reason.TARGETING_MATCH, "PLAN": Reason.TARGETING_MATCH, UNSPECIFIED: Reason.UNKNOWN}
"""All others are DEFAULT."""

_UUID_LENGTH = 36
_FATAL = "UNAUTHENTICATED"
"""The server does not know this client, and will answer nothing."""


class EntitlementProvider(AbstractProvider):
    """Evaluates features with a client, which stays the application's: `shutdown` does not close it.

    - A flag's key is "finance/multi_currency": the module, and the feature's key. The tenant's UUID is the targeting key.
    - A boolean is whether the feature is on. Off is false, also for a feature that there is not, and never the code's
      default: that is what an error gives.
    - Any other type is the feature's value. Where it is off or has no value, the code's default holds, with the reason
      DEFAULT; where its value has another type, the error is TYPE_MISMATCH.
    - The reason is TARGETING_MATCH where the tenant's flag or its plan decides, STALE where it could not be asked whether
      the answer still holds, and DEFAULT otherwise. The flag's metadata say more: `entitlement.reason`, `revision`,
      `stale`, and `module.reason` where it is known.
    - The provider is READY while changes are received, and STALE while they are not.

    With a SyncEntitlementClient, what is not held is asked for in the caller's thread, or in another one where it awaits.
    With an EntitlementClient, await: without that, only what is held is answered. Set it on the client's event loop with
    `set_provider`: `set_provider_and_wait` would wait for what the loop has to do itself.
    """

    def __init__(self, client: SyncEntitlementClient | EntitlementClient) -> None:
        super().__init__()
        self._client = client
        self._core = client._core
        self._states: States | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get_metadata(self) -> Metadata:
        return Metadata(name="entitlementd")

    def attach(self, on_emit: Any) -> None:
        # In the thread of whoever sets the provider. `initialize` may be called in another one.
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        super().attach(on_emit)

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Waits until changes are received, but no longer than the client's deadline."""
        self._begin()
        states = self._states = States(self._core, self)
        try:
            self._await_changes(states)
        except ProviderFatalError:
            states.stop()
            raise
        except GeneralError:
            states.start()
            raise
        states.start()

    def shutdown(self) -> None:
        if self._states is not None:
            self._states.stop()
            self._states = None

    def _begin(self) -> None:
        """Lets the client listen for changes. Raises ProviderFatalError."""
        client = self._client
        try:
            client._refuse_misuse()
            if isinstance(client, SyncEntitlementClient):
                client._start()
        except ClientMisuseError as error:
            raise ProviderFatalError(str(error)) from error
        if isinstance(client, EntitlementClient) and client._state == "new" and self._loop is not None:
            self._loop.call_soon_threadsafe(client._start)

    def _await_changes(self, states: States) -> None:
        core = self._core
        # On a loop nobody waits for what the loop has to do.
        is_in_its_way = isinstance(self._client, EntitlementClient) and _running_loop() is not None
        seconds = 0.0 if is_in_its_way else core.settings.deadline
        if not states.wait(seconds, lambda: core.sure_for() > 0 or core.refusal != ""):
            raise GeneralError("entitlementd has not been heard of yet")
        if core.refusal == _FATAL:
            raise ProviderFatalError("entitlementd refuses this client: it does not know who it is")

    def _ask(self, flag_key: str, context: Context) -> FeatureAnswer:
        question = _question(flag_key, context)
        with _Told():
            if isinstance(self._client, SyncEntitlementClient):
                return self._client.feature(*question)
            held = self._client.feature_held(*question)
        if held is None:
            raise GeneralError("nothing is held of this tenant, and to ask an EntitlementClient is to await it")
        return held

    async def _ask_async(self, flag_key: str, context: Context) -> FeatureAnswer:
        question = _question(flag_key, context)
        with _Told():
            if isinstance(self._client, EntitlementClient):
                return await self._client.feature(*question)
            held = self._client.feature_held(*question)
            return held if held is not None else await asyncio.to_thread(self._client.feature, *question)

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: Context = None
    ) -> FlagResolutionDetails[bool]:
        return _boolean(self._ask(flag_key, evaluation_context))

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: Context = None
    ) -> FlagResolutionDetails[bool]:
        return _boolean(await self._ask_async(flag_key, evaluation_context))

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        return _valued(self._ask(flag_key, evaluation_context), default_value, (str,))

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        return _valued(await self._ask_async(flag_key, evaluation_context), default_value, (str,))

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        return _valued(self._ask(flag_key, evaluation_context), default_value, (int,))

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        return _valued(await self._ask_async(flag_key, evaluation_context), default_value, (int,))

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        return _float(_valued(self._ask(flag_key, evaluation_context), default_value, (int, float)))

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        return _float(_valued(await self._ask_async(flag_key, evaluation_context), default_value, (int, float)))

    def resolve_object_details(
        self, flag_key: str, default_value: Structure, evaluation_context: Context = None
    ) -> FlagResolutionDetails[Structure]:
        return _valued(self._ask(flag_key, evaluation_context), default_value, (dict, list))

    async def resolve_object_details_async(
        self, flag_key: str, default_value: Structure, evaluation_context: Context = None
    ) -> FlagResolutionDetails[Structure]:
        return _valued(await self._ask_async(flag_key, evaluation_context), default_value, (dict, list))


class _Told:
    """What goes wrong is told in OpenFeature's words."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EntitlementError):
            raise GeneralError(str(error)) from error


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _question(flag_key: str, context: Context) -> tuple[str, str, str]:
    """The tenant, the module, and the feature's key."""
    module, _, key = flag_key.partition("/")
    if not module or not key:
        raise FlagNotFoundError(f"a flag's key is a module and a feature, 'finance/multi_currency', and not {flag_key!r}")
    tenant = context.targeting_key if context is not None else None
    if not tenant:
        raise TargetingKeyMissingError("the targeting key is the tenant's UUID")
    try:
        is_id = len(tenant) == _UUID_LENGTH and UUID(tenant) is not None
    except ValueError:
        is_id = False
    if not is_id:
        raise InvalidContextError("the targeting key has to be the tenant's UUID, in the form of 36 characters")
    return tenant, module, key


def _boolean(answer: FeatureAnswer) -> FlagResolutionDetails[bool]:
    return FlagResolutionDetails(answer.enabled, reason=_reason(answer), flag_metadata=_metadata(answer))


def _valued(answer: FeatureAnswer, default: T, types: tuple[type, ...]) -> FlagResolutionDetails[T]:
    value: Any = answer.value
    if not answer.enabled or value is None:
        reason = Reason.STALE if answer.stale else Reason.DEFAULT
        return FlagResolutionDetails(default, reason=reason, flag_metadata=_metadata(answer))
    # In Python, True is an int.
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeMismatchError(f"the feature's value is of the type {type(value).__name__}")
    return FlagResolutionDetails(cast("T", value), reason=_reason(answer), flag_metadata=_metadata(answer))


def _float(details: FlagResolutionDetails[float]) -> FlagResolutionDetails[float]:
    details.value = float(details.value)
    return details


def _reason(answer: FeatureAnswer) -> Reason:
    return Reason.STALE if answer.stale else _REASONS.get(answer.reason, Reason.DEFAULT)


def _metadata(answer: FeatureAnswer) -> FlagMetadata:
    metadata: dict[str, bool | int | float | str] = {
        "entitlement.reason": answer.reason,
        "revision": answer.revision,
        "stale": answer.stale,
    }
    if answer.module_reason != UNSPECIFIED:
        metadata["module.reason"] = answer.module_reason
    return metadata
