"""A person is in every stage of a run, and after the erasure in none of its stores.

Sent, queued, dead-lettered, bounced, replied, waiting in the inbound spool, told to webhooks, seen by
tracking, archived: then every table, queue, log, journal and archive file is searched for the address.
"""

import contextlib
import datetime as dt
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import orjson
import pytest
from pydantic import SecretStr

from app.audit import Author
from app.clock import utc_now
from app.config import Settings
from app.db.session import Session
from app.feedback import messages
from app.feedback.messages import Arrival
from app.gdpr import queues
from app.ids import new_id, new_ids
from app.mail import verp
from app.mail.verp import AddressUse, CodedAddress
from app.queueing import dead_letters, redrive, topology
from app.queueing.messages import encode
from app.queueing.payloads import AssembledMail, Hit, HitsPayload, SendPayload
from app.queueing.publisher import BatchPublisher
from app.queueing.steps import Lane
from app.retention import run
from app.retention.run import Order
from app.webhooks import fanout
from app.wsgi import create_app
from tests import factories, stack
from tests.api.conftest import OPERATOR, Desk, Person
from tests.api.test_gdpr import traces
from tests.feedback.answers import report, written
from tests.pipeline.conftest import DOMAIN, Fleet

ANN, JOANN = "ann@people.example", "joann@people.example"
# What holds Ann's address before the erasure, at least.
STORES = {
    "emails.to_email",
    "messages.addressing",
    "leads.email",
    "template_versions.html",
    "inbound_messages.subject",
    "inbox_message_content.raw",
    "webhook_deliveries.payload",
    "dead_letters.message",
    "send.normal",
    "dlq.send.normal",
}
OLD = dt.datetime(2025, 3, 10, tzinfo=dt.UTC)


@pytest.fixture
def settings_of_run(monkeypatch: pytest.MonkeyPatch, listening: Settings) -> Settings:
    """Everything is logged, as machines read it."""
    monkeypatch.setenv("MAILQUEUE_LOG_LEVEL", "debug")
    monkeypatch.setenv("MAILQUEUE_LOG_FORMAT", "json")
    return listening.model_copy(update={"admin_secret": SecretStr(OPERATOR)})


