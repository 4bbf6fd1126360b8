"""`GET /health` for whoever restarts processes, `GET /health/ready` for whoever sends traffic."""

from collections.abc import Callable

from flask import Blueprint, Response, jsonify


def blueprint(check_database: Callable[[], None]) -> Blueprint:
    """Return the routes; `check_database` raises when PostgreSQL does not answer."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def alive() -> Response:
        """Say that this process answers, whatever its dependencies do."""
        return jsonify(status="ok")

    @routes.get("/health/ready")
    def ready() -> Response:
        """Say that a request would be served; 503 otherwise."""
        check_database()
        return jsonify(status="ok", postgresql="ok")

    return routes
