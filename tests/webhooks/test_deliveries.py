"""From what happens to a mail to the consumer: signed, in order, once, also after a day of silence."""

import datetime as dt
import hashlib
import hmac
import json
from collections import defaultdict
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from app.clock import utc_now
from app.ids import new_id, new_ids
from app.lifecycle import attempts, events, notices, transitions
from app.lifecycle.attempts import Outcome
from app.lifecycle.events import TimelineEvent
from app.lifecycle.states import State
from app.webhooks import deliveries, endpoints, fanout
from app.webhooks.deliveries import Choice, DeliveryStatus
from app.webhooks.endpoints import EndpointStatus
from app.webhooks.events import Event
from tests import factories
from tests.peers.node_programs import node
from tests.webhooks.conftest import REACH, Told


def send(told: Told, target: State = State.SENT) -> UUID:
    """Take a mail through claim and outcome, as the send stage does."""
    email_id = factories.make_email(told.session, told.app_id, status="queued")
    ((_, fence, *_),) = attempts.claim(told.session, [email_id], "a/1")
    outcome = Outcome(
        email_id=email_id,
        fence=fence,
        target=target,
        code=250,
        reason=None,
        due_at=None,
        event_id=new_ids(1, utc_now())[0],
        data={"verdict": "accepted", "code": 250},
    )
    attempts.record(told.session, [outcome], None)
    return email_id


def happened(told: Told, email_id: UUID, kind: str) -> None:
    event = TimelineEvent(
        email_id=email_id,
        event_id=new_id(),
        app_id=told.app_id,
        type=kind,
        data={"verdict": "human"},
        at=utc_now(),
    )
    events.append(told.session, [event])


def words(told: Told) -> dict[UUID, list[str]]:
    """What the consumer took, by mail, in the order it came."""
    found: dict[UUID, list[str]] = defaultdict(list)
    for one in told.receiver.taken:
        payload = json.loads(one.body)
        found[UUID(payload["data"]["email_id"])].append(payload["type"])
    return found


def test_news_of_a_sender_are_told_without_a_mail(told: Told) -> None:
    notices.tell(told.session, told.app_id, notices.REPUTATION, {"level": "held"})
    told.pass_on()
    (one,) = told.receiver.taken
    payload = json.loads(one.body)
    assert payload["type"] == Event.REPUTATION
    assert payload["data"] == {"app_id": str(told.app_id), "detail": {"level": "held"}}


def test_a_mails_way_is_told_in_order(told: Told) -> None:
    email_id = send(told)
    for kind in ("delivered", "opened", "clicked", "first_opened", "unsubscribed"):
        happened(told, email_id, kind)
    told.pass_on()
    assert words(told) == {
        email_id: ["processing", "sent", "delivered", "opened", "clicked", "unsubscribed"]
    }


def test_every_move_has_its_word(told: Told) -> None:
    for target in (State.FAILED, State.UNKNOWN):
        send(told, target)
    stopped = factories.make_email(told.session, told.app_id)
    transitions.stop(told.session, [(stopped, "suppressed: manual")], State.SUPPRESSED)
    told.pass_on()
    said = {word for told_words in words(told).values() for word in told_words}
    assert said == {"processing", "failed", "unknown", "suppressed"}


def test_the_reference_library_verifies_the_signature(told: Told) -> None:
    send(told)
    told.pass_on()
    first = told.receiver.got[0]
    payload = Webhook(told.secret).verify(first.body, first.headers)
    assert payload["type"] == "processing"


def test_the_reference_library_of_npm_verifies_the_signature(told: Told) -> None:
    send(told)
    told.pass_on()
    first = told.receiver.got[0]
    given = {"secret": told.secret, "body": first.body.decode(), "headers": first.headers}
    assert json.loads(node("verify.mjs", given))["type"] == "processing"
    forged = given | {"body": given["body"].replace("processing", "delivered")}
    assert node("verify.mjs", forged) == "WebhookVerificationError"


def test_the_seeds_signature_is_over_timestamp_and_payload(told: Told) -> None:
    send(told)
    told.pass_on()
    first = told.receiver.got[0]
    content = first.headers["X-Webhook-Timestamp"].encode() + b"." + first.body
    digest = hmac.new(told.secret.encode(), content, hashlib.sha256).hexdigest()
    assert first.headers["X-Webhook-Signature"] == f"sha256={digest}"


def test_while_a_secret_rotates_both_verify_and_later_only_the_new(told: Told) -> None:
    now = utc_now()
    until = now + dt.timedelta(hours=1)
    rotated = endpoints.rotate(told.session, factories.BOX, told.endpoint, until, factories.AUTHOR)
    send(told)
    told.pass_on()
    first = told.receiver.got[0]
    assert Webhook(told.secret).verify(first.body, first.headers)
    assert Webhook(rotated.secret).verify(first.body, first.headers)
    send(told)
    told.pass_on(until + dt.timedelta(minutes=1))
    assert " " not in told.receiver.got[-1].headers["webhook-signature"]


