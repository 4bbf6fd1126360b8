"""Whether it works.

`GET /health` for whoever restarts processes, `/health/ready` for whoever sends traffic,
`/v1/health`, `/v1/health/detailed` and `/v1/info` as seed 003 has them.
"""

import platform
from collections.abc import Callable, Mapping
from typing import Literal

import psycopg
from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from app.api.call import Call, Caller
from app.api.endpoint import Routes, Unit
from app.clock import monotonic_s
from app.errors import MailqueueError
from app.lifecycle import chunks
from app.release import VERSION
from app.tenancy.scopes import Scope

routes = Routes("health", about="Whether the system works, and which one it is.")

_started_s = monotonic_s()

Check = Callable[[], None]


class Health(BaseModel):
    """This process answers."""

    status: Literal["healthy"]


class CheckResult(BaseModel):
    """One dependency: how long it took to answer, or why it did not."""

    status: Literal["healthy", "unhealthy"]
    latency_ms: float
    reason: str | None = None


class InFlight(BaseModel):
    """What the stages hold right now."""

    total_processing: int


class DetailedHealth(BaseModel):
    """Every dependency, asked now."""

    status: Literal["healthy", "unhealthy"]
    version: str
    uptime_seconds: int
    checks: dict[str, CheckResult]
    queues: InFlight


class Info(BaseModel):
    """Which API this is."""

    name: str
    version: str
    api_version: str
    python: str


@routes.get("/v1/health", needs=None, unit=Unit.OWN)
def health(call: Call) -> Health:
    """Say that this process answers, whatever its dependencies do."""
    del call
    return Health(status="healthy")


@routes.get("/v1/info", needs=None, unit=Unit.OWN)
def info(call: Call) -> Info:
    """Say which API this is."""
    del call
    return Info(
        name="mailqueue", version=VERSION, api_version="v1", python=platform.python_version()
    )


def detailed(checks: Mapping[str, Check]) -> Routes:
    """Return the route that asks every dependency; a check raises when its one does not answer."""
    made = Routes("health", about=routes.about)

    @made.get("/v1/health/detailed", needs=Scope.ANALYTICS_READ, unit=Unit.OWN)
    def health_detailed(call: Call) -> DetailedHealth:
        """Ask every dependency and say how long each took."""
        results = {name: checked(check, call.caller) for name, check in checks.items()}
        is_well = all(result.status == "healthy" for result in results.values())
        flying = chunks.in_flight(call.session)[0] if is_well else 0
        return DetailedHealth(
            status="healthy" if is_well else "unhealthy",
            version=VERSION,
            uptime_seconds=int(monotonic_s() - _started_s),
            checks=results,
            queues=InFlight(total_processing=flying),
        )

    return made


def checked(check: Check, caller: Caller) -> CheckResult:
    """Ask one dependency; only an operator reads what it said, which may name hosts and users."""
    started_s = monotonic_s()
    reason = None
    try:
        check()
    except (MailqueueError, psycopg.Error) as error:
        reason = str(error).strip() if caller.is_operator else "It does not answer."
    took_ms = round((monotonic_s() - started_s) * 1000, 2)
    status: Literal["healthy", "unhealthy"] = "healthy" if reason is None else "unhealthy"
    return CheckResult(status=status, latency_ms=took_ms, reason=reason)


def blueprint(check_database: Check) -> Blueprint:
    """Return the bare routes; `check_database` raises when PostgreSQL does not answer."""
    bare = Blueprint("health", __name__)

    @bare.get("/health")
    def alive() -> Response:
        """Say that this process answers, whatever its dependencies do."""
        return jsonify(status="ok")

    @bare.get("/health/ready")
    def ready() -> Response:
        """Say that a request would be served; 503 otherwise."""
        check_database()
        return jsonify(status="ok", postgresql="ok")

    return bare
