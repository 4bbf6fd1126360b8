import time
import uuid

import pytest

from actors.analyse import fold_stats
from actors.track import record_hits
from app.analytics import reports
from app.db.session import Session
from app.policy import suppression
from app.privacy import address_hash
from app.queueing.payloads import Hit, HitsPayload, TickPayload
from tests.campaign_rows import campaign
from tests.factories import PEPPER, insert, make_email, make_lead

pytestmark = pytest.mark.usefixtures("configured")


def hits(*pairs: tuple[uuid.UUID, str]) -> HitsPayload:
    seen = {"at_ms": int(time.time() * 1000), "user_agent": "Firefox", "method": "POST"}
    return HitsPayload(
        hits=[Hit(event_id=uuid.uuid4(), email_id=mail, kind=kind, **seen) for mail, kind in pairs]
    )


def enrolled(session: Session, address: str):
    """A lead in the middle of a sequence: one mail sent, the next one scheduled."""
    made = campaign(session, steps=2)
    lead_id = make_lead(session, made.app_id, address)
    enrolment = uuid.uuid4()
    same = {
        "to_email": address,
        "account_id": made.account_id,
        "queue_id": made.queue_id,
        "template_version_id": made.version_id,
        "campaign_id": made.campaign_id,
        "lead_id": lead_id,
        "enrolment_id": enrolment,
    }
    first = make_email(session, made.app_id, step_id=made.step_ids[0], status="sent", **same)
    second = make_email(session, made.app_id, step_id=made.step_ids[1], **same)
    row = {
        "id": enrolment,
        "app_id": made.app_id,
        "campaign_id": made.campaign_id,
        "lead_id": lead_id,
        "account_id": made.account_id,
        "steps_planned": 2,
        "last_email_id": second,
    }
    insert(session, "enrolments", row)
    return made, first, second


def status(session: Session, table: str, key: str, value: object) -> str:
    return session.execute(f"SELECT status FROM {table} WHERE {key} = %s", (value,)).fetchone()[0]


def test_an_unsubscribe_ends_the_sequence_and_stops_what_waits(session):
    made, first, second = enrolled(session, "ann@example.com")
    record_hits(hits((first, "unsubscribe")))
    assert suppression.is_suppressed(session, made.app_id, address_hash("ann@example.com", PEPPER))
    assert status(session, "leads", "app_id", made.app_id) == "unsubscribed"
    assert status(session, "enrolments", "app_id", made.app_id) == "stopped"
    assert status(session, "emails", "id", second) in ("cancelled", "suppressed")
    assert status(session, "emails", "id", first) == "sent"


def test_hits_show_up_in_the_funnel_before_and_after_the_fold(session):
    made, first, _ = enrolled(session, "bob@example.com")
    record_hits(hits((first, "open"), (first, "open")))
    before = reports.funnel(session, made.campaign_id)
    fold_stats(TickPayload())
    assert before.steps[0].counts.opened == before.steps[0].counts.opened_human == 1
    assert reports.funnel(session, made.campaign_id) == before
    assert session.execute("SELECT count(*) FROM email_stat_deltas").fetchone() == (0,)
