"""`POST /api/cron/scheduler`: one scheduling pass now, for an outside scheduler (MAIL-1.4).

Safe to call at any time and twice at once: rows are claimed with SKIP LOCKED, so two passes share
the work and neither enqueues a mail of the other.
"""

import hmac
from collections.abc import Callable
from typing import Protocol

from flask import Blueprint, Response, jsonify, request
from pydantic import SecretStr

from app.errors import Forbidden, Unauthorized


class Passed(Protocol):
    """What a scheduling pass did."""

    @property
    def planned(self) -> int:
        """E-mails made by campaign sequences."""

    @property
    def released(self) -> int:
        """E-mails handed to the stages."""


def blueprint(secret: SecretStr, run_pass: Callable[[], Passed]) -> Blueprint:
    """Return the route, closed by `secret`; an empty one closes it. `run_pass` logs its summary."""
    routes = Blueprint("cron", __name__)

    @routes.post("/api/cron/scheduler")
    def schedule_now() -> Response:
        """Run one pass and answer what it did."""
        require_secret(secret.get_secret_value(), request.headers.get("Authorization", ""))
        done = run_pass()
        message = f"Enqueued {done.released} email jobs"
        return jsonify(released=done.released, planned=done.planned, message=message)

    return routes


def require_secret(secret: str, authorization: str) -> None:
    """Compare the bearer secret in constant time; raises Forbidden or Unauthorized."""
    if not secret:
        raise Forbidden(
            "This route is closed.",
            why="MAILQUEUE_CRON_SECRET is empty.",
            fix="Set it (mailqueue init makes one) and restart the web process.",
        )
    scheme, _, given = authorization.partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(), secret.encode())
    if scheme.lower() != "bearer" or not is_right:
        raise Unauthorized(
            "The secret is missing or wrong.",
            why="This route takes Authorization: Bearer <MAILQUEUE_CRON_SECRET>.",
            fix="Send the secret of the web process's environment.",
            field="Authorization",
        )
