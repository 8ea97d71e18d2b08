"""A refusal that is raised, and how it becomes a response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..errors import EntitlementError, made
from .problem import ANSWERED, BROKEN, Problem, of_error
from .request import current

POLICY_VIOLATION = 1008
"""With this code a WebSocket is closed that is refused."""


class GateRefusedError(HTTPException):
    """A gate refuses the request. Below TenantMiddleware it is answered with the problem, by the Starlette application
    that it is raised in: whatever stands around that sees a response like any other.

    Where nobody knows that, it is the HTTPException that it looks like, with the problem's status, its sentence as
    `detail`, and its headers. An application's own handler of the status is asked first, as always in Starlette.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail, problem.headers())
        self.problem = problem
        _answer_within(GateRefusedError, answer)

    def __str__(self) -> str:
        return self.problem.detail


async def answer(connection: HTTPConnection, error: GateRefusedError) -> Response | None:
    """The problem, as a handler of exceptions answers with it."""
    return await _answer(connection, error.problem)


async def answer_error(connection: HTTPConnection, error: EntitlementError) -> Response | None:
    """The same for an error of the library's own, which an endpoint has not caught."""
    return await _answer(connection, of_error(error) or BROKEN)


async def _answer(connection: HTTPConnection, problem: Problem) -> Response | None:
    if isinstance(connection, WebSocket):
        await connection.close(POLICY_VIOLATION, problem.reason)
        return None
    return problem.response()


def answer_within(error: EntitlementError) -> None:
    """Where an endpoint raises what is no fault of its own, below TenantMiddleware, the application answers it, unless it
    has a handler of its own for this error or one that it is a kind of."""
    if isinstance(error, ANSWERED):
        _answer_within(type(error), answer_error)


def _answer_within(kind: type[Exception], handler: Callable[..., Any]) -> None:
    """If the error passed all of the application on its way to TenantMiddleware, what is in between would take it for a
    fault: a mounted application answers 500, and a CORSMiddleware adds nothing."""
    context = current.get()
    handlers = context.scope.get("starlette.exception_handlers") if context else None
    is_known = handlers and any(base in handlers[0] for base in kind.__mro__ if base is not HTTPException)
    if handlers and not is_known:
        handlers[0][kind] = handler


made.append(answer_within)
