"""Sweeping the ledger of released chunks: all that is finished, and an end to it."""

import datetime as dt

import pika
import pytest

from app.clock import utc_now
from app.errors import MessageMalformed
from app.ids import new_id
from app.lifecycle import chunks
from app.lifecycle.chunks import Chunk
from app.queueing import dead_letters, redrive
from app.queueing.payloads import TickPayload
from tests.factories import make_account, make_app, make_email

MANY = 450  # more than two looks of the sweeper


@pytest.fixture
def sweep(configured):
    """Runs one sweep in this process."""
    del configured
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    return lambda: housekeep.sweep(TickPayload())


def release(session, email_id, account) -> None:
    released = [
        Chunk(
            id=new_id(),
            app_id=account.app_id,
            account_id=account.id,
            lane="normal",
            payload={"email_ids": [str(email_id)], "lead_ids": [None]},
            size=1,
        )
        for _ in range(MANY)
    ]
    chunks.open_chunks(session, released)


def test_every_finished_chunk_is_forgotten_in_one_sweep(session, sweep) -> None:
    account = make_account(session, make_app(session).id)
    release(session, make_email(session, account.app_id, status="sent"), account)
    session.execute("UPDATE released_chunks SET remaining = 0")
    sweep()
    assert session.execute("SELECT count(*) FROM released_chunks").fetchone() == (0,)


def test_a_sweep_ends_although_workers_hold_their_mails_for_long(session, sweep) -> None:
    account = make_account(session, make_app(session).id)
    lease = {"status": "sending", "lease_until": utc_now() + dt.timedelta(minutes=20)}
    release(session, make_email(session, account.app_id, **lease), account)
    session.execute("UPDATE released_chunks SET touched_at = now() - interval '1 day'")
    sweep()
    assert session.execute("SELECT count(*) FROM released_chunks").fetchone() == (MANY,)


def test_a_sweep_writes_the_row_of_a_letter_only_rabbitmq_knows(session, configured, until) -> None:
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    letter = dead_letters.from_bytes("schedule", b"{}", MessageMalformed("Bad."), utc_now())
    message = letter.outgoing()
    with redrive.opened(configured.rabbitmq_url) as channel:
        headers = pika.BasicProperties(headers=message.headers)
        channel.basic_publish(message.exchange, message.queue, message.body, headers)

    def is_recorded() -> bool:
        housekeep.repair_letters(session)
        return session.execute("SELECT id FROM dead_letters").fetchall() == [(letter.id,)]

    until(is_recorded, 60)
