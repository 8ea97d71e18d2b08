"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from ._aio_io import Transport, Watcher, Worker
from ._aio_usage import AioUsage
from ._base import TenantId, carried_by, log
from ._core import features, issuing, programs, usage
from ._core.effects import Background, Call, Effect, Join, Pause, Program
from ._core.jobs import Job
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

# How long a task that was cancelled may take to end, in seconds, before it is cancelled once more.
AGAIN = 0.1


class EntitlementClient(AioUsage):
    """Asks entitlementd, and mostly answers by itself.

    Make one per process. It connects when it is first asked something that is not held, to the event loop of whoever
    asks, and belongs to that loop from then on: used from another loop, or after a fork, it raises ClientMisuseError.
    It listens for changes until `close()`, or the end of the `async with` block.

    - `endpoints`: "host:port" or "unix:/path"; several as a list, or with commas. One is used at a time. Left out: those
      of the environment variable ENTITLEMENTD_ENDPOINT; where that is not set, or empty, the socket
      /run/entitlementd/edge.sock, if it is there: the edge on this machine, or in this pod. ValueError where there is
      neither, or where the variable cannot be used.
    - `on_outage`: what is answered while the server cannot be asked: OnOutage.deny(), OnOutage.serve_stale(...) or
      OnOutage.allow(). Choose one; where nothing is said, it is deny().
    - `deadline`: seconds that an answer may take, all tries included.
    - `credentials`, `ca_file`: TLS, with grpc's ChannelCredentials, or with certificates (PEM) that the server's own
      must descend from. Neither: plaintext.
    - `token`: a bearer token that says who the caller is, or a function that gives the present one. Refused (ValueError)
      where it would cross the network unencrypted.
    - `usage_outage`: by meter, what `reserve`, `reserving` and leases answer while the server cannot be asked:
      OnOutage.deny() where nothing is said, or OnOutage.allow(). What is allowed is marked (`by_outage_rule`), and
      recorded in the background under the same key once the server is back, and when the client is closed; at most
      10 000 keys wait, and beyond that it is denied. Never where what is held says that the tenant or the module is
      denied. Of a level, of which nothing can be recorded, it is reserved afterwards, if it is within the limit then.
    - `keepalive`: seconds between signs of life on a connection.
    - `max_tenants`, `max_denials`, `max_resolved`: how much is held: tenants, denials of each, resolved requests.
    - `clock`: for tests.
    """

    async def check(self, tenant: TenantId, module: str, *, min_revision: int | None = None) -> Answer:
        """May the tenant use the module? A denial is an answer. Raises RequestRefusedError for what is no tenant's id or
        no module's code; an outage is answered by the rule.

        `min_revision`: the answer rests on this revision or a later one, or the outage rule answers.
        """
        answer = self.held(tenant, module, min_revision=min_revision)
        if answer is not None:
            self._refuse_another_loop()
            return answer
        return await self._run(programs.check(self._core, str(tenant).lower(), module, min_revision or 0))

    async def require(self, tenant: TenantId, module: str, *, min_revision: int | None = None) -> Answer:
        """`check`, for whom only a yes will do. Raises ModuleDeniedError, EntitlementsUnavailableError."""
        return programs.demand(await self.check(tenant, module, min_revision=min_revision))

    async def check_any(self, tenant: TenantId, modules: Sequence[str], *, min_revision: int | None = None) -> Answer:
        """One of these is enough. Denied: the first denial."""
        return await self._run(programs.check_any(self._core, str(tenant).lower(), modules, min_revision or 0))

    async def check_all(self, tenant: TenantId, modules: Sequence[str], *, min_revision: int | None = None) -> Answer:
        """All of these are needed. Allowed: the answer that ends first."""
        return await self._run(programs.check_all(self._core, str(tenant).lower(), modules, min_revision or 0))

    async def feature(self, tenant: TenantId, module: str, key: str, *, min_revision: int | None = None) -> FeatureAnswer:
        """Is the feature of a module on for the tenant? Off is an answer, with its reason: also where the module is
        denied, and where there is no such feature. Raises RequestRefusedError, with the code UNIMPLEMENTED where the
        server is older than features; an outage is answered by the rule.

        `min_revision`: as in `check`.
        """
        answer = self.feature_held(tenant, module, key, min_revision=min_revision)
        if answer is not None:
            self._refuse_another_loop()
            return answer
        return await self._run(features.feature(self._core, str(tenant).lower(), module, key, min_revision or 0))

    async def require_feature(
        self, tenant: TenantId, module: str, key: str, *, min_revision: int | None = None
    ) -> FeatureAnswer:
        """`feature`, for whom only on will do. Raises FeatureOffError, EntitlementsUnavailableError."""
        return features.demand_feature(await self.feature(tenant, module, key, min_revision=min_revision))

    async def limit(self, tenant: TenantId, key: str, *, min_revision: int | None = None) -> LimitAnswer:
        """What the limit is for the tenant: "users", or "transactions_monthly". Raises RequestRefusedError, as `feature`
        does, and EntitlementsUnavailableError where the outage rule neither allows nor has a limit to give. To decide by
        it, ask `within_limit`, which knows whether limits are enforced."""
        return await self._run(features.limit(self._core, str(tenant).lower(), key, min_revision or 0))

    async def within_limit(
        self, tenant: TenantId, key: str, observed: int, amount: int = 1, *, min_revision: int | None = None
    ) -> LimitDecision:
        """Would `amount` more be within the limit, where there are `observed` already, as you have counted? It reserves
        nothing: count and insert in one transaction. `amount` 0: is what there is within the limit? Raises ValueError
        for what cannot be counted, and RequestRefusedError as `feature` does; an outage is answered by the rule."""
        program = features.within_limit(self._core, str(tenant).lower(), key, observed, amount, min_revision or 0)
        return await self._run(program)

    async def require_within_limit(
        self, tenant: TenantId, key: str, observed: int, amount: int = 1, *, min_revision: int | None = None
    ) -> LimitDecision:
        """`within_limit`, for whom only a yes will do. Raises LimitExceededError, EntitlementsUnavailableError."""
        return features.demand_limit(await self.within_limit(tenant, key, observed, amount, min_revision=min_revision))

    async def reserve(
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
        return await self._run(usage.reserve(self._core, wanted))

    @asynccontextmanager
    async def reserving(
        self,
        tenant: TenantId,
        meter: str,
        key: str,
        amount: int = 1,
        *,
        module: str | None = None,
        hold_for: timedelta | None = None,
        partial: bool = False,
    ) -> AsyncIterator[Reservation]:
        """Holds so much while the block does what is to be counted: `async with` client.reserving(...) as reservation.
        A clean exit takes it for good; where the block raises, it is given back, and if the process dies, the hold
        returns by itself. `hold_for`: 60 s where nothing is said; the other arguments are those of `reserve`.

        Raises UsageRefusedError where it is not granted, and what `reserve` does. The end of the block does, too: where
        the hold has run out and there is not enough any more, the tenant or the module is denied by now, or the server
        does not answer; then `reserve` the same key later. What was here before (`repeated`) is not given back: another
        attempt may have taken it for good since.
        """
        wanted = usage.Wanted(str(tenant).lower(), meter, key, amount, module, hold_for, partial)
        reservation = await self._run(usage.hold(self._core, wanted))
        try:
            yield reservation
        except BaseException:
            await self._give_back(wanted, reservation)
            raise
        # It goes on where whoever waits is cancelled: what it is for has been done.
        keeping = asyncio.get_running_loop().create_task(self._run(usage.keep(self._core, wanted, reservation)))
        self._keep(keeping)
        await asyncio.shield(keeping)

    async def release(self, tenant: TenantId, meter: str, key: str) -> int:
        """Gives back what a key took: the order failed, the user left. How much that was. 0: nothing was taken under
        it, or it was given back before, as where an answer was lost and the library has asked again. Raises
        EntitlementsUnavailableError, RequestRefusedError."""
        return await self._run(usage.release(self._core, str(tenant).lower(), meter, key))

    async def reconcile(self, tenant: TenantId, meter: str, keys: Iterable[str], as_of: datetime) -> Reconciled:
        """Says which things there are of a level: what is counted and is not there is released, what is there and is not
        counted is counted, beyond the limit too. `keys`: all that there are, in any order and of any number; they go to
        the server in ranges, one after the other. `as_of`: when they were read, at the latest: what was counted or
        released after that stays as it is.

        Raises RequestRefusedError, with the code FAILED_PRECONDITION for a monthly meter, and
        EntitlementsUnavailableError; some ranges may have been put right then, and asking again does the rest.
        ValueError for what is no key, or no instant with a time zone: then nothing is sent."""
        return await self._run(usage.reconcile(self._core, str(tenant).lower(), meter, keys, as_of))

    async def enabled_modules(self, tenant: TenantId, *, min_revision: int | None = None) -> EnabledModules:
        """Every module that the tenant may use now. Raises RequestRefusedError (NOT_FOUND: there is no such tenant), and
        EntitlementsUnavailableError where the outage rule has no list to give."""
        return await self._run(programs.enabled_modules(self._core, str(tenant).lower(), min_revision or 0))

    async def resolve(
        self, headers: Headers | None = None, *, tenant_id: TenantId = "", host: str = "", bearer_token: str = ""
    ) -> Resolved:
        """Which tenant does a request belong to? Takes its headers, or what they say. Raises RequestRefusedError, and in
        an outage EntitlementsUnavailableError: no rule names a tenant that is not held."""
        who = carried_by(headers, tenant_id, host, bearer_token)
        held = self.held_resolved(*who)
        if held is not None:
            self._refuse_another_loop()
            return held
        return await self._run(programs.resolve(self._core, *who))

    async def authorize(self, headers: Headers, modules: Sequence[str]) -> Authorized:
        """`resolve` and `check_any`, in one round trip where the tenant is not held. Raises what `resolve` does."""
        return await self._run(programs.authorize(self._core, *carried_by(headers, "", "", ""), modules))

    async def issue_lease(
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
        return await self._run(issuing.issue_lease(self._core, wanted))

    async def close(self) -> None:
        """Ends the connection, after what counters and leases have to say, for which it takes the deadline of an answer
        at most. Nothing can be asked after it."""
        if self._state == "new" and not all(job.is_idle for job in self._core.schedule.jobs):
            # Threads have counted, and no loop has been used.
            self._start()
        if self._state == "open":
            self._start()
            until = self._mono() + self._core.settings.deadline_ns
            await asyncio.gather(*(self._end_job(job, until) for job in self._core.schedule.jobs))
            self._state = "closed"
            self._core.end()
            tasks = list(self._tasks)
            unfinished = set(tasks)
            while unfinished:
                # Before Python 3.12, `asyncio.wait_for` loses a cancellation that meets what it waits for.
                for task in unfinished:
                    task.cancel()
                _, unfinished = await asyncio.wait(unfinished, timeout=AGAIN)
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._transport.close()
        if self._state != "forked":
            self._state = "closed"
            self._core.abandon()

    async def __aenter__(self) -> EntitlementClient:
        self._refuse_misuse()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _set_up(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher: Watcher | None = None
        self._worker: Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """Those that ask for others, and that listen."""

    def _new_future(self) -> Callable[[], Any]:
        return lambda: asyncio.get_running_loop().create_future()

    def _connect_to(self, target: Target) -> Any:
        return Transport(target)

    def _refuse_another_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            self._start()

    def _start(self) -> None:
        """Binds the client to the running loop, or refuses another one."""
        self._refuse_misuse()
        loop = asyncio.get_running_loop()
        if self._state == "new":
            self._begin()
            self._loop = loop
            self._transport.open()
            self._watcher = Watcher(self._core, self._transport, self._tasks)
            self._tasks.add(loop.create_task(self._watcher.run(), name="entitlement-watch"))
            self._look_for_work()
        elif self._loop is not loop:
            raise ClientMisuseError(
                "this EntitlementClient belongs to another event loop: make one for each, or a SyncEntitlementClient"
            )

    def _start_if_it_can(self) -> bool:
        """From any thread: another one than the loop's has to leave it to the loop. Raises ClientMisuseError."""
        self._refuse_misuse()
        if self._state == "new":
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return False
            self._start()
        return True

    def _look_for_work(self) -> None:
        """From any thread."""
        if self._state == "open" and self._core.schedule.jobs and self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_work)

    def _begin_work(self) -> None:
        if self._worker is None and self._state == "open":
            self._worker = Worker(self._core, self._run, self._keep)
            self._keep(asyncio.get_running_loop().create_task(self._worker.work(), name="entitlement-work"))

    async def _run(self, program: Program[T]) -> T:
        """Runs a program on this loop."""
        self._start()
        value: Any = None
        while True:
            try:
                effect = program.send(value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            value = await self._perform(effect)

    async def _end_job(self, job: Job, until: int) -> None:
        try:
            await self._run(job.end(until))
        except Exception:  # noqa: BLE001 - a fault of ours must not keep the connection
            log.exception("what was done in the background has not ended well")

    async def _give_back(self, wanted: usage.Wanted, reservation: Reservation) -> None:
        """The block has raised, and says more than this could. It goes on where whoever waits is cancelled."""
        returning = asyncio.get_running_loop().create_task(self._returned(wanted, reservation))
        self._keep(returning)
        await asyncio.wait({returning})

    async def _returned(self, wanted: usage.Wanted, reservation: Reservation) -> None:
        try:
            why = await self._run(usage.give_back(self._core, wanted, reservation))
        except ClientMisuseError as error:
            # The client was closed in the block.
            why = str(error)
        if why:
            log.debug("a hold was not given back, and returns by itself: %s", why)

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Call):
            return await self._transport.call(effect.method, effect.request, effect.timeout)
        if isinstance(effect, Pause):
            return await self._transport.pause(effect.seconds)
        if isinstance(effect, Background):
            self._keep(asyncio.get_running_loop().create_task(self._run(effect.program())))
            return None
        if effect.leads:
            # A task of its own: the caller may be cancelled, and the others still wait.
            self._keep(asyncio.get_running_loop().create_task(self._lead(effect)))
        done, _ = await asyncio.wait({effect.flight.future}, timeout=effect.patience)
        if not done:
            return Failure("DEADLINE_EXCEEDED", "the same question, asked by another task, was not answered in time")
        return effect.flight.future.result()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Until it has ended: the loop itself would not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self, join: Join) -> None:
        result: Any = Failure("UNAVAILABLE", "the question was given up: the client was closed, or failed")
        try:
            result = await self._run(join.program())
        finally:
            join.land(join.flight)
            join.flight.future.set_result(result)
