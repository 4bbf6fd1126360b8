"""`mailqueue dlq` and `mailqueue unknown`: what a person decides, in batches, audited."""

import orjson
import pika
import pytest

from app.clock import utc_now
from app.errors import MessageMalformed
from app.ids import new_ids
from app.lifecycle import attempts
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.queueing import dead_letters, redrive
from app.queueing.payloads import AssembledMail, SendPayload
from app.queueing.steps import Lane
from app.sending import letters
from tests.factories import make_app, make_email

QUEUE = "send.normal"


@pytest.fixture
def app(session):
    return make_app(session, "shop")


@pytest.fixture
def channel(configured):
    with redrive.opened(configured.rabbitmq_url) as opened:
        yield opened


def bury(session, channel, app_id, status="failed", reason="attempts exhausted; last reply: 451"):
    """A mail in that state and its dead letter, in RabbitMQ and in its row; returns both ids."""
    email_id = make_email(session, app_id, status=status, attempt=5)
    row = session.execute(
        "SELECT queue_id, account_id, template_version_id FROM emails WHERE id = %s", (email_id,)
    ).fetchone()
    payload = SendPayload(
        chunk_id=email_id,
        lane=Lane.NORMAL,
        app_id=app_id,
        queue_id=row[0],
        account_id=row[1],
        template_version_id=row[2],
        mails=[AssembledMail(email_id=email_id, to="ana@example.com", slots=["Ana"])],
    )
    failed = outcome(email_id, State.FAILED, code=451, reason=reason)
    letter = letters.of_mail(payload, payload.mails[0], failed, 5, utc_now())
    dead_letters.enter(session, letter)
    put(channel, letter)
    return email_id, letter.id


def put(channel, letter) -> None:
    out = letter.outgoing()
    properties = pika.BasicProperties(headers=dict(out.headers), delivery_mode=2)
    channel.basic_publish(out.exchange, out.queue, out.body, properties)


def outcome(email_id, target, code=0, reason=None):
    return Outcome(
        email_id=email_id,
        fence=1,
        target=target,
        code=code,
        reason=reason,
        due_at=None,
        event_id=new_ids(1, utc_now())[0],
        data={"connection": "c1"},
    )


def states(session):
    return dict(session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall())


def audited(session):
    query = "SELECT action, actor, app_id IS NOT NULL FROM audit_logs WHERE target_kind = ANY(%s)"
    return session.execute(query, (["dead_letter", "email"],)).fetchall()


def depth(channel, name):
    return channel.queue_declare(name, passive=True).method.message_count


def test_list_groups_equal_errors(session, channel, mailqueue, app) -> None:
    for _ in range(3):
        bury(session, channel, app.id)
    bury(session, channel, app.id, reason="attempts exhausted; mailbox full")
    found = mailqueue("dlq", "list", "--json").json
    assert [group["count"] for group in found] == [3, 1]
    assert "AttemptsExhausted" in mailqueue("dlq", "list").out


def test_list_repairs_the_rows_rabbitmq_has_more_of(channel, mailqueue) -> None:
    letter = dead_letters.from_bytes("schedule", b"{}", MessageMalformed("Bad."), utc_now())
    put(channel, letter)
    (group,) = mailqueue("dlq", "list", "--json").json
    assert (group["queue"], group["error_class"]) == ("schedule", "MessageMalformed")


def test_show_says_what_a_retry_would_do(session, channel, mailqueue, app) -> None:
    _, failed = bury(session, channel, app.id)
    _, sent = bury(session, channel, app.id, status="sent")
    assert "1 start again" in mailqueue("dlq", "show", failed).out
    assert "1 mails already sent are skipped" in mailqueue("dlq", "show", sent).out


