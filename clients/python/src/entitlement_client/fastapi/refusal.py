"""A refusal that is raised, and how it becomes a response."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from .problem import Problem
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
        _be_answered_within()

    def __str__(self) -> str:
        return self.problem.detail


async def answer(connection: HTTPConnection, error: GateRefusedError) -> Response | None:
    """The problem, as a handler of exceptions answers with it."""
    if isinstance(connection, WebSocket):
        await connection.close(POLICY_VIOLATION, error.problem.reason)
        return None
    return error.problem.response()


def _be_answered_within() -> None:
    """If the error passed all of the application on its way to TenantMiddleware, what is in between would take it for a
    fault: a mounted application answers 500, and a CORSMiddleware adds nothing."""
    context = current.get()
    handlers = context.scope.get("starlette.exception_handlers") if context else None
    if handlers:
        handlers[0].setdefault(GateRefusedError, answer)