@pytest.fixture
def desk(settings_of_run: Settings, session: Session) -> Iterator[Desk]:
    with create_app(settings_of_run).test_client() as client:
        yield Desk(client=client, session=session, settings=settings_of_run)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the test tells of two people with nearly the same address."""

    desk: Desk
    me: Person
    fleet: Fleet
    until: Any
    run_pass: Any

    @property
    def session(self) -> Session:
        return self.desk.session

    def post(self, to: str, **more: Any) -> UUID:
        order = {
            "from": {"email": "shop@shop.example"},
            "to": [{"email": to, "name": "Ann"}],
            "subject": f"Hello {to}",
            "html": f"<p>Dear {to}, <a href='https://shop.example/?who={to}'>look</a></p>",
            "metadata": {"about": to},
        }
        return UUID(self.me.post("/v1/emails", order | more)["id"])

    def state(self, email_id: UUID) -> str:
        query = "SELECT status FROM emails WHERE id = %s OR message_id = %s"
        row = self.session.execute(query, (email_id, email_id)).fetchone()
        return row[0] if row else ""

    def mail(self, email_id: UUID) -> UUID:
        query = "SELECT id FROM emails WHERE id = %s OR message_id = %s"
        ((found,),) = self.session.execute(query, (email_id, email_id)).fetchall()
        return found

    def goes(self, email_id: UUID, state: str) -> None:
        def is_there() -> bool:
            self.run_pass()
            return self.state(email_id) == state

        self.until(is_there, 120)


@pytest.fixture
def story(desk: Desk, fleet: Fleet, until: Any, run_pass: Any, inbox: Any) -> Story:
    me = desk.person()
    server = {"name": "s", "host": "127.0.0.1", "port": inbox.smtp_port, "security": "none"}
    config = me.post("/v1/smtp-configs", server)["id"]
    me.post("/v1/email-accounts", {"address": "shop@shop.example", "smtp_config_id": config})
    me.post("/v1/webhooks", {"url": "https://hooks.example.com/"})
    desk.operator().ask("PATCH", f"/v1/apps/{me.app_id}", json={"keeps_content": True})
    for person in (ANN, JOANN):
        lead = {"email": person, "variables": {"mine": person}}
        me.post("/v1/leads", {"leads": [lead]})
    return Story(desk=desk, me=me, fleet=fleet, until=until, run_pass=run_pass)


def test_after_an_erasure_no_store_of_the_run_holds_the_address(story: Story, tmp_path: Path):
    fleet, session = story.fleet, story.session
    fleet.start()
    sent, other = story.post(ANN), story.post(JOANN)
    story.goes(sent, "sent")
    story.goes(other, "sent")
    archived(story, tmp_path)
    replied_and_bounced(story, story.mail(sent))
    fleet.kill()

    session.execute("DELETE FROM suppression_list")  # a bounce would keep the next one from going
    fleet.start_stages(*topology.WORK_QUEUES[1:4])  # assembled, and not sent
    queued = story.post(ANN)
    story.goes(queued, "queued")
    story.until(lambda: depth(story, "send.normal") == 1, 120)
    fleet.kill()
    dead(story, story.mail(sent), story.mail(other))
    spooled(story, story.mail(sent))
    fanout.fan_out(session)
    assert set(holders(story, tmp_path)) >= STORES

    answer = story.me.ask("DELETE", f"/v1/gdpr/{ANN}")
    assert answer.status_code == 200, answer.text
    hit_later(story, story.mail(sent))
    late_bounce(story, story.mail(sent))
    go_on(story, utc_now())
    fleet.start()
    story.until(lambda: not any(depth(story, q) for q in topology.WORK_QUEUES), 120)
    story.until(lambda: story.state(queued) == "suppressed", 60)
    unworked = "SELECT count(*) FROM inbound_messages WHERE status = 'received'"
    story.until(lambda: session.execute(unworked).fetchone() == (0,), 120)
    fleet.kill()
    go_on(story, utc_now() + queues.HORIZON)

    assert holders(story, tmp_path) == []
    listed = story.me.get("/v1/gdpr/requests")["data"][0]
    assert listed["status"] == "done"
    assert {store["store"] for store in listed["stores"]} >= {"queues", "backups"}
    again = story.post(ANN)
    assert story.state(again) == "suppressed"
    # The neighbour, whose address ends the same, is all there.
    assert story.state(other) == "sent"
    names = session.execute("SELECT email FROM leads").fetchall()
    assert names == [(JOANN,)]
    (letter,) = letters(story)
    assert [mail["to"] for mail in letter["kwargs"]["payload"]["mails"]] == [JOANN]


# ---- what the person leaves behind ------------------------------------------------------------------


def archived(story: Story, tmp_path: Path) -> None:
    """A mail of a month that is over, in an archive file."""
    for parent in ("emails", "email_events"):
        query = "SELECT mailqueue_create_partition(%s, %s)"
        story.session.execute(query, (parent, OLD.date()))
    old = {"id": UUID(new_ids(1, OLD)[0]), "status": "failed", "to_email": ANN}
    reason = f"550 <{ANN}> unknown"
    factories.make_email(story.session, story.me.app_id, **old, reason=reason, to_name=ANN)
    order = Order(
        author=Author(name="test"),
        folder=tmp_path / "archive",
        rabbitmq_url=story.desk.settings.rabbitmq_url,
        longest=dt.timedelta(minutes=1),
    )
    run.run(story.session, utc_now(), order)
    assert list((tmp_path / "archive").glob("emails_2025_03.*.gz"))


def arrive(story: Story, email_id: UUID, use: AddressUse, raw: bytes) -> list[UUID]:
    keys = story.desk.settings.tracking_keys.get_secret_value()
    coded = verp.coded_domain(DOMAIN, keys)
    assert coded is not None
    arrival = Arrival(
        recipient=coded.address(use, email_id),
        coded=CodedAddress(use=use, email_id=email_id),
        return_path=ANN,
        raw=raw,
    )
    return messages.store(story.session, [arrival])


def replied_and_bounced(story: Story, email_id: UUID) -> None:
    reply = written(f"Re: {ANN}", f"Yours, {ANN}")
    ids = arrive(story, email_id, AddressUse.REPLY, reply)
    ids += arrive(story, email_id, AddressUse.BOUNCE, report(ANN, said=f"550 <{ANN}> gone"))
    publish(story, *messages.jobs(ids))
    story.until(lambda: story.state(email_id) == "bounced", 120)


def spooled(story: Story, email_id: UUID) -> None:
    """A reply that is stored and not worked off."""
    arrive(story, email_id, AddressUse.REPLY, written("Re: hello", f"I am {ANN}"))


def late_bounce(story: Story, email_id: UUID) -> None:
    """A report that comes after the erasure, and names the person."""
    publish(story, *messages.jobs(arrive(story, email_id, AddressUse.BOUNCE, report(ANN))))


def hit_later(story: Story, email_id: UUID) -> None:
    """A click that waited in the spool of the tracking process."""
    hit = Hit(
        event_id=new_id(),
        email_id=email_id,
        kind="click",
        at_ms=int(utc_now().timestamp() * 1000),
        url=f"https://shop.example/?who={ANN}",
        user_agent=f"browser of {ANN}",
    )
    publish(story, encode("track", "events", HitsPayload(hits=[hit])))


def dead(story: Story, ann: UUID, joann: UUID) -> None:
    """A chunk of both people, and bytes nobody could read."""
    payload = SendPayload(
        chunk_id=new_id(),
        lane=Lane.NORMAL,
        app_id=story.me.app_id,
        queue_id=new_id(),
        account_id=new_id(),
        template_version_id=new_id(),
        mails=[
            AssembledMail(email_id=ann, to=ANN, slots=[f"To: {ANN}"]),
            AssembledMail(email_id=joann, to=JOANN, slots=[f"To: {JOANN}"]),
        ],
    )
    error = ValueError(f"{ANN} is in the way")
    message = encode("send_normal", "send.normal", payload)
    for body in (message.body, f"To {ANN}: not JSON".encode()):
        letter = dead_letters.DeadLetter(
            id=new_id(),
            queue="send.normal",
            body=body,
            reason="test",
            error_class="ValueError",
            error=dead_letters.clipped(str(error)),
            failed_at=utc_now(),
            fingerprint="f",
            app_id=story.me.app_id if body == message.body else None,
        )
        dead_letters.record(story.session, letter)
        publish(story, letter.outgoing())


# ---- looking everywhere -----------------------------------------------------------------------------


def publish(story: Story, *outgoing: Any) -> None:
    with contextlib.closing(BatchPublisher(story.desk.settings.rabbitmq_url)) as publisher:
        publisher.publish(list(outgoing))


def go_on(story: Story, now: dt.datetime) -> None:
    url = story.desk.settings.rabbitmq_url
    queues.sweep(story.session, url, stack.ADDRESS_PEPPER, now)


def depth(story: Story, queue: str) -> int:
    with redrive.opened(story.desk.settings.rabbitmq_url) as channel:
        return int(channel.queue_declare(queue, passive=True).method.message_count)


def letters(story: Story) -> list[dict[str, Any]]:
    with redrive.opened(story.desk.settings.rabbitmq_url) as channel:
        found = redrive.peek(channel, "send.normal", 100)
    return [orjson.loads(letter.body) for letter in found]


def holders(story: Story, tmp_path: Path) -> list[str]:
    """Every store that holds the address: columns, queues, files. Not the inbox: it is Ann's own."""
    found = [name for name in traces(story.desk, ANN) if not is_of_another(story, name)]
    found += in_queues(story)
    return found + in_files(tmp_path)