def test_retry_starts_failed_mails_again_and_skips_the_sent(
    session, channel, mailqueue, app
) -> None:
    bury(session, channel, app.id)
    bury(session, channel, app.id, status="sent")
    ran = mailqueue("dlq", "retry", "all", "--json")
    assert ran.json["retried"] == 2
    assert (ran.json["mails"]["sent"], ran.json["mails"]["revived"]) == (1, 1)
    assert states(session) == {"scheduled": 1, "sent": 1}
    assert depth(channel, f"dlq.{QUEUE}") == 0
    assert audited(session) == [("dead_letter.retried", "cli", True)]
    assert mailqueue("dlq", "retry", "all").code == 1


def test_retry_works_from_the_rows_when_rabbitmq_lost_the_letters(
    session, channel, mailqueue, app
) -> None:
    bury(session, channel, app.id)
    channel.queue_purge(f"dlq.{QUEUE}")
    assert mailqueue("dlq", "retry", "all").code == 0
    assert states(session) == {"scheduled": 1}
    assert depth(channel, QUEUE) == 1


def test_only_what_is_named_is_retried(session, channel, mailqueue, app) -> None:
    first, letter_id = bury(session, channel, app.id)
    bury(session, channel, app.id)
    assert mailqueue("dlq", "retry", letter_id).code == 0
    assert states(session) == {"scheduled": 1, "failed": 1}
    query = "SELECT status FROM emails WHERE id = %s"
    assert session.execute(query, (first,)).fetchone() == ("scheduled",)
    assert depth(channel, f"dlq.{QUEUE}") == 1


def test_discard_keeps_the_mails_as_they_are(session, channel, mailqueue, app) -> None:
    bury(session, channel, app.id)
    assert mailqueue("dlq", "discard", "all", "--reason", "old news").code == 0
    assert states(session) == {"failed": 1}
    assert depth(channel, f"dlq.{QUEUE}") == depth(channel, QUEUE) == 0
    assert audited(session) == [("dead_letter.discarded", "cli", True)]


@pytest.mark.usefixtures("app")
def test_another_apps_letters_are_left_alone(session, channel, mailqueue) -> None:
    bury(session, channel, make_app(session, "other").id)
    assert mailqueue("dlq", "retry", "all", "--app", "shop").code == 1
    assert mailqueue("dlq", "retry", "all", "--app", "other").code == 0


def test_a_retried_letter_of_one_mail_sends_it_once(session, channel, mailqueue, app) -> None:
    email_id, _ = bury(session, channel, app.id)
    mailqueue("dlq", "retry", "all")
    _, _, body = channel.basic_get(QUEUE)
    payload = SendPayload.model_validate(orjson.loads(body)["kwargs"]["payload"])
    claimed = attempts.claim(session, [mail.email_id for mail in payload.mails], "j/1")
    assert claimed == []
    assert states(session) == {"scheduled": 1}
    assert payload.mails[0].email_id == email_id


@pytest.fixture
def lost(session, app):
    """Three mails whose reply was never seen."""
    ids = [make_email(session, app.id, status="sending", fence=1) for _ in range(3)]
    attempts.record(session, [outcome(one, State.UNKNOWN) for one in ids], None)
    return ids


def test_unknown_list_shows_the_evidence(mailqueue, lost) -> None:
    found = mailqueue("unknown", "list", "--json").json
    assert [one["connection"] for one in found] == ["c1"] * 3
    assert str(lost[0]) in mailqueue("unknown", "list").out.replace("\n", "")


def test_resend_needs_to_be_told_which(session, mailqueue, lost) -> None:
    assert mailqueue("unknown", "resend").code == 1
    assert mailqueue("unknown", "resend", "--email", lost[0]).code == 0
    assert states(session) == {"unknown": 2, "scheduled": 1}
    assert audited(session) == [("unknown.resend", "cli", True)]


@pytest.mark.usefixtures("lost")
def test_assume_sent_by_connection(session, mailqueue) -> None:
    assert mailqueue("unknown", "assume-sent", "--connection", "c2").code == 1
    ran = mailqueue("unknown", "assume-sent", "--connection", "c1", "--json")
    assert ran.json == {"decision": "assume_sent", "emails": 3}
    assert states(session) == {"sent": 3}