def test_only_chosen_events_come(told: Told) -> None:
    endpoints.update(
        told.session, told.endpoint, {"events": (Event.SENT,)}, REACH, factories.AUTHOR
    )
    email_id = send(told)
    told.pass_on()
    assert words(told) == {email_id: ["sent"]}


def test_an_app_without_an_endpoint_leaves_no_note(told: Told) -> None:
    other = factories.make_app(told.session).id
    email_id = factories.make_email(told.session, other, status="queued")
    attempts.claim(told.session, [email_id], "a/1")
    count = "SELECT count(*) FROM webhook_events"
    assert told.session.execute(count).fetchall() == [(0,)]


def test_notes_taken_twice_make_one_delivery(told: Told) -> None:
    send(told)
    notes = told.session.execute("SELECT count(*) FROM webhook_events").fetchall()
    assert notes == [(2,)]
    assert fanout.fan_out(told.session) == 2
    assert fanout.fan_out(told.session) == 0
    assert told.pass_on() == 2


@pytest.mark.parametrize("silence", ["refuses", "is broken"])
def test_a_consumer_down_for_a_day_gets_everything_once_and_in_order(
    told: Told, silence: str
) -> None:
    told.receiver.status = 503 if silence == "is broken" else 429
    now = utc_now()
    mails = []
    for hour in range(25):
        if hour % 6 == 0:
            mails += [send(told) for _ in range(4)]
        for minute in range(0, 60, 12):
            told.pass_on(now + dt.timedelta(hours=hour, minutes=minute))
    assert told.receiver.taken == []
    assert told.shown().status is EndpointStatus.ACTIVE
    told.receiver.status = 200
    for minute in range(0, 30, 5):
        told.pass_on(now + dt.timedelta(hours=25, minutes=minute))
    assert words(told) == {email_id: ["processing", "sent"] for email_id in mails}
    ids = [one.headers["webhook-id"] for one in told.receiver.taken]
    assert len(ids) == len(set(ids)) == 2 * len(mails)


def test_an_endpoint_that_never_works_is_paused_with_the_reason(told: Told) -> None:
    told.receiver.status = 500
    send(told)
    now = utc_now()
    for hour in range(0, 80, 4):
        told.pass_on(now + dt.timedelta(hours=hour))
    shown = told.shown()
    assert shown.status is EndpointStatus.PAUSED
    assert "500" in (shown.pause_reason or "")


def test_a_paused_endpoint_gets_what_it_missed_when_it_goes_on(told: Told) -> None:
    paused = endpoints.update(
        told.session, told.endpoint, {"status": EndpointStatus.PAUSED}, REACH, factories.AUTHOR
    )
    email_id = send(told)
    assert told.pass_on() == 0
    endpoints.update(
        told.session, paused, {"status": EndpointStatus.ACTIVE}, REACH, factories.AUTHOR
    )
    told.pass_on()
    assert words(told) == {email_id: ["processing", "sent"]}


def test_an_endpoint_that_is_gone_is_asked_no_more(told: Told) -> None:
    told.receiver.status = 410
    send(told)
    told.pass_on()
    assert (told.shown().status, len(told.receiver.got)) == (EndpointStatus.PAUSED, 1)


def test_a_dead_endpoint_does_not_delay_another(told: Told) -> None:
    new = endpoints.NewEndpoint(app_id=told.app_id, url="http://127.0.0.1:9/closed")
    endpoints.create(told.session, factories.BOX, new, REACH, factories.AUTHOR)
    mails = [send(told) for _ in range(3)]
    assert told.pass_on() == 2 * len(mails)


def test_a_redirect_is_not_followed(told: Told) -> None:
    told.receiver.status = 302
    told.receiver.location = told.receiver.url
    send(told)
    told.pass_on()
    assert len(told.receiver.got) == 1
    (logged, *_) = deliveries.list_page(
        told.session, Choice(app_id=told.app_id, event="processing"), after=None, limit=5
    )
    assert "redirect" in (logged.error or "")


def test_the_log_keeps_request_and_response_cut(told: Told) -> None:
    told.receiver.answer = b"x" * 5_000
    send(told)
    told.pass_on()
    logged = deliveries.list_page(told.session, Choice(app_id=told.app_id), after=None, limit=5)
    assert {each.status for each in logged} == {DeliveryStatus.DELIVERED}
    assert {len(each.response_body or "") for each in logged} == {2_000}
    assert all("webhook-signature" in (each.request_headers or {}) for each in logged)


def test_a_given_up_delivery_goes_again_when_asked(told: Told) -> None:
    told.receiver.status = 400
    email_id = send(told)
    now = utc_now()
    for day in range(20):
        told.pass_on(now + dt.timedelta(days=day))
    failed = Choice(app_id=told.app_id, status=DeliveryStatus.FAILED)
    (first, *_) = deliveries.list_page(told.session, failed, after=None, limit=5)
    assert (first.event, first.attempts) == ("processing", 17)
    told.receiver.status = 200
    assert deliveries.retry_all(told.session, failed) == 1
    told.pass_on(now + dt.timedelta(days=40))
    assert words(told) == {email_id: ["processing", "sent"]}
