"""Errors of the database leave the API as problems a client can act on."""

import psycopg
import pytest
from flask import Flask

from app.api import failures
from app.db.session import CONNECTION_LOST


@pytest.mark.parametrize("lost", [*CONNECTION_LOST, psycopg.errors.AdminShutdown])
def test_a_lost_connection_is_answered_with_try_again(lost):
    app = Flask(__name__)
    failures.register(app)

    @app.get("/")
    def lose():
        raise lost("terminating connection")

    answer = app.test_client().get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
