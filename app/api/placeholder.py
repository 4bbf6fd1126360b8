"""The page at `/` until the console moves in."""

from dataclasses import dataclass

from flask import Blueprint, Response, make_response, render_template

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A place a newcomer wants to go."""

    title: str
    url: str
    about: str


def blueprint(links: tuple[Link, ...]) -> Blueprint:
    """Return the page with these links."""
    routes = Blueprint(
        "placeholder",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )

    @routes.get("/")
    def page() -> Response:
        """Show what this is and where to go."""
        response = make_response(render_template("placeholder.html", links=links))
        response.headers["Content-Security-Policy"] = _CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return routes
