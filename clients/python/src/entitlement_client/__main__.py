"""For people: asks a server, and prints what it says."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from . import _environment
from ._shadow_report import differences, written
from .answers import Answer
from .errors import EntitlementError
from .sync import SyncEntitlementClient

LOCAL = "127.0.0.1:50051"
"""Where a server on the same machine listens by default."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command, and gives its exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "shadow-report":
        return _report(options)
    # What a service should know of an outage is said here by the exit code and one line.
    logging.getLogger("entitlement_client").setLevel(logging.ERROR)
    token = os.environ.get("ENTITLEMENT_TOKEN") or None
    try:
        address = options.address or _address()
        with SyncEntitlementClient(address, deadline=options.deadline, ca_file=options.ca_file, token=token) as client:
            answer = client.check(options.tenant, options.module)
    except (EntitlementError, ValueError, OSError) as error:
        print(f"trouble: {error}", file=sys.stderr)
        return 2
    if answer.by_outage_rule:
        print(f"trouble: entitlementd at {address} does not answer", file=sys.stderr)
        return 2
    print(_written(answer))
    return 0 if answer.allowed else 1


def _address() -> str:
    """Where it is, for somebody who does not say."""
    named, _ = _environment.find() or ((LOCAL,), "")
    return ",".join(named)


def _report(options: argparse.Namespace) -> int:
    try:
        with Path(options.log).open(encoding="utf-8", errors="replace") as lines:
            counted = differences(lines)
    except OSError as error:
        print(f"trouble: {error}", file=sys.stderr)
        return 2
    print(written(counted))
    return 1 if counted else 0


def _written(answer: Answer) -> str:
    lines = [f"decision     {'ALLOWED' if answer.allowed else 'DENIED'}  {answer.reason}"]
    if answer.message:
        lines.append(f"message      {answer.message}")
    if answer.plan_slugs:
        lines.append(f"plans        {', '.join(answer.plan_slugs)}")
    lines.append(f"revision     {answer.revision}, as of {answer.as_of.isoformat() if answer.as_of else 'never'}")
    lines.append(f"valid until  {answer.valid_until.isoformat() if answer.valid_until else 'time alone changes nothing'}")
    if answer.stale:
        lines.append("stale        the server could not ask its database")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m entitlement_client", description="Asks entitlementd.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    check = commands.add_parser(
        "check",
        help="may this tenant use this module now?",
        description="Prints the decision with its reason. Exit code 0: allowed, 1: denied, 2: trouble.",
        epilog="ENTITLEMENT_TOKEN in the environment is a bearer token that says who asks.",
    )
    check.add_argument(
        "--address",
        help=f"HOST:PORT or unix:/PATH; several with commas [default: {_environment.VARIABLE}, else the socket "
        f"{_environment.SOCKET} if it is there, else {LOCAL}]",
    )
    check.add_argument("--tenant", required=True, help="the tenant's UUID")
    check.add_argument("--module", required=True, help="the module's code")
    check.add_argument("--deadline", type=float, default=2.0, help="seconds that the answer may take")
    check.add_argument("--ca-file", help="certificates (PEM) that the server's own must descend from: TLS")
    report = commands.add_parser(
        "shadow-report",
        help="what would shadow mode have answered otherwise?",
        description="Counts by route what shadow mode has logged. Exit code 0: nothing differs, 1: it does, 2: trouble.",
    )
    report.add_argument("log", metavar="LOG", help="a file with the application's log lines, among others")
    return parser


if __name__ == "__main__":
    sys.exit(main())
