"""The contract for people and machines: `/v1/openapi.json`, and Swagger UI at `/docs`, offline.

Swagger UI's files come with the package flask-swagger-ui; nothing is loaded from elsewhere, and
the page's own script is a file, so that the content security policy needs no exception for it.
"""

from importlib import resources
from typing import Any

import orjson
from flask import Blueprint, Response, render_template, send_from_directory

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})


def blueprint(document: dict[str, Any]) -> Blueprint:
    """Return the routes that show `document`."""
    routes = Blueprint(
        "docs",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/docs/static",
    )
    written = orjson.dumps(document)
    folder = str(resources.files("flask_swagger_ui") / "dist")

    @routes.get("/v1/openapi.json")
    def openapi() -> Response:
        """Answer the OpenAPI document."""
        return Response(written, mimetype="application/json")

    @routes.get("/docs")
    def page() -> Response:
        """Show Swagger UI."""
        response = Response(render_template("docs.html"), mimetype="text/html")
        response.headers["Content-Security-Policy"] = _CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @routes.get("/docs/ui/<name>")
    def file(name: str) -> Response:
        """Answer one of Swagger UI's files."""
        if name not in _FILES:
            return Response(status=404)
        return send_from_directory(folder, name, max_age=86_400)

    return routes
