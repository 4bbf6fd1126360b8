"""The web process: health, the cron route, problems instead of pages, the page at /."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from app.api import cron, failures, health, placeholder
from app.errors import DependencyUnavailable, InputInvalid

SECRET = "s3cret-of-the-test"


@dataclass(frozen=True)
class Pass:
    planned: int
    released: int


class Scheduler:
    """Stands in for a pass: counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_away = False

    def __call__(self) -> Pass:
        if self.is_away:
            raise DependencyUnavailable("RabbitMQ is away.", why="No route.", fix="Wait.")
        self.calls += 1
        return Pass(planned=10, released=150)


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


def make_app(secret: str, scheduler: Scheduler) -> Flask:
    web = Flask("app", static_folder=None)
    failures.register(web)
    web.register_blueprint(cron.blueprint(SecretStr(secret), scheduler))
    web.register_blueprint(health.blueprint(lambda: None))
    links = (placeholder.Link(title="Inbox", url="http://inbox/", about="mail"),)
    web.register_blueprint(placeholder.blueprint(links))
    web.add_url_rule("/bad", view_func=_bad)
    web.add_url_rule("/broken", view_func=_broken)
    return web


def _bad() -> str:
    raise InputInvalid("The zone is unknown.", why="No such zone.", fix="Use UTC.", field="zone")


def _broken() -> str:
    raise RuntimeError("secret detail")


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[FlaskClient]:
    with make_app(SECRET, scheduler).test_client() as made:
        yield made


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_the_cron_route_runs_a_pass_and_says_what_it_did(
    client: FlaskClient, scheduler: Scheduler
) -> None:
    answer = client.post("/api/cron/scheduler", headers=bearer(SECRET))
    assert answer.status_code == 200
    assert answer.json == {"planned": 10, "released": 150, "message": "Enqueued 150 email jobs"}
    assert scheduler.calls == 1


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("wrong"), {"Authorization": SECRET}, {"Authorization": f"Basic {SECRET}"}],
)
def test_a_wrong_secret_runs_nothing(
    client: FlaskClient, scheduler: Scheduler, headers: dict[str, str]
) -> None:
    answer = client.post("/api/cron/scheduler", headers=headers)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert scheduler.calls == 0
    assert SECRET not in answer.text


def test_an_empty_secret_closes_the_route(scheduler: Scheduler) -> None:
    answer = make_app("", scheduler).test_client().post("/api/cron/scheduler", headers=bearer(""))
    assert answer.status_code == 403
    assert "MAILQUEUE_CRON_SECRET" in answer.json["detail"]
    assert scheduler.calls == 0


def test_the_cron_route_takes_no_get(client: FlaskClient) -> None:
    answer = client.get("/api/cron/scheduler")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json["title"] == "Method Not Allowed"


def test_a_dependency_that_is_away_is_a_503_with_a_time_to_retry(
    client: FlaskClient, scheduler: Scheduler
) -> None:
    scheduler.is_away = True
    answer = client.post("/api/cron/scheduler", headers=bearer(SECRET))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json["code"] == "dependency_unavailable"


def test_two_calls_at_once_both_answer(scheduler: Scheduler) -> None:
    web = make_app(SECRET, scheduler)
    codes: list[int] = []

    def call() -> None:
        answer = web.test_client().post("/api/cron/scheduler", headers=bearer(SECRET))
        codes.append(answer.status_code)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200, 200]


def test_a_refusal_names_the_field(client: FlaskClient) -> None:
    answer = client.get("/bad")
    assert answer.status_code == 422
    assert answer.json == {
        "type": "urn:mailqueue:problem:input_invalid",
        "title": "The zone is unknown.",
        "status": 422,
        "code": "input_invalid",
        "detail": "No such zone.",
        "fix": "Use UTC.",
        "field": "zone",
    }


def test_an_unknown_error_tells_nothing_of_the_inside(client: FlaskClient) -> None:
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.mimetype == "application/problem+json"


def test_an_unknown_page_is_a_problem(client: FlaskClient) -> None:
    assert client.get("/nowhere").json["status"] == 404


def test_health_answers(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok"}
    assert client.get("/health/ready").json["postgresql"] == "ok"


def test_the_page_has_links_and_a_strict_policy(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "http://inbox/" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    assert "<style" not in answer.text
    assert "<script" not in answer.text
    with client.get("/static/placeholder.css") as style:
        assert style.status_code == 200
