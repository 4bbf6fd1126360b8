import datetime as dt
import threading
import uuid
from uuid import UUID

import pytest

from app.db.session import Session, connect
from app.engagement.record import Recorded, record, shortened
from app.lifecycle.events import timeline
from app.policy import suppression
from app.privacy import address_hash
from app.queueing.payloads import Hit
from tests.campaign_rows import Campaign, campaign, sent
from tests.factories import PEPPER

SENT = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.fixture
def made(session: Session) -> Campaign:
    return campaign(session)


@pytest.fixture
def mail(session: Session, made: Campaign) -> UUID:
    return sent(session, made, "ann@example.com", at=SENT)[0]


def hit(email_id: UUID, kind: str = "open", *, after_s: float = 60, **facts) -> Hit:
    at_ms = int((SENT.timestamp() + after_s) * 1000)
    known = {"user_agent": FIREFOX, "ip": "198.51.100.7"} | facts
    return Hit(event_id=uuid.uuid4(), email_id=email_id, kind=kind, at_ms=at_ms, **known)


def recorded(session: Session, *hits: Hit) -> Recorded:
    with session.transaction():
        return record(session, hits)


def counts(session: Session) -> dict[str, int]:
    rows = session.execute(
        "SELECT kind, sum(n) FROM email_stat_deltas WHERE kind <> 'planned' GROUP BY 1"
    ).fetchall()
    return {kind: int(n) for kind, n in rows}


def verdicts(session: Session, email_id: UUID) -> list[tuple[str, str]]:
    events = timeline(session, email_id)
    return [(e.type, e.data["verdict"]) for e in events if "verdict" in e.data]


def test_an_open_by_a_person_counts_in_both_numbers(session, mail):
    assert recorded(session, hit(mail)) == Recorded(hits=1, new=1, dropped=0, unsubscribed=())
    assert counts(session) == {"opened": 1, "opened_human": 1, "hits_open": 1}


def test_counts_carry_the_dimensions_of_the_mail(session, made, mail):
    recorded(session, hit(mail, "click", link=2, url="https://a.example/"))
    rows = session.execute(
        "SELECT DISTINCT app_id, queue_id, campaign_id, step_id, account_id FROM email_stat_deltas"
    ).fetchall()
    assert rows == [
        (made.app_id, made.queue_id, made.campaign_id, made.step_ids[0], made.account_id)
    ]


def test_many_opens_of_a_mail_are_one_opened_mail(session, mail):
    recorded(session, hit(mail), hit(mail, after_s=61))
    recorded(session, hit(mail, after_s=62))
    assert counts(session) == {"opened": 1, "opened_human": 1, "hits_open": 3}


def test_a_proxy_opens_and_a_person_later_opens_as_human(session, mail):
    recorded(session, hit(mail, user_agent=GMAIL))
    assert counts(session) == {"opened": 1, "hits_open": 1}
    recorded(session, hit(mail))
    assert counts(session) == {"opened": 1, "opened_human": 1, "hits_open": 2}


def test_the_same_message_twice_adds_nothing(session, mail):
    hits = [hit(mail), hit(mail, "click", link=0), hit(mail, "unsubscribe")]
    recorded(session, *hits)
    before = counts(session)
    assert recorded(session, *hits) == Recorded(hits=3, new=0, dropped=0, unsubscribed=())
    assert counts(session) == before


def test_the_same_hit_twice_in_one_message_is_one(session, mail):
    one = hit(mail)
    recorded(session, one, one)
    assert counts(session) == {"opened": 1, "opened_human": 1, "hits_open": 1}


def test_hits_of_deleted_mails_are_dropped_and_counted(session, mail):
    done = recorded(session, hit(mail), hit(uuid.uuid4()), hit(uuid.uuid4()))
    assert (done.hits, done.new, done.dropped) == (3, 1, 2)


def test_a_raw_hit_keeps_verdict_rule_and_a_shortened_address(session, mail):
    recorded(session, hit(mail, "click", link=3, url="https://a.example/", purpose="prefetch"))
    clicked = [event for event in timeline(session, mail) if event.type == "clicked"]
    assert [event.data for event in clicked] == [
        {
            "verdict": "prefetch",
            "rule": "purpose",
            "rules": 1,
            "ip": "198.51.100.0/24",
            "user_agent": FIREFOX,
            "method": "GET",
            "purpose": "prefetch",
            "link": 3,
            "url": "https://a.example/",
        }
    ]
    assert clicked[0].at == SENT + dt.timedelta(seconds=60)


@pytest.mark.parametrize(
    ("ip", "kept"),
    [("198.51.100.7", "198.51.100.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("", "")],
)
def test_an_address_is_kept_as_its_network(ip, kept):
    assert shortened(ip) == kept


def test_all_links_at_once_are_a_scanner_also_over_two_messages(session, mail):
    recorded(session, *(hit(mail, "click", link=n, after_s=60 + n / 10) for n in range(3)))
    recorded(session, hit(mail, "click", link=9, after_s=61))
    recorded(session, hit(mail, "click", link=1, after_s=900))
    assert verdicts(session, mail) == [("clicked", "scanner")] * 4 + [("clicked", "human")]
    assert counts(session) == {"clicked": 1, "clicked_human": 1, "hits_click": 5}


def test_a_click_right_after_the_send_is_no_person(session, mail):
    recorded(session, hit(mail, "click", link=0, after_s=0.5))
    assert counts(session) == {"clicked": 1, "hits_click": 1}


def test_an_unsubscribe_suppresses_the_address_in_its_app(session, made, mail):
    done = recorded(session, hit(mail, "unsubscribe", method="POST"))
    to_hash = address_hash("ann@example.com", PEPPER)
    assert [(person.app_id, person.to_hash) for person in done.unsubscribed] == [
        (made.app_id, to_hash)
    ]
    assert suppression.is_suppressed(session, made.app_id, to_hash)
    assert not suppression.is_suppressed(session, uuid.uuid4(), to_hash)
    assert counts(session) == {"unsubscribed": 1}


def test_a_repeated_message_does_not_suppress_who_came_back(session, made, mail):
    gone = hit(mail, "unsubscribe")
    recorded(session, gone)
    to_hash = address_hash("ann@example.com", PEPPER)
    suppression.remove(session, made.app_id, to_hash)
    recorded(session, gone)
    assert not suppression.is_suppressed(session, made.app_id, to_hash)
    recorded(session, hit(mail, "unsubscribe"))
    assert suppression.is_suppressed(session, made.app_id, to_hash)


def test_two_workers_never_count_a_mail_twice(session, database, made):
    mails = sent(session, made, *(f"p{n}@example.com" for n in range(40)), at=SENT)

    def work(order: int) -> None:
        with connect(database) as own:
            for _ in range(5):
                recorded(own, *(hit(email_id) for email_id in mails[::order]))

    workers = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts(session) == {"opened": 40, "opened_human": 40, "hits_open": 400}


def test_a_full_message_of_hits_is_recorded(session, made):
    mails = sent(session, made, *(f"p{n}@example.com" for n in range(250)), at=SENT)
    done = recorded(
        session,
        *(hit(email_id) for email_id in mails),
        *(hit(email_id, "click", link=0) for email_id in mails),
    )
    assert (done.hits, done.new) == (500, 500)
