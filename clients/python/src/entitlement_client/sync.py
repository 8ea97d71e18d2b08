"""The client for threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from ._base import TenantId, carried_by, log
from ._core import features, issuing, programs, usage
from ._core.effects import Background, Call, Effect, Join, Pause, Program
from ._core.jobs import Job
from ._sync_io import Transport, Watcher, Worker
from ._sync_usage import SyncUsage
from ._target import Target
from ._wire import Headers
from .answers import (
    Answer,
    Authorized,
    EnabledModules,
    FeatureAnswer,
    IssuedLease,
    LimitAnswer,
    LimitDecision,
    Reconciled,
    Reservation,
    Resolved,
)
from .errors import ClientMisuseError, Failure

T = TypeVar("T")


class SyncEntitlementClient(SyncUsage):
    """EntitlementClient for code that does not await: the same arguments, operations, and rules.

    Any number of threads may use one. It connects when it is first asked something that is not held, and then keeps a
    thread that listens for changes, until `close()` or the end of the `with` block.
    """

    def check(self, tenant: TenantId, module: str, *, min_revision: int | None = None) -> Answer:
        """May the tenant use the module? A denial is an answer. Raises RequestRefusedError for what is no tenant's id or
        no module's code; an outage is answered by the rule.

        `min_revision`: the answer rests on this revision or a later one, or the outage rule answers.
        """
        answer = self._held(tenant, module, self._wall(), self._mono(), min_revision or 0)  # type: ignore[arg-type]
        if answer is not None:
            return answer
        return self._run(programs.check(self._core, str(tenant).lower(), module, min_revision or 0))

    def require(self, tenant: TenantId, module: str, *, min_revision: int | None = None) -> Answer:
        """`check`, for whom only a yes will do. Raises ModuleDeniedError, EntitlementsUnavailableError."""
        return programs.demand(self.check(tenant, module, min_revision=min_revision))

    def check_any(self, tenant: TenantId, modules: Sequence[str], *, min_revision: int | None = None) -> Answer:
        """One of these is enough. Denied: the first denial."""
        return self._run(programs.check_any(self._core, str(tenant).lower(), modules, min_revision or 0))

    def check_all(self, tenant: TenantId, modules: Sequence[str], *, min_revision: int | None = None) -> Answer:
        """All of these are needed. Allowed: the answer that ends first."""
        return self._run(programs.check_all(self._core, str(tenant).lower(), modules, min_revision or 0))

    def feature(self, tenant: TenantId, module: str, key: str, *, min_revision: int | None = None) -> FeatureAnswer:
        """Is the feature of a module on for the tenant? Off is an answer, with its reason: also where the module is
        denied, and where there is no such feature. Raises RequestRefusedError, with the code UNIMPLEMENTED where the
        server is older than features; an outage is answered by the rule.

        `min_revision`: as in `check`.
        """
        answer = self.feature_held(tenant, module, key, min_revision=min_revision)
        if answer is not None:
            return answer
        return self._run(features.feature(self._core, str(tenant).lower(), module, key, min_revision or 0))

    def require_feature(
        self, tenant: TenantId, module: str, key: str, *, min_revision: int | None = None
    ) -> FeatureAnswer:
        """`feature`, for whom only on will do. Raises FeatureOffError, EntitlementsUnavailableError."""
        return features.demand_feature(self.feature(tenant, module, key, min_revision=min_revision))

    def limit(self, tenant: TenantId, key: str, *, min_revision: int | None = None) -> LimitAnswer:
        """What the limit is for the tenant: "users", or "transactions_monthly". Raises RequestRefusedError, as `feature`
        does, and EntitlementsUnavailableError where the outage rule neither allows nor has a limit to give. To decide by
        it, ask `within_limit`, which knows whether limits are enforced."""
        return self._run(features.limit(self._core, str(tenant).lower(), key, min_revision or 0))

    def within_limit(
        self, tenant: TenantId, key: str, observed: int, amount: int = 1, *, min_revision: int | None = None
    ) -> LimitDecision:
        """Would `amount` more be within the limit, where there are `observed` already, as you have counted? It reserves
        nothing: count and insert in one transaction. `amount` 0: is what there is within the limit? Raises ValueError
        for what cannot be counted, and RequestRefusedError as `feature` does; an outage is answered by the rule."""
        program = features.within_limit(self._core, str(tenant).lower(), key, observed, amount, min_revision or 0)
        return self._run(program)

    def require_within_limit(
        self, tenant: TenantId, key: str, observed: int, amount: int = 1, *, min_revision: int | None = None
    ) -> LimitDecision:
        """`within_limit`, for whom only a yes will do. Raises LimitExceededError, EntitlementsUnavailableError."""
        return features.demand_limit(self.within_limit(tenant, key, observed, amount, min_revision=min_revision))

    def reserve(
        self,
        tenant: TenantId,
        meter: str,
        key: str,
        amount: int = 1,
        *,
        module: str | None = None,
        hold_for: timedelta | None = None,
        partial: bool = False,
    ) -> Reservation:
        """Takes so much of the limit `meter`, if it is there: check and count are one step, exact however many ask.
        Answered once it is committed; a refusal is an answer.

        - `key`: the name of what is counted, such as the order's own id: 1 to 128 printable ASCII characters without
          blanks. The same key again is answered as the first time, so where the server does not answer, and may have
          counted, the library asks again by itself, twice at most within its deadline.
        - `amount`: 1 to 10^12.
        - `module`: the code of the module that it is for, which the tenant must be allowed to use.
        - `hold_for`: it is held for so long only, 1 s to 24 h, and returns by itself unless the same key comes again
          without this.
        - `partial`: where there is less than the amount, take what there is.

        Raises EntitlementsUnavailableError in an outage, unless the meter's rule (`usage_outage`) allows it, and where
        another transaction holds the counter for long: it may have been counted, so ask again with the same key. Raises
        RequestRefusedError, with the code ALREADY_EXISTS where the key took another amount, and UNIMPLEMENTED where the
        server is older than usage; ValueError for what cannot be sent.
        """
        wanted = usage.Wanted(str(tenant).lower(), meter, key, amount, module, hold_for, partial)
        return self._run(usage.reserve(self._core, wanted))

    @contextmanager
    def reserving(
        self,
        tenant: TenantId,
        meter: str,
        key: str,
        amount: int = 1,
        *,
        module: str | None = None,
        hold_for: timedelta | None = None,
        partial: bool = False,
    ) -> Iterator[Reservation]:
        """Holds so much while the block does what is to be counted: `with` client.reserving(...) as reservation.
        A clean exit takes it for good; where the block raises, it is given back, and if the process dies, the hold
        returns by itself. `hold_for`: 60 s where nothing is said; the other arguments are those of `reserve`.

        Raises UsageRefusedError where it is not granted, and what `reserve` does. The end of the block does, too: where
        the hold has run out and there is not enough any more, the tenant or the module is denied by now, or the server
        does not answer; then `reserve` the same key later. What was here before (`repeated`) is not given back: another
        attempt may have taken it for good since.
        """
        wanted = usage.Wanted(str(tenant).lower(), meter, key, amount, module, hold_for, partial)
        reservation = self._run(usage.hold(self._core, wanted))
        try:
            yield reservation
        except BaseException:
            self._give_back(wanted, reservation)
            raise
        self._run(usage.keep(self._core, wanted, reservation))

    def release(self, tenant: TenantId, meter: str, key: str) -> int:
        """Gives back what a key took: the order failed, the user left. How much that was. 0: nothing was taken under
        it, or it was given back before, as where an answer was lost and the library has asked again. Raises
        EntitlementsUnavailableError, RequestRefusedError."""
        return self._run(usage.release(self._core, str(tenant).lower(), meter, key))

    def reconcile(self, tenant: TenantId, meter: str, keys: Iterable[str], as_of: datetime) -> Reconciled:
        """Says which things there are of a level: what is counted and is not there is released, what is there and is not
        counted is counted, beyond the limit too. `keys`: all that there are, in any order and of any number; they go to
        the server in ranges, one after the other. `as_of`: when they were read, at the latest: what was counted or
        released after that stays as it is.

        Raises RequestRefusedError, with the code FAILED_PRECONDITION for a monthly meter, and
        EntitlementsUnavailableError; some ranges may have been put right then, and asking again does the rest.
        ValueError for what is no key, or no instant with a time zone: then nothing is sent."""
        return self._run(usage.reconcile(self._core, str(tenant).lower(), meter, keys, as_of))

    def enabled_modules(self, tenant: TenantId, *, min_revision: int | None = None) -> EnabledModules:
        """Every module that the tenant may use now. Raises RequestRefusedError (NOT_FOUND: there is no such tenant), and
        EntitlementsUnavailableError where the outage rule has no list to give."""
        return self._run(programs.enabled_modules(self._core, str(tenant).lower(), min_revision or 0))

    def resolve(
        self, headers: Headers | None = None, *, tenant_id: TenantId = "", host: str = "", bearer_token: str = ""
    ) -> Resolved:
        """Which tenant does a request belong to? Takes its headers, or what they say. Raises RequestRefusedError, and in
        an outage EntitlementsUnavailableError: no rule names a tenant that is not held."""
        who = carried_by(headers, tenant_id, host, bearer_token)
        return self.held_resolved(*who) or self._run(programs.resolve(self._core, *who))

    def authorize(self, headers: Headers, modules: Sequence[str]) -> Authorized:
        """`resolve` and `check_any`, in one round trip where the tenant is not held. Raises what `resolve` does."""
        return self._run(programs.authorize(self._core, *carried_by(headers, "", "", ""), modules))

    def issue_lease(
        self,
        tenant: TenantId,
        modules: Iterable[str] = (),
        *,
        features: Iterable[tuple[str, str]] = (),
        ttl: timedelta | None = None,
        audience: str = "",
        min_revision: int | None = None,
    ) -> IssuedLease:
        """Has a lease signed: what the tenant may use, for a place without a connection, where a `LeaseVerifier` of
        `entitlement_client.signed_lease` verifies it. It cannot be taken back.

        - `modules`: codes; `features`: pairs of a module's code and a key, whose modules are asked for too. Neither: all
          that the tenant may use.
        - `ttl`: how long it is to last, a second or more, and no longer than the server allows. None: that long.
        - `audience`: for whom; only a verifier of this audience accepts it.
        - `min_revision`: as in `check`.

        Raises EntitlementsUnavailableError in an outage, where no rule signs anything. Raises RequestRefusedError for a
        tenant that is not served or does not exist, with the code FAILED_PRECONDITION where the server has no keys, and
        UNIMPLEMENTED where it is older than signed leases; ValueError for what cannot be sent.
        """
        wanted = issuing.WantedLease(str(tenant).lower(), modules, features, ttl, audience, min_revision)
        return self._run(issuing.issue_lease(self._core, wanted))

    def close(self) -> None:
        """Ends the connection, after what counters and leases have to say, for which it takes the deadline of an answer
        at most. Nothing can be asked after it."""
        if self._state == "open":
            until = self._mono() + self._core.settings.deadline_ns
            for job in self._core.schedule.jobs:
                self._end_job(job, until)
            self._end()
        if self._state != "forked":
            self._state = "closed"
            self._core.abandon()

    def __enter__(self) -> SyncEntitlementClient:
        self._refuse_misuse()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set_up(self) -> None:
        self._starting = threading.Lock()
        self._watcher: Watcher | None = None
        self._worker = Worker(weakref.ref(self))
        self._core.schedule.wake = self._worker.wake

    def _new_future(self) -> Callable[[], Any]:
        return Future

    def _connect_to(self, target: Target) -> Any:
        return Transport(target)

    def _start(self) -> None:
        with self._starting:
            self._refuse_misuse()
            if self._state == "new":
                self._begin()
                self._transport.open()
                watcher = self._watcher = Watcher(self._core, self._transport)
                # Also where nobody closes the client, and when the process ends.
                self._end = weakref.finalize(self, _stop, watcher, self._worker)
                watcher.start()
            self._look_for_work()

    def _look_for_work(self) -> None:
        if self._state == "open" and self._core.schedule.jobs:
            self._worker.start()

    def _run(self, program: Program[T]) -> T:
        """Runs a program in this thread."""
        value: Any = None
        while True:
            try:
                effect = program.send(value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if self._state != "open":
                self._start()
            value = self._perform(effect)

    def _end_job(self, job: Job, until: int) -> None:
        try:
            self._run(job.end(until))
        except Exception:  # noqa: BLE001 - a fault of ours must not keep the connection
            log.exception("what was done in the background has not ended well")

    def _give_back(self, wanted: usage.Wanted, reservation: Reservation) -> None:
        """The block has raised, and says more than this could."""
        try:
            why = self._run(usage.give_back(self._core, wanted, reservation))
        except ClientMisuseError as error:
            # The client was closed in the block.
            why = str(error)
        if why:
            log.debug("a hold was not given back, and returns by itself: %s", why)

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Call):
            if self._watcher is not None:
                self._watcher.look_for_silence()
            return self._transport.call(effect.method, effect.request, effect.timeout)
        if isinstance(effect, Pause):
            return self._transport.pause(effect.seconds)
        if isinstance(effect, Background):
            beside = threading.Thread(target=self._run_beside, args=(effect.program(),), daemon=True)
            try:
                beside.start()
            except RuntimeError:
                # There is no thread to be had.
                effect.give_up()
            return None
        if effect.leads:
            return self._lead(effect)
        try:
            return effect.flight.future.result(effect.patience)
        except FutureTimeoutError:
            # Before Python 3.11 it is no TimeoutError.
            return Failure("DEADLINE_EXCEEDED", "the same question, asked by another thread, was not answered in time")

    def _run_beside(self, program: Program[None]) -> None:
        """In a thread that nobody waits for."""
        with suppress(ClientMisuseError):
            # The client was closed meanwhile.
            self._run(program)

    def _lead(self, join: Join) -> Any:
        result: Any = Failure("UNAVAILABLE", "the same question, asked by another thread, was given up")
        try:
            result = self._run(join.program())
        finally:
            join.land(join.flight)
            join.flight.future.set_result(result)
        return result


def _stop(watcher: Watcher, worker: Worker) -> None:
    worker.stop()
    watcher.stop()