def is_of_another(story: Story, name: str) -> bool:
    """Tell whether only the neighbour, whose address ends with Ann's, is found in a column."""
    table, column = name.split(".")
    others = story.session.execute(
        f"SELECT {column}::text FROM {table}"  # a name of information_schema
    ).fetchall()
    hexed = ANN.encode().hex(), JOANN.encode().hex()
    texts = [str(row[0]).lower().replace(JOANN, "").replace(hexed[1], "") for row in others]
    return not any(ANN in text or hexed[0] in text for text in texts)


def in_queues(story: Story) -> list[str]:
    """The queues with a message that names Ann, read over the management API; they stay."""
    vhost = urlsplit(story.desk.settings.rabbitmq_url).path.strip("/")
    found = []
    base = stack.required("RABBITMQ_MANAGEMENT_URL")
    with httpx.Client(base_url=base, timeout=30) as client:
        for queue in client.get(f"api/queues/{vhost}").raise_for_status().json():
            wanted = {"count": 1_000, "ackmode": "ack_requeue_true", "encoding": "auto"}
            path = f"api/queues/{vhost}/{queue['name']}/get"
            got = client.post(path, json=wanted).raise_for_status().text
            if ANN in got.lower().replace(JOANN, ""):
                found.append(queue["name"])
    return found


def in_files(tmp_path: Path) -> list[str]:
    found = []
    for folder, _, names in os.walk(tmp_path):
        if Path(folder).is_relative_to(tmp_path / "inbox"):
            continue
        for path in (Path(folder) / name for name in names):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if ANN.encode() in data.lower().replace(JOANN.encode(), b""):
                found.append(path.name)
    return found
