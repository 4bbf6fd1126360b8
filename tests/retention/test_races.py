"""Who needs a row at the very moment its time is over keeps it."""

import dataclasses
import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import psycopg

from app.assembly.contents import versions_for
from app.assembly.expiry import WORDS
from app.clock import monotonic_s
from app.db.session import connect
from tests import factories
from tests.retention.conftest import House

WORDS_OF = [("Your code", "<p>It is 42</p>", None)]
TOMORROW = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def test_words_a_submission_has_found_are_passed_over(house: House, database: str):
    app = house.app()
    versions_for(house.session, app, WORDS_OF)
    with psycopg.connect(database) as submission:
        versions_for(submission, app, WORDS_OF)
        assert WORDS.take(house.session, app, TOMORROW, 10) == 0
    assert WORDS.take(house.session, app, TOMORROW, 10) == 1


def test_words_stay_that_a_message_took_while_they_were_looked_for(house: House, database: str):
    app = house.app()
    (version,) = versions_for(house.session, app, WORDS_OF)
    held_up = f"{WORDS.where} AND pg_advisory_xact_lock_shared(7)::text = ''"
    words = dataclasses.replace(WORDS, where=held_up)
    with ThreadPoolExecutor() as threads, connect(database) as retention:
        house.session.execute("SELECT pg_advisory_lock(7)")
        taken = threads.submit(words.take, retention, app, TOMORROW, 10)
        ends_s = monotonic_s() + 60
        while not house.count("pg_locks", "locktype = 'advisory' AND NOT granted"):
            assert monotonic_s() < ends_s, "the look did not begin"
        young = TOMORROW + dt.timedelta(days=1)
        factories.make_message(house.session, app, template_version_id=version, created_at=young)
        house.session.execute("SELECT pg_advisory_unlock(7)")
        assert taken.result(60) == 0
    assert house.count("template_versions", f"id = '{version}' AND body_text <> 'erased'") == 1
