"""The web application as it is put together: real passes over a real database and broker."""

import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from actors import runtime
from app.campaigns import campaigns
from app.clock import utc_now
from app.config import Settings
from app.db.session import Session, close_thread_session
from app.demo.stage import DEMO, set_up
from app.wsgi import create_app


@pytest.fixture
def web(configured: Settings) -> Iterator[Flask]:
    runtime.publisher.cache_clear()
    yield create_app(configured)
    runtime.publisher().close()
    runtime.publisher.cache_clear()


def test_two_passes_at_once_enqueue_every_mail_once(
    web: Flask, session: Session, configured: Settings
) -> None:
    stage = set_up(session, configured, "demo", lambda _rows, _bytes: None)
    campaigns.start(session, stage.app.id, stage.campaign.name, DEMO, utc_now())
    answers = []
    headers = {"Authorization": f"Bearer {configured.cron_secret.get_secret_value()}"}

    def call() -> None:
        answers.append(web.test_client().post("/api/cron/scheduler", headers=headers).json)
        close_thread_session()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer["planned"] for answer in answers) == 500
    assert sum(answer["released"] for answer in answers) == 500
    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    assert rows == [("queued", 500)]


def test_a_database_that_is_away_makes_the_process_unready(configured: Settings) -> None:
    away = configured.model_copy(update={"database_url": "postgresql://127.0.0.1:1/nothing"})
    client = create_app(away).test_client()
    assert client.get("/health").status_code == 200
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json["code"] == "dependency_unavailable"
